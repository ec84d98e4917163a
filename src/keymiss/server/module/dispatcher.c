/* dispatcher.c: functions and their workers; see dispatcher_types.h for who owns what. */
#include "dispatcher.h"

#include "items.h"

#include <string.h>

typedef struct User {
    Node node;
    size_t length;
    char name[];
} User;

/* ---- dispatcher, users ---- */

void dispatcher_init(Dispatcher *dispatcher) {
    list_init(&dispatcher->workers);
    list_init(&dispatcher->users);
    list_init(&dispatcher->answered);
}

const char *dispatcher_user(Dispatcher *dispatcher, const char *name, size_t length) {
    FOR_EACH(&dispatcher->users, user, User, node) {
        if (user->length == length && memcmp(user->name, name, length) == 0) return user->name;
    }
    User *user = dispatcher->allocate(sizeof *user + length + 1);
    user->length = length;
    memcpy(user->name, name, length);
    user->name[length] = '\0';
    list_append(&dispatcher->users, &user->node);
    return user->name;
}

/* ---- functions ---- */

static void queue_init(Queue *queue, Function *function) {
    queue->function = function;
    list_init(&queue->ready);
    list_init(&queue->taken);
    queue->pending = 0;
}

Function *dispatcher_named(const Dispatcher *dispatcher, const char *name, size_t length) {
    for (int slot = 0; slot < MAX_FUNCTIONS; slot++) {
        Function *function = dispatcher->functions[slot];
        if (function && strlen(function->name) == length && !memcmp(function->name, name, length))
            return function;
    }
    return NULL;
}

Function *dispatcher_match(const Dispatcher *dispatcher, const char *key, size_t length) {
    int slot = 0;
    return dispatcher_next_match(dispatcher, key, length, &slot);
}

Function *dispatcher_next_match(const Dispatcher *dispatcher, const char *key, size_t length,
                                int *slot) {
    if (!dispatcher_may_match(dispatcher, key, length)) return NULL;
    while (*slot < dispatcher->slots_used) {
        Function *function = dispatcher->functions[(*slot)++];
        if (function && length >= function->prefix_length && key[0] == function->prefix[0] &&
            memcmp(key, function->prefix, function->prefix_length) == 0)
            return function;
    }
    return NULL;
}

int dispatcher_computes(const Function *function, const char *key, size_t length) {
    if (function->options.kind != ON_MISS) return 0;
    Text form = options_form(&function->options);
    return !form.length || form_matches(form, (Text){key, length});
}

static void functions_changed(Dispatcher *dispatcher) {
    memset(dispatcher->first_bytes, 0, sizeof dispatcher->first_bytes);
    dispatcher->function_count = dispatcher->slots_used = 0;
    for (int slot = 0; slot < MAX_FUNCTIONS; slot++) {
        if (!dispatcher->functions[slot]) continue;
        unsigned char first = (unsigned char)dispatcher->functions[slot]->prefix[0];
        dispatcher->first_bytes[first / 64] |= UINT64_C(1) << first % 64;
        dispatcher->function_count++;
        dispatcher->slots_used = slot + 1;
    }
}

int dispatcher_updates(const Function *function, const Registration *registration, int db) {
    return function->db == db && function->options.kind == registration->options.kind &&
           function->options.each == registration->options.each &&
           function->prefix_length == registration->prefix_length &&
           memcmp(function->prefix, registration->prefix, function->prefix_length) == 0;
}

int dispatcher_overlaps(const Function *function, const Registration *registration) {
    if (strcmp(function->name, registration->name) == 0) return 0;
    if (function->options.kind == ON_WRITE && registration->options.kind == ON_WRITE) return 0;
    size_t shorter = function->prefix_length;
    if (registration->prefix_length < shorter) shorter = registration->prefix_length;
    return memcmp(function->prefix, registration->prefix, shorter) == 0;
}

Function *dispatcher_overlapping(const Dispatcher *dispatcher, const Registration *registration) {
    for (int slot = 0; slot < MAX_FUNCTIONS; slot++) {
        Function *other = dispatcher->functions[slot];
        if (other && dispatcher_overlaps(other, registration)) return other;
    }
    return NULL;
}

