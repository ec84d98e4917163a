/* events.c: hears what happens in the server.
 *
 * What is heard, and what follows
 *   a key is written       clients that wait for it get that value; a write event is queued
 *   a client leaves        if it was a worker, what it held is queued again
 *   a database is flushed  who waits for a key of it gets an error; write functions are told to
 *     or swapped             walk the keys (an overflow mark)
 *   slots have come        write functions are told to walk the keys: the keys came as events while
 *                            this node did not own them, and nobody could read them
 *   a file or a snapshot   the registry is read (registry.c)
 *     has been loaded
 *   another snapshot has   the same as after a flush; until then the old one is served, and nothing
 *     been loaded beside     changes when the loading begins or is given up
 *   it becomes a replica   who still waits gets an error; the server has redirected the others
 *   the clock              leases end; clients of a function without workers get an error
 *
 * A subscription to any server event costs every turn of the event loop a few nanoseconds a
 * subscription, so there are no more than needed. */
#include "events.h"

#include "clock.h"
#include "dispatcher.h"
#include "items.h"
#include "registry.h"
#include "server.h"
#include "waiters.h"
#include "workers.h"

static int is_replica;

/* ---- keys ---- */

static void note_written(Function *function, const char *key, size_t length) {
    /* A worker that comes walks all keys. On a replica nobody takes items. */
    if (is_replica || list_empty(&dispatcher.workers)) return;
    if (!function->options.each) {
        if (dispatcher_written(&dispatcher, &function->queue, key, length))
            wake_worker(&function->queue);
        return;
    }
    FOR_EACH(&function->attachments, attachment, Attachment, of_function) {
        if (dispatcher_written(&dispatcher, &attachment->events, key, length))
            wake_worker(&attachment->events);
    }
}

static int on_key_event(RedisModuleCtx *ctx, int type, const char *event, RedisModuleString *name) {
    (void)type, (void)event;
    Text key = text_of(name);
    Function *function;
    for (int slot = 0;
         (function = dispatcher_next_match(&dispatcher, key.bytes, key.length, &slot));) {
        if (function->db != RM_GetSelectedDb(ctx)) continue;
        if (function->options.kind == ON_WRITE) {
            note_written(function, key.bytes, key.length);
            continue;
        }
        /* Only where a client of ours waits: the server walks all clients that are blocked on a key
         * which is ready, and readers may block on it by other commands, too. */
        if (dispatcher_is_awaited(&dispatcher, &function->queue, key.bytes, key.length))
            RM_SignalKeyAsReady(ctx, name);
    }
    return REDISMODULE_OK;
}

/* Write functions are told to walk the keys. */
static void events_were_lost(int db) {
    for (int slot = 0; slot < MAX_FUNCTIONS; slot++) {
        Function *function = dispatcher.functions[slot];
        if (function && function->options.kind == ON_WRITE && (db < 0 || function->db == db))
            note_written(function, "", 0);
    }
}

static void drain(Function *function, const char *reason) {
    List items;
    list_init(&items);
    dispatcher_drain(&dispatcher, function, &items);
    fail_items(&items, reason);
}

static void database_changed(int db) {
    for (int slot = 0; slot < MAX_FUNCTIONS; slot++) {
        Function *function = dispatcher.functions[slot];
        if (function && function->options.kind == ON_MISS && (db < 0 || function->db == db))
            drain(function, "flushed the database was flushed or swapped while you waited");
    }
    events_were_lost(db);
}

static void on_flush(RedisModuleCtx *ctx, RedisModuleEvent event, uint64_t subevent, void *data) {
    (void)ctx, (void)event;
    if (subevent != SUBEVENT_FLUSHDB_END) return;
    int db = ((const RedisModuleFlushInfo *)data)->dbnum;
    dispatcher_emptied(&dispatcher, db);
    database_changed(db);
}

static void on_swap(RedisModuleCtx *ctx, RedisModuleEvent event, uint64_t subevent, void *data) {
    (void)ctx, (void)event, (void)subevent;
    const RedisModuleSwapDbInfo *swapped = data;
    database_changed(swapped->first);
    database_changed(swapped->second);
}

