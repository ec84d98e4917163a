/* engine.c: see engine.h for who owns what and for the life of an item. */
#include "engine.h"

#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct User {
    Node node;
    size_t length;
    char name[];
} User;

/* ---- lists ---- */

void list_init(List *list) { list->previous = list->next = list; }

int list_empty(const List *list) { return list->next == list; }

static void link_between(Node *node, Node *previous, Node *next) {
    node->previous = previous;
    node->next = next;
    previous->next = node;
    next->previous = node;
}

void list_append(List *list, Node *node) { link_between(node, list->previous, list); }

void list_prepend(List *list, Node *node) { link_between(node, list, list->next); }

void list_remove(Node *node) {
    node->previous->next = node->next;
    node->next->previous = node->previous;
    list_init(node);
}

/* ---- trees ---- */

/* What is looked up has the shape of an item's identity, not a whole item. */
typedef struct Probe {
    const Queue *queue;
    const char *key;
    size_t length;
} Probe;

static int compare_identity(const Probe *a, const Probe *b) {
    if (a->queue != b->queue) return (uintptr_t)a->queue < (uintptr_t)b->queue ? -1 : 1;
    if (a->length != b->length) return a->length < b->length ? -1 : 1;
    return a->length ? memcmp(a->key, b->key, a->length) : 0;
}

static Probe identity(const Item *item) {
    return (Probe){item->queue, item->key, item->key_length};
}

static int compare_items(const void *a, const void *b) {
    Probe left = identity(a), right = identity(b);
    return compare_identity(&left, &right);
}

static int compare_probe(const void *probe, const void *item) {
    Probe right = identity(item);
    return compare_identity(probe, &right);
}

static int compare_ids(const void *a, const void *b) {
    return memcmp(((const Item *)a)->id, ((const Item *)b)->id, RANDOM_ID_BYTES);
}

static int compare_id(const void *id, const void *item) {
    return memcmp(id, ((const Item *)item)->id, RANDOM_ID_BYTES);
}

/* ---- engine, users ---- */

void engine_init(Engine *engine) {
    list_init(&engine->workers);
    list_init(&engine->users);
    list_init(&engine->answered);
}

const char *engine_user(Engine *engine, const char *name, size_t length) {
    FOR_EACH(&engine->users, user, User, node) {
        if (user->length == length && memcmp(user->name, name, length) == 0) return user->name;
    }
    User *user = engine->allocate(sizeof *user + length + 1);
    user->length = length;
    memcpy(user->name, name, length);
    user->name[length] = '\0';
    list_append(&engine->users, &user->node);
    return user->name;
}

/* ---- functions ---- */

static void queue_init(Queue *queue, Function *function) {
    queue->function = function;
    list_init(&queue->ready);
    list_init(&queue->taken);
    queue->pending = 0;
}

Function *engine_named(const Engine *engine, const char *name, size_t length) {
    for (int slot = 0; slot < MAX_FUNCTIONS; slot++) {
        Function *function = engine->functions[slot];
        if (function && strlen(function->name) == length && !memcmp(function->name, name, length))
            return function;
    }
    return NULL;
}

Function *engine_match(const Engine *engine, const char *key, size_t length) {
    int slot = 0;
    return engine_next_match(engine, key, length, &slot);
}

Function *engine_next_match(const Engine *engine, const char *key, size_t length, int *slot) {
    if (!engine_may_match(engine, key, length)) return NULL;
    while (*slot < engine->slots_used) {
        Function *function = engine->functions[(*slot)++];
        if (function && length >= function->prefix_length && key[0] == function->prefix[0] &&
            memcmp(key, function->prefix, function->prefix_length) == 0)
            return function;
    }
    return NULL;
}

static void functions_changed(Engine *engine) {
    memset(engine->first_bytes, 0, sizeof engine->first_bytes);
    engine->function_count = engine->slots_used = 0;
    for (int slot = 0; slot < MAX_FUNCTIONS; slot++) {
        if (!engine->functions[slot]) continue;
        unsigned char first = (unsigned char)engine->functions[slot]->prefix[0];
        engine->first_bytes[first / 64] |= UINT64_C(1) << first % 64;
        engine->function_count++;
        engine->slots_used = slot + 1;
    }
}

