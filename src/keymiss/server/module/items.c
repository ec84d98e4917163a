/* items.c: what is to be computed, and who waits for it; see engine.h for the life of an item.
 *
 * An item that can be found by its key is in by_key, a dropped one in `dropped`, each in by_id. */
#include "engine.h"

#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static int compare_clients(const void *a, const void *b) {
    uint64_t left = ((const Waiter *)a)->client, right = ((const Waiter *)b)->client;
    return left < right ? -1 : left > right;
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

int engine_may_wait(const Engine *engine, const Function *function, uint64_t client,
                    size_t key_length) {
    Waiter earlier = {.client = client};
    return has_room(engine, function, waiter_bytes(key_length)) &&
           !tfind(&earlier, (void *const *)&engine->by_client, compare_clients);
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

void engine_wait(Engine *engine, Item *item, Waiter *waiter, uint64_t client) {
    waiter->item = item;
    waiter->client = client;
    tsearch(waiter, &engine->by_client, compare_clients);
    list_append(&item->waiters, &waiter->node);
    engine->waiters++;
    weigh(engine, item, waiter_bytes(item->key_length));
}

static void unlink_waiter(Engine *engine, Waiter *waiter) {
    weigh(engine, waiter->item, -waiter_bytes(waiter->item->key_length));
    waiter->item = NULL;
    list_remove(&waiter->node);
    engine->waiters--;
    engine->leaving++;
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

void engine_free_waiter(Engine *engine, Waiter *waiter) {
    engine_leave(engine, waiter);
    engine->leaving--;
    tdelete(waiter, &engine->by_client, compare_clients);
}

Waiter *engine_next_waiter(Engine *engine, Item *item) {
    if (list_empty(&item->waiters)) return NULL;
    Waiter *waiter = NODE_OWNER(item->waiters.next, Waiter, node);
    unlink_waiter(engine, waiter);
    return waiter;
}