static void on_migration(RedisModuleCtx *ctx, RedisModuleEvent event, uint64_t subevent,
                         void *data) {
    (void)ctx, (void)event, (void)data;
    if (subevent == SUBEVENT_IMPORT_COMPLETED) events_were_lost(-1);
    if (subevent == SUBEVENT_EXPORT_STARTED) slots_leave(1);
    if (subevent == SUBEVENT_EXPORT_ABORTED || subevent == SUBEVENT_EXPORT_COMPLETED)
        slots_leave(0);
}

/* ---- the server ---- */

static void on_loading(RedisModuleCtx *ctx, RedisModuleEvent event, uint64_t subevent, void *data) {
    (void)ctx, (void)event, (void)data;
    if (subevent != SUBEVENT_LOADING_ENDED) return;
    registry_read(); /* at once: who asks next must get no false nil */
    registry_follow();
}

/* A replica has loaded its primary's snapshot beside its own data (repl-diskless-load swapdb), and
 * taken it in their place: no flush is told of. */
static void on_async_load(RedisModuleCtx *ctx, RedisModuleEvent event, uint64_t subevent,
                          void *data) {
    (void)ctx, (void)event, (void)data;
    if (subevent != SUBEVENT_ASYNC_LOAD_COMPLETED) return;
    dispatcher_emptied(&dispatcher, -1);
    database_changed(-1);
    registry_read();
    registry_follow();
}

static void on_role(RedisModuleCtx *ctx, RedisModuleEvent event, uint64_t subevent, void *data) {
    (void)ctx, (void)event, (void)data;
    is_replica = subevent == SUBEVENT_NOW_REPLICA;
    if (!is_replica) {
        /* Workers that have stayed have not heard what came from the primary; others need the
         * moment that they have after a worker's loss. */
        events_were_lost(-1);
        dispatcher_grant_moment(&dispatcher, now_ms());
        registry_follow();
        return;
    }
    for (int slot = 0; slot < MAX_FUNCTIONS; slot++)
        if (dispatcher.functions[slot])
            drain(dispatcher.functions[slot],
                  "replica the server became a replica while you waited");
}

static void on_client(RedisModuleCtx *ctx, RedisModuleEvent event, uint64_t subevent, void *data) {
    (void)ctx, (void)event;
    if (subevent != SUBEVENT_CLIENT_DISCONNECTED) return;
    Worker *worker = dispatcher_worker(&dispatcher, ((const RedisModuleClientInfo *)data)->id);
    if (!worker) return;
    List lost;
    list_init(&lost);
    if (worker->parked) unpark_worker(worker);
    uint64_t served = dispatcher_served(worker);
    dispatcher_worker_lost(&dispatcher, worker, now_ms(), &lost);
    fail_lost(&lost);
    wake_workers(served);
    watch_the_clock();
}

int subscribe_to_events(RedisModuleCtx *ctx) {
    is_replica = (RM_GetContextFlags(ctx) & REDISMODULE_CTX_FLAGS_REPLICA) != 0;
    int types = REDISMODULE_NOTIFY_GENERIC | REDISMODULE_NOTIFY_STRING | REDISMODULE_NOTIFY_LIST |
                REDISMODULE_NOTIFY_SET | REDISMODULE_NOTIFY_HASH | REDISMODULE_NOTIFY_ZSET |
                REDISMODULE_NOTIFY_STREAM | REDISMODULE_NOTIFY_MODULE | REDISMODULE_NOTIFY_EXPIRED |
                REDISMODULE_NOTIFY_EVICTED;
    const struct {
        uint64_t id;
        EventFn function;
    } events[] = {
        {EVENT_ROLE_CHANGED, on_role},    {EVENT_FLUSHDB, on_flush},
        {EVENT_CLIENT_CHANGE, on_client}, {EVENT_SWAPDB, on_swap},
        {EVENT_LOADING, on_loading},      {EVENT_REPL_ASYNC_LOAD, on_async_load},
    };
    int done = RM_SubscribeToKeyspaceEvents(ctx, types, on_key_event);
    for (size_t i = 0; i < sizeof events / sizeof *events && done == REDISMODULE_OK; i++)
        done =
            RM_SubscribeToServerEvent(ctx, (RedisModuleEvent){events[i].id, 1}, events[i].function);
    /* On Redis the number stands for something else. */
    if (api_is_valkey)
        RM_SubscribeToServerEvent(ctx, (RedisModuleEvent){EVENT_ATOMIC_SLOT_MIGRATION, 1},
                                  on_migration);
    return done;
}