int engine_updates(const Function *function, const Registration *registration, int db) {
    return function->db == db && function->options.kind == registration->options.kind &&
           function->options.each == registration->options.each &&
           function->prefix_length == registration->prefix_length &&
           memcmp(function->prefix, registration->prefix, function->prefix_length) == 0;
}

Function *engine_overlapping(const Engine *engine, const Registration *registration) {
    for (int slot = 0; slot < MAX_FUNCTIONS; slot++) {
        Function *other = engine->functions[slot];
        if (!other || strcmp(other->name, registration->name) == 0) continue;
        if (other->options.kind == ON_WRITE && registration->options.kind == ON_WRITE) continue;
        size_t shorter = other->prefix_length;
        if (registration->prefix_length < shorter) shorter = registration->prefix_length;
        if (memcmp(other->prefix, registration->prefix, shorter) == 0) return other;
    }
    return NULL;
}

static Function *new_function(Engine *engine, const Registration *registration, int db,
                              long long now) {
    int slot = 0;
    while (engine->functions[slot]) slot++;
    Function *function = engine->allocate(sizeof *function);
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
    engine->functions[slot] = function;
    functions_changed(engine);
    return function;
}

int engine_is_current(const Attachment *attachment) {
    return strcmp(attachment->version, attachment->function->options.version) == 0;
}

static void count_workers(Function *function, long long now) {
    int before = function->workers;
    function->workers = 0;
    FOR_EACH(&function->attachments, attachment, Attachment, of_function) {
        function->workers += engine_is_current(attachment);
    }
    if (before && !function->workers) function->alone_since = now;
}

/* Back to the head of the queue, where it came from, unless nobody waits for it any more. */
static int queue_again(Engine *engine, Item *item) {
    if (item->queue->function->options.kind == ON_MISS && list_empty(&item->waiters)) {
        engine_discard(engine, item);
        return 0;
    }
    item->state = READY;
    item->worker = NULL;
    list_remove(&item->node);
    list_prepend(&item->queue->ready, &item->node);
    item->queue->function->counters.requeued++;
    return 1;
}

/* What workers of the superseded version hold goes to those of the next one; what they held before
 * a lease ended, they may not answer any more. */
static void take_back_all(Engine *engine, Function *function) {
    FOR_EACH(&function->queue.ready, item, Item, node) {
        item->oldest = (unsigned short)(item->attempt + 1);
    }
    while (!list_empty(&function->queue.taken)) {
        Item *item = NODE_OWNER(function->queue.taken.previous, Item, node);
        item->oldest = (unsigned short)(item->attempt + 1);
        queue_again(engine, item);
    }
    FOR_EACH(&engine->answered, item, Item, node) {
        if (item->queue == &function->queue && !item->dropped) engine_drop(engine, item);
    }
}

const char *engine_serve(Engine *engine, const Registration *registration, int db, long long now,
                         Function **served) {
    if (engine_overlapping(engine, registration))
        return "prefix overlaps that of another function; see KEYMISS.LIST";
    const Options *options = &registration->options;
    Function *function = engine_named(engine, registration->name, strlen(registration->name));
    int superseded = 0;
    if (!function) {
        if (engine->function_count == MAX_FUNCTIONS)
            return "64 functions are registered, the limit; KEYMISS.FORGET one first";
        function = new_function(engine, registration, db, now);
    } else if (!engine_updates(function, registration, db)) {
        return "function is served with another prefix, kind or database; KEYMISS.FORGET it first";
    } else if (strcmp(function->options.version, options->version) != 0) {
        take_back_all(engine, function);
        function->clean = 0;
        superseded = 1;
    }
    memcpy(&function->options, options, sizeof *options);
    /* Who names no version promises nothing of what is stored. */
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

void engine_drain(Engine *engine, Function *function, List *lost) {
    List *lists[] = {&function->queue.ready, &function->queue.taken, &engine->answered};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        for (Node *node = lists[i]->next, *next; node != lists[i]; node = next) {
            Item *item = NODE_OWNER(node, Item, node);
            next = node->next;
            if (item->queue == &function->queue) lose(item, lost);
        }
    }
}

