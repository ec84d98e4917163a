/* server_events.c: hears what happens in the server, and acts on it.
 *
 * What happens, and what follows
 *   a key is written       clients that wait for it get that value; a write event is queued
 *   a client leaves        if it was a worker, the items that it held are queued again
 *   a database is flushed  clients that wait for its keys get an error; functions on written keys
 *     or swapped             are told to walk all keys (an overflow mark)
 *   slots have come        functions on written keys are told to walk all keys: their events came
 *                            while this node did not own the slots, and no worker could read them
 *   a file or a snapshot   the library is read (function_library.c)
 *     has been loaded
 *   a snapshot has been    the same as after a flush, and the library is read; until then the old
 *     loaded beside the      data is served, and nothing changes when the loading begins or is
 *     old data               given up
 *   the server becomes     clients that still wait get an error; the server has redirected the
 *     a replica              others
 *   the server becomes     functions on written keys are told to walk all keys; misses may wait for
 *     a primary              a first worker; the library is saved
 *
 * Each subscription to a server event costs every turn of the event loop a few nanoseconds, so
 * there are only those that are needed. */
#include "server_events.h"

#include "lease_timer.h"
#include "dispatcher.h"
#include "items.h"
#include "function_library.h"
#include "module_state.h"
#include "waiters.h"
#include "workers.h"

static int is_replica;

/* ---- keys ---- */

static void note_written(Function *function, const char *key, size_t length) {
    /* A worker that comes later walks all keys. On a replica no worker takes items. */
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
        /* Only when a client waits for a miss: the server walks all clients that are blocked on a
         * ready key, and readers may block on it by other commands, too. */
        if (dispatcher_is_awaited(&dispatcher, &function->queue, key.bytes, key.length))
            RM_SignalKeyAsReady(ctx, name);
    }
    return REDISMODULE_OK;
}

/* Tells functions on written keys to walk all keys. */
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
    library_read(); /* at once, or the next client that asks may get a false nil */
    library_follow();
}

/* A replica has loaded its primary's snapshot beside its own data (repl-diskless-load swapdb), and
 * serves it in place of that data. The server reports no flush. */
static void on_async_load(RedisModuleCtx *ctx, RedisModuleEvent event, uint64_t subevent,
                          void *data) {
    (void)ctx, (void)event, (void)data;
    if (subevent != SUBEVENT_ASYNC_LOAD_COMPLETED) return;
    dispatcher_emptied(&dispatcher, -1);
    database_changed(-1);
    library_read();
    library_follow();
}

static void on_role(RedisModuleCtx *ctx, RedisModuleEvent event, uint64_t subevent, void *data) {
    (void)ctx, (void)event, (void)data;
    is_replica = subevent == SUBEVENT_NOW_REPLICA;
    if (!is_replica) {
        /* Workers that have stayed have not been told of the primary's writes. Other workers need
         * the same moment to attach as after the loss of a worker. */
        events_were_lost(-1);
        dispatcher_grant_moment(&dispatcher, now_ms());
        library_follow();
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
    set_lease_timer();
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
    /* On Redis this event's number stands for something else. */
    if (api_is_valkey)
        RM_SubscribeToServerEvent(ctx, (RedisModuleEvent){EVENT_ATOMIC_SLOT_MIGRATION, 1},
                                  on_migration);
    return done;
}
