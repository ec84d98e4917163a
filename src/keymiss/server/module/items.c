/* items.c: items, and the clients that wait for them; see dispatcher_types.h for the life of an
 * item.
 *
 * Every item is in the tree by_id. A dropped item is in the tree `dropped`, or linked to one that
 * is; every other item is in by_key. */
#include "items.h"

#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- trees ---- */

/* What identifies an item: a look-up by key needs this and no whole item. */
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

static int compare_clients(const void *a, const void *b) {
    uint64_t left = ((const Waiter *)a)->client, right = ((const Waiter *)b)->client;
    return left < right ? -1 : left > right;
}

/* ---- items ---- */

Item *dispatcher_find(const Dispatcher *dispatcher, Queue *queue, const char *key, size_t length) {
    Probe probe = {queue, key, length};
    Item **found = tfind(&probe, (void *const *)&dispatcher->by_key, compare_probe);
    return found ? *found : NULL;
}

Item *dispatcher_find_id(const Dispatcher *dispatcher, const char *id, size_t length) {
    if (length != ID_BYTES) return NULL;
    Item **found = tfind(id, (void *const *)&dispatcher->by_id, compare_id);
    if (!found) return NULL;
    char digits[ID_BYTES - RANDOM_ID_BYTES + 1] = {0};
    memcpy(digits, id + RANDOM_ID_BYTES, sizeof digits - 1);
    /* Attempts are counted modulo 65,536. */
    unsigned short attempt = (unsigned short)strtol(digits, NULL, 16);
    unsigned short behind = (unsigned short)((*found)->attempt - attempt);
    unsigned short allowed = (unsigned short)((*found)->attempt - (*found)->oldest);
    return (int16_t)allowed < 0 || behind > allowed ? NULL : *found;
}

static int has_room(const Dispatcher *dispatcher, const Function *function, long long bytes) {
    return budget_allows(function->bytes + bytes, dispatcher->bytes, dispatcher->max_bytes,
                         dispatcher->function_count);
}

/* The server keeps the key for each waiter, in the command that waits. */
static long long waiter_bytes(size_t key_length) { return WAITER_BYTES + (long long)key_length; }

int dispatcher_may_wait(const Dispatcher *dispatcher, const Function *function, uint64_t client,
                        size_t key_length) {
    Waiter earlier = {.client = client};
    return has_room(dispatcher, function, waiter_bytes(key_length)) &&
           !tfind(&earlier, (void *const *)&dispatcher->by_client, compare_clients);
}

static void weigh(Dispatcher *dispatcher, Item *item, long long bytes) {
    dispatcher->bytes += bytes;
    item->queue->function->bytes += bytes;
}

Item *dispatcher_enqueue(Dispatcher *dispatcher, Queue *queue, const char *key, size_t length) {
    long long size = (long long)(sizeof(Item) + length);
    /* The mark that events were lost has no key and always finds room: a queue has at most one. */
    int full = queue->pending >= queue->function->options.limit ||
               !has_room(dispatcher, queue->function, size);
    if (length && full) return NULL;
    Item *item = dispatcher->allocate(sizeof *item + length);
    memset(item, 0, sizeof *item);
    list_init(&item->waiters);
    list_init(&item->same_key);
    item->queue = queue;
    item->state = READY;
    dispatcher->random_id(item->id, RANDOM_ID_BYTES);
    item->key_length = length;
    if (length) memcpy(item->key, key, length);
    if (!tsearch(item, &dispatcher->by_key, compare_items)) goto out_of_memory;
    if (!tsearch(item, &dispatcher->by_id, compare_ids)) {
        tdelete(item, &dispatcher->by_key, compare_items);
        goto out_of_memory;
    }
    list_append(&queue->ready, &item->node);
    queue->pending++;
    dispatcher->items++;
    weigh(dispatcher, item, size);
    return item;
out_of_memory:
    dispatcher->release(item);
    return NULL;
}

static Item *first_dropped(const Dispatcher *dispatcher, Queue *queue, const char *key,
                           size_t length) {
    Probe probe = {queue, key, length};
    Item **found = tfind(&probe, (void *const *)&dispatcher->dropped, compare_probe);
    return found ? *found : NULL;
}

static void unlink_dropped(Dispatcher *dispatcher, Item *item) {
    Node *next = item->same_key.next;
    int is_first = first_dropped(dispatcher, item->queue, item->key, item->key_length) == item;
    if (is_first) tdelete(item, &dispatcher->dropped, compare_items);
    list_remove(&item->same_key);
    if (is_first && next != &item->same_key)
        tsearch(NODE_OWNER(next, Item, same_key), &dispatcher->dropped, compare_items);
}

void dispatcher_discard(Dispatcher *dispatcher, Item *item) {
    if (item->dropped) unlink_dropped(dispatcher, item);
    else tdelete(item, &dispatcher->by_key, compare_items);
    tdelete(item, &dispatcher->by_id, compare_ids);
    list_remove(&item->node);
    item->queue->pending--;
    dispatcher->items--;
    weigh(dispatcher, item, -(long long)(sizeof *item + item->key_length + item->value_bytes));
    dispatcher->release(item);
}