static void detach(Engine *engine, Attachment *attachment, long long now) {
    while (!list_empty(&attachment->events.ready))
        engine_discard(engine, NODE_OWNER(attachment->events.ready.next, Item, node));
    list_remove(&attachment->of_function);
    list_remove(&attachment->of_worker);
    if (engine_is_current(attachment) && !--attachment->function->workers)
        attachment->function->alone_since = now;
    engine->release(attachment);
}

void engine_forget(Engine *engine, Function *function, List *lost) {
    while (!list_empty(&function->attachments))
        detach(engine, NODE_OWNER(function->attachments.next, Attachment, of_function), 0);
    engine_drain(engine, function, lost);
    engine->functions[function->slot] = NULL;
    functions_changed(engine);
    FOR_EACH(&engine->workers, worker, Worker, node) {
        worker->wanted &= ~(UINT64_C(1) << function->slot);
    }
}

void engine_free_function(Engine *engine, Function *function) {
#define ADD(counter) engine->forgotten.counter += function->counters.counter;
    COUNTERS(ADD)
#undef ADD
    engine->release(function);
}

/* ---- workers ---- */

Worker *engine_worker(const Engine *engine, uint64_t client) {
    FOR_EACH(&engine->workers, worker, Worker, node) {
        if (worker->client == client) return worker;
    }
    return NULL;
}

Worker *engine_add_worker(Engine *engine, uint64_t client, const char *user) {
    Worker *worker = engine->allocate(sizeof *worker);
    memset(worker, 0, sizeof *worker);
    worker->client = client;
    worker->user = user;
    list_init(&worker->attachments);
    list_append(&engine->workers, &worker->node);
    return worker;
}

Attachment *engine_attachment(const Function *function, const Worker *worker) {
    FOR_EACH(&worker->attachments, attachment, Attachment, of_worker) {
        if (attachment->function == function) return attachment;
    }
    return NULL;
}

uint64_t engine_served(const Worker *worker) {
    uint64_t slots = 0;
    FOR_EACH(&worker->attachments, attachment, Attachment, of_worker) {
        slots |= UINT64_C(1) << attachment->function->slot;
    }
    return slots;
}

void engine_attach(Engine *engine, Function *function, Worker *worker) {
    Attachment *attachment = engine_attachment(function, worker);
    function->workers += !attachment || !engine_is_current(attachment);
    if (!attachment) {
        attachment = engine->allocate(sizeof *attachment);
        attachment->function = function;
        attachment->worker = worker;
        queue_init(&attachment->events, function);
        list_append(&function->attachments, &attachment->of_function);
        list_append(&worker->attachments, &attachment->of_worker);
    }
    memcpy(attachment->version, function->options.version, sizeof attachment->version);
}

/* A worker is gone or too slow. */
static int give_back(Engine *engine, Item *item, List *lost) {
    Function *function = item->queue->function;
    if (function->options.kind == ON_WRITE) item->oldest = (unsigned short)(item->attempt + 1);
    /* What was written meanwhile has cost nobody anything; and that events were lost may not be
     * lost. */
    if (item->written || (function->options.kind == ON_WRITE && !item->key_length))
        item->written = item->deaths = 0;
    else item->deaths++;
    if (item->deaths >= MAX_DEATHS) {
        lose(item, lost);
        return 0;
    }
    return queue_again(engine, item);
}

void engine_worker_lost(Engine *engine, Worker *worker, long long now, List *lost) {
    while (!list_empty(&worker->attachments)) {
        Attachment *attachment = NODE_OWNER(worker->attachments.next, Attachment, of_worker);
        List *taken = &attachment->function->queue.taken;
        for (Node *node = taken->previous, *before; node != taken; node = before) {
            Item *item = NODE_OWNER(node, Item, node);
            before = node->previous;
            if (item->worker == worker) give_back(engine, item, lost);
        }
        detach(engine, attachment, now);
    }
    list_remove(&worker->node);
    engine->release(worker);
}

static Item *longest_held(const Function *function) {
    const List *taken = &function->queue.taken;
    return list_empty(taken) ? NULL : NODE_OWNER(taken->next, Item, node);
}