static Function *new_function(Dispatcher *dispatcher, const Registration *registration, int db,
                              long long now) {
    int slot = 0;
    while (dispatcher->functions[slot]) slot++;
    Function *function = dispatcher->allocate(sizeof *function);
    memset(function, 0, sizeof *function);
    memcpy(function->name, registration->name, sizeof function->name);
    memcpy(function->prefix, registration->prefix, sizeof function->prefix);
    function->prefix_length = registration->prefix_length;
    memcpy(&function->options, &registration->options, sizeof function->options);
    function->slot = slot;
    function->db = db;
    function->alone_since = now;
    queue_init(&function->queue, function);
    list_init(&function->attachments);
    dispatcher->functions[slot] = function;
    functions_changed(dispatcher);
    return function;
}

static void count_workers(Function *function, long long now) {
    int before = function->workers;
    function->workers = 0;
    FOR_EACH(&function->attachments, attachment, Attachment, of_function) {
        function->workers += dispatcher_is_current(attachment);
    }
    if (before && !function->workers) function->alone_since = now;
}

/* Puts an item back at the head of its queue, where it came from, and returns 1. Discards a miss
 * that no client waits for, and returns 0. */
static int queue_again(Dispatcher *dispatcher, Item *item) {
    if (item->queue->function->options.kind == ON_MISS && list_empty(&item->waiters)) {
        dispatcher_discard(dispatcher, item);
        return 0;
    }
    item->state = READY;
    item->worker = NULL;
    list_remove(&item->node);
    list_prepend(&item->queue->ready, &item->node);
    item->queue->function->counters.requeued++;
    return 1;
}

/* Gives the items that workers of a superseded version hold to workers of the next version. The old
 * workers may answer neither these items nor those that they held until a lease ended. */
static void take_back_all(Dispatcher *dispatcher, Function *function) {
    FOR_EACH(&function->queue.ready, item, Item, node) {
        item->oldest = (unsigned short)(item->attempt + 1);
    }
    while (!list_empty(&function->queue.taken)) {
        Item *item = NODE_OWNER(function->queue.taken.previous, Item, node);
        item->oldest = (unsigned short)(item->attempt + 1);
        queue_again(dispatcher, item);
    }
    FOR_EACH(&dispatcher->answered, item, Item, node) {
        if (item->queue == &function->queue && !item->dropped) dispatcher_drop(dispatcher, item);
    }
}

const char *dispatcher_serve(Dispatcher *dispatcher, const Registration *registration, int db,
                             long long now, Function **served) {
    if (dispatcher_overlapping(dispatcher, registration))
        return "the prefix overlaps that of another function; see KEYMISS.LIST";
    const Options *options = &registration->options;
    Function *function =
        dispatcher_named(dispatcher, registration->name, strlen(registration->name));
    int superseded = 0;
    if (!function) {
        if (dispatcher->function_count == MAX_FUNCTIONS)
            return "64 functions are registered, which is the limit; KEYMISS.FORGET one first";
        function = new_function(dispatcher, registration, db, now);
    } else if (!dispatcher_updates(function, registration, db)) {
        return "function is served with another prefix, kind or database; KEYMISS.FORGET it first";
    } else if (strcmp(function->options.version, options->version) != 0) {
        take_back_all(dispatcher, function);
        function->clean = 0;
        superseded = 1;
    }
    memcpy(&function->options, options, sizeof *options);
    /* Without a version, no stored value counts as older. */
    if (registration->clean || !*options->version) function->clean = 1;
    if (superseded) count_workers(function, now);
    *served = function;
    return NULL;
}

static void lose(Item *item, List *lost) {
    item->state = LOST;
    item->worker = NULL;
    list_remove(&item->node);
    list_append(lost, &item->node);
}

void dispatcher_drain(Dispatcher *dispatcher, Function *function, List *lost) {
    List *lists[] = {&function->queue.ready, &function->queue.taken, &dispatcher->answered};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        for (Node *node = lists[i]->next, *next; node != lists[i]; node = next) {
            Item *item = NODE_OWNER(node, Item, node);
            next = node->next;
            if (item->queue == &function->queue) lose(item, lost);
        }
    }
}

