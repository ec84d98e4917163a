/* keymiss.c: loads the module, and hears what happens in the server.
 *
 * What is heard, and what follows
 *   a key is written   clients that wait for it get that value; a write event is queued
 *   a client leaves    if it was a worker, what it held is queued again
 *   a database is flushed or swapped   nothing in progress is stored; write functions are told to
 *                      walk the keys (an overflow mark)
 *   ten times a second   leases end; clients of a function without workers get an error
 *
 * One thread, no locks: every function here runs in the server's main thread. */
#include "keymiss.h"

#include <string.h>
#include <time.h>

Engine engine;

long long now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* ---- keys ---- */

static void note_written(Function *function, const char *key, size_t length) {
    if (!function->options.each) {
        if (engine_written(&engine, &function->queue, key, length)) wake_worker(&function->queue);
        return;
    }
    for (Node *node = function->attachments.next; node != &function->attachments;
         node = node->next) {
        Attachment *attachment = NODE_OWNER(node, Attachment, of_function);
        if (engine_written(&engine, &attachment->events, key, length))
            wake_worker(&attachment->events);
    }
}

static int on_key_event(RedisModuleCtx *ctx, int type, const char *event, RedisModuleString *name) {
    (void)type, (void)event;
    size_t length;
    const char *key = RM_StringPtrLen(name, &length);
    Function *function = engine_match(&engine, key, length);
    if (!function || function->db != RM_GetSelectedDb(ctx)) return REDISMODULE_OK;
    if (function->options.kind == ON_WRITE) {
        note_written(function, key, length);
        return REDISMODULE_OK;
    }
    Item *item = engine_find(&engine, &function->queue, key, length);
    if (item && !list_empty(&item->waiters)) RM_SignalKeyAsReady(ctx, name);
    return REDISMODULE_OK;
}

static void database_changed(int db) {
    for (int slot = 0; slot < MAX_FUNCTIONS; slot++) {
        Function *function = engine.functions[slot];
        if (!function || (db >= 0 && function->db != db)) continue;
        if (function->options.kind == ON_WRITE) {
            note_written(function, "", 0);
            continue;
        }
        List *lists[] = {&function->queue.ready, &function->queue.taken, &engine.answered};
        for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
            for (Node *node = lists[i]->next; node != lists[i]; node = node->next) {
                Item *item = NODE_OWNER(node, Item, node);
                if (item->queue == &function->queue) item->dropped = 1;
            }
    }
}

static void on_flush(RedisModuleCtx *ctx, RedisModuleEvent event, uint64_t subevent, void *data) {
    (void)ctx, (void)event;
    if (subevent == SUBEVENT_FLUSHDB_END)
        database_changed(((const RedisModuleFlushInfo *)data)->dbnum);
}

static void on_swap(RedisModuleCtx *ctx, RedisModuleEvent event, uint64_t subevent, void *data) {
    (void)ctx, (void)event, (void)subevent, (void)data;
    database_changed(-1);
}

/* ---- workers ---- */

static void fail_lost(List *lost) {
    fail_items(lost, "KEYMISS failed WorkerLost: three workers were lost while computing this key");
}

static void wake_all(void) {
    for (int slot = 0; slot < MAX_FUNCTIONS; slot++) {
        Function *function = engine.functions[slot];
        if (function && !list_empty(&function->queue.ready)) wake_worker(&function->queue);
    }
}

static void on_client(RedisModuleCtx *ctx, RedisModuleEvent event, uint64_t subevent, void *data) {
    (void)ctx, (void)event;
    if (subevent != SUBEVENT_CLIENT_DISCONNECTED) return;
    Worker *worker = engine_worker(&engine, ((const RedisModuleClientInfo *)data)->id);
    if (!worker) return;
    List lost;
    list_init(&lost);
    if (worker->parked) {
        RM_UnblockClient(worker->parked, NULL);
        worker->parked = NULL;
    }
    engine_worker_lost(&engine, worker, now_ms(), &lost);
    fail_lost(&lost);
    wake_all();
}

static void fail_abandoned(Function *function) {
    List lost;
    list_init(&lost);
    while (!list_empty(&function->queue.ready)) {
        Node *node = function->queue.ready.next;
        list_remove(node);
        list_append(&lost, node);
    }
    fail_items(&lost, "KEYMISS unavailable no worker serves this key; start `keymiss worker`");
}

static void on_cron(RedisModuleCtx *ctx, RedisModuleEvent event, uint64_t subevent, void *data) {
    (void)ctx, (void)event, (void)subevent, (void)data;
    List lost;
    list_init(&lost);
    long long now = now_ms();
    if (engine_expire_leases(&engine, now, &lost)) wake_all();
    fail_lost(&lost);
    for (int slot = 0; slot < MAX_FUNCTIONS; slot++) {
        Function *function = engine.functions[slot];
        if (function && function->options.kind == ON_MISS && !function->workers &&
            now - function->alone_since >= ALONE_MS)
            fail_abandoned(function);
    }
}

/* ---- INFO keymiss ---- */