void engine_grant_moment(Engine *engine, long long now) {
    for (int slot = 0; slot < MAX_FUNCTIONS; slot++)
        if (engine->functions[slot]) engine->functions[slot]->alone_since = now;
}

/* Clients wait, and no worker has come. */
static int is_abandoned(const Function *function) {
    return function->options.kind == ON_MISS && !function->workers &&
           !list_empty(&function->queue.ready);
}

long long engine_due(const Engine *engine) {
    long long due = INT64_MAX;
    for (int slot = 0, seen = 0; seen < engine->function_count; slot++) {
        const Function *function = engine->functions[slot];
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

size_t engine_expire(Engine *engine, long long now, List *lost, List *abandoned) {
    size_t ready = 0;
    for (int slot = 0; slot < MAX_FUNCTIONS; slot++) {
        Function *function = engine->functions[slot];
        if (!function) continue;
        List *taken = &function->queue.taken;
        long long since = now - function->options.lease;
        Node *node = taken->next;
        while (node != taken && NODE_OWNER(node, Item, node)->taken_at <= since) node = node->next;
        /* Backwards: each goes to the head of the queue, and their order stays. */
        for (Node *before = node->previous; before != taken;) {
            Item *item = NODE_OWNER(before, Item, node);
            before = before->previous;
            ready += (size_t)give_back(engine, item, lost);
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
           engine_is_current(attachment) &&
           (queue == &function->queue || queue == &attachment->events);
}

Worker *engine_sleeper(const Queue *queue) {
    FOR_EACH(&queue->function->attachments, attachment, Attachment, of_function) {
        if (can_take(queue, attachment)) return attachment->worker;
    }
    return NULL;
}

/* ---- items ---- */

Item *engine_find(const Engine *engine, Queue *queue, const char *key, size_t length) {
    Probe probe = {queue, key, length};
    Item **found = tfind(&probe, (void *const *)&engine->by_key, compare_probe);
    return found ? *found : NULL;
}

Item *engine_find_id(const Engine *engine, const char *id, size_t length) {
    if (length != ID_BYTES) return NULL;
    Item **found = tfind(id, (void *const *)&engine->by_id, compare_id);
    if (!found) return NULL;
    char digits[ID_BYTES - RANDOM_ID_BYTES + 1] = {0};
    memcpy(digits, id + RANDOM_ID_BYTES, sizeof digits - 1);
    /* Attempts are counted around a circle of 65,536. */
    unsigned short attempt = (unsigned short)strtol(digits, NULL, 16);
    unsigned short behind = (unsigned short)((*found)->attempt - attempt);
    unsigned short allowed = (unsigned short)((*found)->attempt - (*found)->oldest);
    return (int16_t)allowed < 0 || behind > allowed ? NULL : *found;
}

static int has_room(const Engine *engine, const Function *function, long long bytes) {
    return budget_allows(function->bytes + bytes, engine->bytes, engine->max_bytes,
                         engine->function_count);
}

/* The server keeps the key for each of them, in the command that waits. */
static long long waiter_bytes(size_t key_length) { return WAITER_BYTES + (long long)key_length; }

int engine_may_wait(const Engine *engine, const Function *function, size_t key_length) {
    return has_room(engine, function, waiter_bytes(key_length));
}

static void weigh(Engine *engine, Item *item, long long bytes) {
    engine->bytes += bytes;
    item->queue->function->bytes += bytes;
}

Item *engine_enqueue(Engine *engine, Queue *queue, const char *key, size_t length) {
    long long size = (long long)(sizeof(Item) + length);
    /* The mark that events were lost has no key and always finds room: there is one a queue. */
    int full = queue->pending >= queue->function->options.limit ||
               !has_room(engine, queue->function, size);
    if (length && full) return NULL;
    Item *item = engine->allocate(sizeof *item + length);
    memset(item, 0, sizeof *item);
    list_init(&item->waiters);
    list_init(&item->same_key);
    item->queue = queue;
    item->state = READY;
    engine->random_id(item->id, RANDOM_ID_BYTES);
    item->key_length = length;
    if (length) memcpy(item->key, key, length);
    if (!tsearch(item, &engine->by_key, compare_items)) goto out_of_memory;
    if (!tsearch(item, &engine->by_id, compare_ids)) {
        tdelete(item, &engine->by_key, compare_items);
        goto out_of_memory;
    }
    list_append(&queue->ready, &item->node);
    queue->pending++;
    engine->items++;
    weigh(engine, item, size);
    return item;
out_of_memory:
    engine->release(item);
    return NULL;
}

static Item *first_dropped(const Engine *engine, Queue *queue, const char *key, size_t length) {
    Probe probe = {queue, key, length};
    Item **found = tfind(&probe, (void *const *)&engine->dropped, compare_probe);
    return found ? *found : NULL;
}

static void unlink_dropped(Engine *engine, Item *item) {
    Node *next = item->same_key.next;
    int is_first = first_dropped(engine, item->queue, item->key, item->key_length) == item;
    if (is_first) tdelete(item, &engine->dropped, compare_items);
    list_remove(&item->same_key);
    if (is_first && next != &item->same_key)
        tsearch(NODE_OWNER(next, Item, same_key), &engine->dropped, compare_items);
}

void engine_discard(Engine *engine, Item *item) {
    if (item->dropped) unlink_dropped(engine, item);
    else tdelete(item, &engine->by_key, compare_items);
    tdelete(item, &engine->by_id, compare_ids);
    list_remove(&item->node);
    item->queue->pending--;
    engine->items--;
    weigh(engine, item, -(long long)(sizeof *item + item->key_length + item->value_bytes));
    engine->release(item);
}

void engine_drop(Engine *engine, Item *item) {
    item->queue->function->counters.dropped++;
    if (item->state == READY) {
        /* Whoever takes it next reads the source as it is; whoever held it before did not. */
        item->oldest = (unsigned short)(item->attempt + 1);
        return;
    }
    engine_hide(engine, item);
}

void engine_hide(Engine *engine, Item *item) {
    tdelete(item, &engine->by_key, compare_items);
    item->dropped = 1;
    Item **first = tsearch(item, &engine->dropped, compare_items);
    if (first && *first != item) list_append(&(*first)->same_key, &item->same_key);
}

void engine_hold(Engine *engine, Item *item, void *value, size_t bytes) {
    item->state = ANSWERED;
    item->worker = NULL;
    item->value = value;
    item->value_bytes = bytes;
    weigh(engine, item, (long long)bytes);
    list_remove(&item->node);
    list_append(&engine->answered, &item->node);
}

long long engine_stored(Engine *engine, long long now, int forever_only) {
    long long stored = 0;
    for (int slot = 0; slot < MAX_FUNCTIONS; slot++) {
        Function *function = engine->functions[slot];
        if (!function || (forever_only && function->options.cache != CACHE_FOREVER)) continue;
        stored += budget_at(&function->stored, function->options.cache, now);
    }
    return stored;
}

Item *engine_written(Engine *engine, Queue *queue, const char *key, size_t length) {
    Item *item = engine_find(engine, queue, key, length);
    if (item) {
        if (item->state == TAKEN) item->written = 1;
        return NULL;
    }
    item = engine_enqueue(engine, queue, key, length);
    if (item || !length) return item;
    queue->function->counters.dropped++;
    return engine_written(engine, queue, "", 0);
}

static size_t take_from(Queue *queue, Worker *worker, long long now, Item **out, size_t room) {
    size_t taken = 0;
    int each = queue != &queue->function->queue;
    while (taken < room && !list_empty(&queue->ready)) {
        Item *item = NODE_OWNER(queue->ready.next, Item, node);
        if (item->deaths && (taken || room < (size_t)worker->count)) break;
        list_remove(&item->node);
        list_append(&queue->taken, &item->node);
        out[taken++] = item;
        queue->function->counters.taken++;
        if (each) continue;
        item->state = TAKEN;
        item->worker = worker;
        item->user = worker->user;
        item->taken_at = now;
        item->written = 0;
        item->attempt++;
        snprintf(item->id + RANDOM_ID_BYTES, sizeof item->id - RANDOM_ID_BYTES, "%04x",
                 item->attempt);
        if (item->deaths) break;
    }
    return taken;
}

static int is_wanted(const Worker *worker, const Attachment *attachment, Kind kind) {
    const Function *function = attachment->function;
    return function->options.kind == kind && engine_is_current(attachment) &&
           worker->wanted >> function->slot & 1;
}

size_t engine_take(Worker *worker, long long now, Item **out) {
    size_t taken = 0, room = (size_t)worker->count;
    Attachment *served = NULL;
    int alone = 0;
    for (Kind kind = ON_MISS; kind <= ON_WRITE; kind++) {
        FOR_EACH(&worker->attachments, attachment, Attachment, of_worker) {
            if (alone || !is_wanted(worker, attachment, kind)) continue;
            Function *function = attachment->function;
            Queue *queue = function->options.each ? &attachment->events : &function->queue;
            taken += take_from(queue, worker, now, out + taken, room - taken);
            if (taken && !served) served = attachment;
            alone = taken && out[taken - 1]->deaths;
        }
    }
    if (served) { /* it is the last one next time: many items of one starve no other */
        list_remove(&served->of_worker);
        list_append(&worker->attachments, &served->of_worker);
    }
    return taken;
}

Item *engine_acknowledge(Engine *engine, Item *item) {
    if (!item->written) {
        engine_discard(engine, item);
        return NULL;
    }
    item->written = 0;
    item->deaths = 0;
    item->oldest = (unsigned short)(item->attempt + 1);
    item->state = READY;
    item->worker = NULL;
    list_remove(&item->node);
    list_append(&item->queue->ready, &item->node);
    return item;
}

/* ---- waiters ---- */

void engine_wait(Engine *engine, Item *item, Waiter *waiter) {
    waiter->item = item;
    list_append(&item->waiters, &waiter->node);
    engine->waiters++;
    weigh(engine, item, waiter_bytes(item->key_length));
}

static void unlink_waiter(Engine *engine, Waiter *waiter) {
    weigh(engine, waiter->item, -waiter_bytes(waiter->item->key_length));
    waiter->item = NULL;
    list_remove(&waiter->node);
    engine->waiters--;
}

int engine_is_awaited(const Engine *engine, Queue *queue, const char *key, size_t length) {
    if (!engine->waiters) return 0;
    const Item *item = engine_find(engine, queue, key, length);
    if (item && !list_empty(&item->waiters)) return 1;
    const Item *first = first_dropped(engine, queue, key, length), *each = first;
    while (each && list_empty(&each->waiters)) {
        each = NODE_OWNER(each->same_key.next, Item, same_key);
        if (each == first) return 0;
    }
    return each != NULL;
}

/* In front of those who wait there: they asked earlier. */
static void move_waiters(Item *from, Item *to) {
    while (!list_empty(&from->waiters)) {
        Waiter *waiter = NODE_OWNER(from->waiters.previous, Waiter, node);
        waiter->item = to;
        list_remove(&waiter->node);
        list_prepend(&to->waiters, &waiter->node);
    }
}

void engine_adopt(Engine *engine, Item *item) {
    Item *dropped = first_dropped(engine, item->queue, item->key, item->key_length);
    if (!dropped) return;
    int count = 1;
    FOR_EACH(&dropped->same_key, each, Item, same_key) { count++; }
    while (count--) {
        Item *next = NODE_OWNER(dropped->same_key.next, Item, same_key);
        move_waiters(dropped, item);
        if (dropped->state == READY) engine_discard(engine, dropped); /* nobody waits for it */
        dropped = next;
    }
}

void engine_leave(Engine *engine, Waiter *waiter) {
    Item *item = waiter->item;
    if (!item) return;
    unlink_waiter(engine, waiter);
    if (item->state == READY && list_empty(&item->waiters)) engine_discard(engine, item);
}

Waiter *engine_next_waiter(Engine *engine, Item *item) {
    if (list_empty(&item->waiters)) return NULL;
    Waiter *waiter = NODE_OWNER(item->waiters.next, Waiter, node);
    unlink_waiter(engine, waiter);
    return waiter;
}