static void detach(Dispatcher *dispatcher, Attachment *attachment, long long now) {
    while (!list_empty(&attachment->events.ready))
        dispatcher_discard(dispatcher, NODE_OWNER(attachment->events.ready.next, Item, node));
    list_remove(&attachment->of_function);
    list_remove(&attachment->of_worker);
    if (dispatcher_is_current(attachment) && !--attachment->function->workers)
        attachment->function->alone_since = now;
    dispatcher->release(attachment);
}

void dispatcher_forget(Dispatcher *dispatcher, Function *function, List *lost) {
    while (!list_empty(&function->attachments))
        detach(dispatcher, NODE_OWNER(function->attachments.next, Attachment, of_function), 0);
    dispatcher_drain(dispatcher, function, lost);
    dispatcher->functions[function->slot] = NULL;
    functions_changed(dispatcher);
    FOR_EACH(&dispatcher->workers, worker, Worker, node) {
        worker->wanted &= ~(UINT64_C(1) << function->slot);
    }
}

void dispatcher_free_function(Dispatcher *dispatcher, Function *function) {
#define ADD(counter) dispatcher->forgotten.counter += function->counters.counter;
    COUNTERS(ADD)
#undef ADD
    dispatcher->release(function);
}

void dispatcher_emptied(Dispatcher *dispatcher, int db) {
    for (int slot = 0; slot < MAX_FUNCTIONS; slot++) {
        Function *function = dispatcher->functions[slot];
        if (function && (db < 0 || function->db == db))
            memset(&function->stored, 0, sizeof function->stored);
    }
}

long long dispatcher_stored(Dispatcher *dispatcher, long long now, int forever_only) {
    long long stored = 0;
    for (int slot = 0; slot < MAX_FUNCTIONS; slot++) {
        Function *function = dispatcher->functions[slot];
        if (!function || (forever_only && function->options.cache != CACHE_FOREVER)) continue;
        stored += budget_at(&function->stored, function->options.cache, now);
    }
    return stored;
}

/* ---- workers ---- */

Worker *dispatcher_worker(const Dispatcher *dispatcher, uint64_t client) {
    FOR_EACH(&dispatcher->workers, worker, Worker, node) {
        if (worker->client == client) return worker;
    }
    return NULL;
}

Worker *dispatcher_add_worker(Dispatcher *dispatcher, uint64_t client, const char *user) {
    Worker *worker = dispatcher->allocate(sizeof *worker);
    memset(worker, 0, sizeof *worker);
    worker->client = client;
    worker->user = user;
    list_init(&worker->attachments);
    list_append(&dispatcher->workers, &worker->node);
    return worker;
}

Attachment *dispatcher_attachment(const Function *function, const Worker *worker) {
    FOR_EACH(&worker->attachments, attachment, Attachment, of_worker) {
        if (attachment->function == function) return attachment;
    }
    return NULL;
}

uint64_t dispatcher_served(const Worker *worker) {
    uint64_t slots = 0;
    FOR_EACH(&worker->attachments, attachment, Attachment, of_worker) {
        slots |= UINT64_C(1) << attachment->function->slot;
    }
    return slots;
}

void dispatcher_attach(Dispatcher *dispatcher, Function *function, Worker *worker) {
    Attachment *attachment = dispatcher_attachment(function, worker);
    function->workers += !attachment || !dispatcher_is_current(attachment);
    if (!attachment) {
        attachment = dispatcher->allocate(sizeof *attachment);
        attachment->function = function;
        attachment->worker = worker;
        queue_init(&attachment->events, function);
        list_append(&function->attachments, &attachment->of_function);
        list_append(&worker->attachments, &attachment->of_worker);
    }
    memcpy(attachment->version, function->options.version, sizeof attachment->version);
}