static void on_info(RedisModuleInfoCtx *info, int for_crash_report) {
    (void)for_crash_report;
    Counters sum = {0};
    long long workers = 0;
    for (int slot = 0; slot < MAX_FUNCTIONS; slot++) {
        if (!engine.functions[slot]) continue;
#define ADD(counter) sum.counter += engine.functions[slot]->counters.counter;
        COUNTERS(ADD)
    }
    for (Node *node = engine.workers.next; node != &engine.workers; node = node->next) workers++;
    RM_InfoAddSection(info, "");
    RM_InfoAddFieldLongLong(info, "functions", engine.function_count);
    RM_InfoAddFieldLongLong(info, "workers", workers);
    RM_InfoAddFieldLongLong(info, "pending", engine.items);
    RM_InfoAddFieldLongLong(info, "pending_bytes", (long long)engine.bytes);
    RM_InfoAddFieldLongLong(info, "waiting", engine.waiters);
#define SHOW(counter) RM_InfoAddFieldLongLong(info, #counter, sum.counter);
    COUNTERS(SHOW)
}

/* ---- load and unload ---- */

typedef struct Command {
    const char *name;
    CommandFn function;
    const char *flags;
    int first_key, last_key, key_step;
    const char *categories;
} Command;

static const Command commands[] = {
    {"KEYMISS.GET", get_command, "readonly", 1, 1, 1, "read string"},
    {"KEYMISS.SERVE", serve_command, "write deny-script", 0, 0, 0, "admin dangerous"},
    {"KEYMISS.TAKE", take_command, "deny-script", 0, 0, 0, "admin dangerous"},
    {"KEYMISS.ANSWER", answer_command, "deny-script", 0, 0, 0, "admin dangerous"},
    {"KEYMISS.FAIL", fail_command, "deny-script", 0, 0, 0, "admin dangerous"},
    {"KEYMISS.DROP", drop_command, "write", 1, -1, 1, "admin dangerous"},
    {"KEYMISS.FORGET", forget_command, "write deny-script", 0, 0, 0, "admin dangerous"},
    {"KEYMISS.LIST", list_command, "readonly", 0, 0, 0, "read slow"},
};

static int create_command(RedisModuleCtx *ctx, const Command *command) {
    if (RM_CreateCommand(ctx, command->name, command->function, command->flags, command->first_key,
                         command->last_key, command->key_step) != REDISMODULE_OK)
        return REDISMODULE_ERR;
    if (!RM_GetCommand || !RM_SetCommandACLCategories) return REDISMODULE_OK;
    return RM_SetCommandACLCategories(RM_GetCommand(ctx, command->name), command->categories);
}

static int subscribe(RedisModuleCtx *ctx) {
    int types = REDISMODULE_NOTIFY_GENERIC | REDISMODULE_NOTIFY_STRING | REDISMODULE_NOTIFY_LIST |
                REDISMODULE_NOTIFY_SET | REDISMODULE_NOTIFY_HASH | REDISMODULE_NOTIFY_ZSET |
                REDISMODULE_NOTIFY_STREAM | REDISMODULE_NOTIFY_MODULE | REDISMODULE_NOTIFY_EXPIRED |
                REDISMODULE_NOTIFY_EVICTED;
    return RM_SubscribeToKeyspaceEvents(ctx, types, on_key_event) ||
           RM_SubscribeToServerEvent(ctx, (RedisModuleEvent){EVENT_CLIENT_CHANGE, 1}, on_client) ||
           RM_SubscribeToServerEvent(ctx, (RedisModuleEvent){EVENT_FLUSHDB, 1}, on_flush) ||
           RM_SubscribeToServerEvent(ctx, (RedisModuleEvent){EVENT_SWAPDB, 1}, on_swap) ||
           RM_SubscribeToServerEvent(ctx, (RedisModuleEvent){EVENT_CRON_LOOP, 1}, on_cron);
}

#define EXPORTED __attribute__((visibility("default")))

EXPORTED int RedisModule_OnLoad(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    (void)argv, (void)argc;
    const char *missing = api_load(ctx);
    if (missing) {
        if (RM_Log) RM_Log(ctx, "warning", "this server lacks RedisModule_%s", missing);
        return REDISMODULE_ERR;
    }
    /* Loaded twice, the library is the same and so is its state, which is in use. */
    if (RM_IsModuleNameBusy("keymiss")) return REDISMODULE_ERR;
    RM_SetModuleAttribs(ctx, "keymiss", 1, REDISMODULE_APIVER_1);
    engine.random_id = RM_GetRandomHexChars;
    engine.allocate = RM_Alloc;
    engine.release = RM_Free;
    engine_init(&engine);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (create_command(ctx, &commands[i]) != REDISMODULE_OK) return REDISMODULE_ERR;
    if (subscribe(ctx) != REDISMODULE_OK || RM_RegisterInfoFunc(ctx, on_info) != REDISMODULE_OK ||
        !RM_RegisterCommandFilter(ctx, get_filter, REDISMODULE_CMDFILTER_NOSELF))
        return REDISMODULE_ERR;
    get_start(ctx);
    return REDISMODULE_OK;
}

/* The server refuses to unload while clients are blocked or a timer is set. */
EXPORTED int RedisModule_OnUnload(RedisModuleCtx *ctx) {
    (void)ctx;
    engine_clear(&engine);
    get_stop();
    return REDISMODULE_OK;
}