void dispatcher_drop(Dispatcher *dispatcher, Item *item) {
    item->queue->function->counters.dropped++;
    if (item->state == READY) {
        /* The next worker reads the source as it is; a worker that held it before did not. */
        item->oldest = (unsigned short)(item->attempt + 1);
        return;
    }
    dispatcher_hide(dispatcher, item);
}

void dispatcher_hide(Dispatcher *dispatcher, Item *item) {
    tdelete(item, &dispatcher->by_key, compare_items);
    item->dropped = 1;
    Item **first = tsearch(item, &dispatcher->dropped, compare_items);
    if (first && *first != item) list_append(&(*first)->same_key, &item->same_key);
}

void dispatcher_hold(Dispatcher *dispatcher, Item *item, void *value, size_t bytes) {
    item->state = ANSWERED;
    item->worker = NULL;
    item->value = value;
    item->value_bytes = bytes;
    weigh(dispatcher, item, (long long)bytes);
    list_remove(&item->node);
    list_append(&dispatcher->answered, &item->node);
}

Item *dispatcher_written(Dispatcher *dispatcher, Queue *queue, const char *key, size_t length) {
    Item *item = dispatcher_find(dispatcher, queue, key, length);
    if (item) {
        if (item->state == TAKEN) item->written = 1;
        return NULL;
    }
    item = dispatcher_enqueue(dispatcher, queue, key, length);
    if (item || !length) return item;
    queue->function->counters.dropped++;
    return dispatcher_written(dispatcher, queue, "", 0);
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
    return function->options.kind == kind && dispatcher_is_current(attachment) &&
           worker->wanted >> function->slot & 1;
}

size_t dispatcher_take(Worker *worker, long long now, Item **out) {
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
    if (served) { /* it comes last next time: many items of one function starve no other */
        list_remove(&served->of_worker);
        list_append(&worker->attachments, &served->of_worker);
    }
    return taken;
}

Item *dispatcher_acknowledge(Dispatcher *dispatcher, Item *item) {
    if (!item->written) {
        dispatcher_discard(dispatcher, item);
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

void dispatcher_wait(Dispatcher *dispatcher, Item *item, Waiter *waiter, uint64_t client) {
    waiter->item = item;
    waiter->client = client;
    tsearch(waiter, &dispatcher->by_client, compare_clients);
    list_append(&item->waiters, &waiter->node);
    dispatcher->waiters++;
    weigh(dispatcher, item, waiter_bytes(item->key_length));
}

static void unlink_waiter(Dispatcher *dispatcher, Waiter *waiter) {
    weigh(dispatcher, waiter->item, -waiter_bytes(waiter->item->key_length));
    waiter->item = NULL;
    list_remove(&waiter->node);
    dispatcher->waiters--;
    dispatcher->leaving++;
}

int dispatcher_is_awaited(const Dispatcher *dispatcher, Queue *queue, const char *key,
                          size_t length) {
    if (!dispatcher->waiters) return 0;
    const Item *item = dispatcher_find(dispatcher, queue, key, length);
    if (item && !list_empty(&item->waiters)) return 1;
    const Item *first = first_dropped(dispatcher, queue, key, length), *each = first;
    while (each && list_empty(&each->waiters)) {
        each = NODE_OWNER(each->same_key.next, Item, same_key);
        if (each == first) return 0;
    }
    return each != NULL;
}

/* They go in front of the waiters there, since they asked earlier. */
static void move_waiters(Item *from, Item *to) {
    while (!list_empty(&from->waiters)) {
        Waiter *waiter = NODE_OWNER(from->waiters.previous, Waiter, node);
        waiter->item = to;
        list_remove(&waiter->node);
        list_prepend(&to->waiters, &waiter->node);
    }
}

void dispatcher_adopt(Dispatcher *dispatcher, Item *item) {
    Item *dropped = first_dropped(dispatcher, item->queue, item->key, item->key_length);
    if (!dropped) return;
    int count = 1;
    FOR_EACH(&dropped->same_key, each, Item, same_key) { count++; }
    while (count--) {
        Item *next = NODE_OWNER(dropped->same_key.next, Item, same_key);
        move_waiters(dropped, item);
        if (dropped->state == READY)
            dispatcher_discard(dispatcher, dropped); /* no client waits for it */
        dropped = next;
    }
}

void dispatcher_leave(Dispatcher *dispatcher, Waiter *waiter) {
    Item *item = waiter->item;
    if (!item) return;
    unlink_waiter(dispatcher, waiter);
    if (item->state == READY && list_empty(&item->waiters)) dispatcher_discard(dispatcher, item);
}

void dispatcher_free_waiter(Dispatcher *dispatcher, Waiter *waiter) {
    dispatcher_leave(dispatcher, waiter);
    dispatcher->leaving--;
    tdelete(waiter, &dispatcher->by_client, compare_clients);
}

Waiter *dispatcher_next_waiter(Dispatcher *dispatcher, Item *item) {
    if (list_empty(&item->waiters)) return NULL;
    Waiter *waiter = NODE_OWNER(item->waiters.next, Waiter, node);
    unlink_waiter(dispatcher, waiter);
    return waiter;
}