/* Takes an item back from a worker that is gone or too slow. Returns whether it is READY again. */
static int give_back(Dispatcher *dispatcher, Item *item, List *lost) {
    Function *function = item->queue->function;
    if (function->options.kind == ON_WRITE) item->oldest = (unsigned short)(item->attempt + 1);
    /* A key that was written meanwhile is another event, which has cost no worker. The mark that
     * events were lost must be kept. */
    if (item->written || (function->options.kind == ON_WRITE && !item->key_length))
        item->written = item->deaths = 0;
    else item->deaths++;
    if (item->deaths >= MAX_DEATHS) {
        lose(item, lost);
        return 0;
    }
    return queue_again(dispatcher, item);
}

void dispatcher_worker_lost(Dispatcher *dispatcher, Worker *worker, long long now, List *lost) {
    while (!list_empty(&worker->attachments)) {
        Attachment *attachment = NODE_OWNER(worker->attachments.next, Attachment, of_worker);
        List *taken = &attachment->function->queue.taken;
        for (Node *node = taken->previous, *before; node != taken; node = before) {
            Item *item = NODE_OWNER(node, Item, node);
            before = node->previous;
            if (item->worker == worker) give_back(dispatcher, item, lost);
        }
        detach(dispatcher, attachment, now);
    }
    list_remove(&worker->node);
    dispatcher->release(worker);
}

static Item *longest_held(const Function *function) {
    const List *taken = &function->queue.taken;
    return list_empty(taken) ? NULL : NODE_OWNER(taken->next, Item, node);
}

void dispatcher_grant_moment(Dispatcher *dispatcher, long long now) {
    for (int slot = 0; slot < MAX_FUNCTIONS; slot++)
        if (dispatcher->functions[slot]) dispatcher->functions[slot]->alone_since = now;
}

/* Whether clients wait, and no worker has come. */
static int is_abandoned(const Function *function) {
    return function->options.kind == ON_MISS && !function->workers &&
           !list_empty(&function->queue.ready);
}

long long dispatcher_due(const Dispatcher *dispatcher) {
    long long due = INT64_MAX;
    for (int slot = 0, seen = 0; seen < dispatcher->function_count; slot++) {
        const Function *function = dispatcher->functions[slot];
        if (!function) continue;
        seen++;
        const Item *item = longest_held(function);
        long long lease_ends = item ? item->taken_at + function->options.lease : INT64_MAX;
        long long alone_ends =
            is_abandoned(function) ? function->alone_since + ALONE_MS : INT64_MAX;
        if (lease_ends < due) due = lease_ends;
        if (alone_ends < due) due = alone_ends;
    }
    return due == INT64_MAX ? -1 : due;
}

size_t dispatcher_expire(Dispatcher *dispatcher, long long now, List *lost, List *abandoned) {
    size_t ready = 0;
    for (int slot = 0; slot < MAX_FUNCTIONS; slot++) {
        Function *function = dispatcher->functions[slot];
        if (!function) continue;
        List *taken = &function->queue.taken;
        long long since = now - function->options.lease;
        Node *node = taken->next;
        while (node != taken && NODE_OWNER(node, Item, node)->taken_at <= since) node = node->next;
        /* From the last to the first: each goes to the head of the queue, so their order stays. */
        for (Node *before = node->previous; before != taken;) {
            Item *item = NODE_OWNER(before, Item, node);
            before = before->previous;
            ready += (size_t)give_back(dispatcher, item, lost);
        }
        if (is_abandoned(function) && function->alone_since + ALONE_MS <= now)
            while (!list_empty(&function->queue.ready))
                lose(NODE_OWNER(function->queue.ready.next, Item, node), abandoned);
    }
    return ready;
}

static int can_take(const Queue *queue, const Attachment *attachment) {
    const Worker *worker = attachment->worker;
    const Function *function = attachment->function;
    return worker->parked && worker->wanted >> function->slot & 1 &&
           dispatcher_is_current(attachment) &&
           (queue == &function->queue || queue == &attachment->events);
}

Worker *dispatcher_sleeper(const Queue *queue) {
    FOR_EACH(&queue->function->attachments, attachment, Attachment, of_function) {
        if (can_take(queue, attachment)) return attachment->worker;
    }
    return NULL;
}
