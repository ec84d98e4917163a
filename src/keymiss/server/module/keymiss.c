/* keymiss.c: loads the module, and hears what happens in the server.
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
 * There is one timer, set for the soonest of all ends, and none while nothing can end: a server
 * that has nothing to do is not woken.
 *
 * The module cannot be unloaded. The server keeps pointers to the command that a client ran last or
 * has queued in MULTI; for ours they would dangle, in clients that have sent nothing but GET.
 *
 * A subscription to any server event costs every turn of the event loop a few nanoseconds a
 * subscription, so there are no more than needed.
 *
 * One thread, no locks: every function here runs in the server's main thread. */
#include "keymiss.h"

#include <string.h>
#include <time.h>

Engine engine;
RedisModuleCtx *own_context;
long long max_key_bytes, max_value_bytes, max_stored_bytes;

static int is_replica;
static RedisModuleString *functions_setting;
static RedisModuleTimerID clock_timer;
static long long clock_due; /* when clock_timer fires, 0 when it is not set */

long long now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

Text text_of(const RedisModuleString *string) {
    Text text;
    text.bytes = RM_StringPtrLen(string, &text.length);
    return text;
}

/* ---- the clock ---- */

static void fail_lost(List *lost) {
    fail_items(lost, "failed WorkerLost: three workers were lost while computing this key");
}

static void on_clock(RedisModuleCtx *ctx, void *data) {
    (void)ctx, (void)data;
    clock_due = 0;
    List lost, abandoned;
    list_init(&lost);
    list_init(&abandoned);
    if (engine_expire(&engine, now_ms(), &lost, &abandoned)) wake_workers(UINT64_MAX);
    fail_lost(&lost);
    fail_items(&abandoned, "unavailable no worker serves this key; start `keymiss worker`");
    watch_the_clock();
}

void watch_the_clock(void) {
    long long due = engine_due(&engine);
    /* A timer that fires for nothing is cheaper than one set and stopped for every miss. */
    if (due < 0 || (clock_due && clock_due <= due)) return;
    if (clock_due) RM_StopTimer(own_context, clock_timer, NULL);
    long long wait = due - now_ms();
    clock_timer = RM_CreateTimer(own_context, wait > 0 ? wait : 0, on_clock, NULL);
    clock_due = due;
}

/* ---- keys ---- */

static void note_written(Function *function, const char *key, size_t length) {
    /* A worker that comes walks all keys. On a replica nobody takes items. */
    if (is_replica || list_empty(&engine.workers)) return;
    if (!function->options.each) {
        if (engine_written(&engine, &function->queue, key, length)) wake_worker(&function->queue);
        return;
    }
    FOR_EACH(&function->attachments, attachment, Attachment, of_function) {
        if (engine_written(&engine, &attachment->events, key, length))
            wake_worker(&attachment->events);
    }
}

static int on_key_event(RedisModuleCtx *ctx, int type, const char *event, RedisModuleString *name) {
    (void)type, (void)event;
    Text key = text_of(name);
    Function *function;
    for (int slot = 0; (function = engine_next_match(&engine, key.bytes, key.length, &slot));) {
        if (function->db != RM_GetSelectedDb(ctx)) continue;
        if (function->options.kind == ON_WRITE) {
            note_written(function, key.bytes, key.length);
            continue;
        }
        /* Only where a client of ours waits: the server walks all clients that are blocked on a key
         * which is ready, and readers may block on it by other commands, too. */
        if (engine_is_awaited(&engine, &function->queue, key.bytes, key.length))
            RM_SignalKeyAsReady(ctx, name);
    }
    return REDISMODULE_OK;
}

/* Write functions are told to walk the keys. */
static void events_were_lost(int db) {
    for (int slot = 0; slot < MAX_FUNCTIONS; slot++) {
        Function *function = engine.functions[slot];
        if (function && function->options.kind == ON_WRITE && (db < 0 || function->db == db))
            note_written(function, "", 0);
    }
}

static void drain(Function *function, const char *reason) {
    List items;
    list_init(&items);
    engine_drain(&engine, function, &items);
    fail_items(&items, reason);
}

static void database_changed(int db) {
    for (int slot = 0; slot < MAX_FUNCTIONS; slot++) {
        Function *function = engine.functions[slot];
        if (function && function->options.kind == ON_MISS && (db < 0 || function->db == db))
            drain(function, "flushed the database was flushed or swapped while you waited");
    }
    events_were_lost(db);
}

static void on_flush(RedisModuleCtx *ctx, RedisModuleEvent event, uint64_t subevent, void *data) {
    (void)ctx, (void)event;
    if (subevent != SUBEVENT_FLUSHDB_END) return;
    int db = ((const RedisModuleFlushInfo *)data)->dbnum;
    engine_emptied(&engine, db);
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
    engine_emptied(&engine, -1);
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
        engine_grant_moment(&engine, now_ms());
        registry_follow();
        return;
    }
    for (int slot = 0; slot < MAX_FUNCTIONS; slot++)
        if (engine.functions[slot])
            drain(engine.functions[slot], "replica the server became a replica while you waited");
}

static void on_client(RedisModuleCtx *ctx, RedisModuleEvent event, uint64_t subevent, void *data) {
    (void)ctx, (void)event;
    if (subevent != SUBEVENT_CLIENT_DISCONNECTED) return;
    Worker *worker = engine_worker(&engine, ((const RedisModuleClientInfo *)data)->id);
    if (!worker) return;
    List lost;
    list_init(&lost);
    if (worker->parked) unpark_worker(worker);
    uint64_t served = engine_served(worker);
    engine_worker_lost(&engine, worker, now_ms(), &lost);
    fail_lost(&lost);
    wake_workers(served);
    watch_the_clock();
}

static void on_info(RedisModuleInfoCtx *info, int for_crash_report) {
    (void)for_crash_report;
    Counters sum = engine.forgotten;
    long long workers = 0;
    for (int slot = 0; slot < MAX_FUNCTIONS; slot++) {
        if (!engine.functions[slot]) continue;
#define ADD(counter) sum.counter += engine.functions[slot]->counters.counter;
        COUNTERS(ADD)
    }
    FOR_EACH(&engine.workers, worker, Worker, node) { workers++; }
    RM_InfoAddSection(info, "");
    RM_InfoAddFieldLongLong(info, "functions", engine.function_count);
    RM_InfoAddFieldLongLong(info, "workers", workers);
    RM_InfoAddFieldLongLong(info, "pending", engine.items);
    RM_InfoAddFieldLongLong(info, "pending_bytes", engine.bytes);
    RM_InfoAddFieldLongLong(info, "waiting", engine.waiters);
    RM_InfoAddFieldLongLong(info, "stored_bytes", engine_stored(&engine, now_ms(), 0));
#define SHOW(counter) RM_InfoAddFieldLongLong(info, #counter, sum.counter);
    COUNTERS(SHOW)
}

/* ---- settings ---- */

static long long get_number(const char *name, void *data) {
    (void)name;
    return *(const long long *)data;
}

static int set_number(const char *name, long long value, void *data, RedisModuleString **error) {
    (void)name, (void)error;
    *(long long *)data = value;
    return REDISMODULE_OK;
}

static RedisModuleString *get_functions(const char *name, void *data) {
    (void)name, (void)data;
    return functions_setting;
}

static int set_functions(const char *name, RedisModuleString *value, void *data,
                         RedisModuleString **error) {
    (void)name, (void)data;
    const char *wrong = serve_setting(text_of(value));
    if (wrong) {
        *error = RM_CreateString(NULL, wrong, strlen(wrong));
        return REDISMODULE_ERR;
    }
    if (functions_setting) RM_FreeString(NULL, functions_setting);
    RM_RetainString(NULL, value);
    functions_setting = value;
    registry_follow();
    return REDISMODULE_OK;
}

static int register_settings(RedisModuleCtx *ctx) {
    const struct {
        const char *name;
        long long initial, low, *value;
    } sizes[] = {
        {"max-key-bytes", 64 << 10, MIN_PREFIX_BYTES, &max_key_bytes},
        {"max-value-bytes", 16 << 20, 0, &max_value_bytes},
        {"max-pending-bytes", 256 << 20, 0, &engine.max_bytes},
        {"max-stored-bytes", INT64_C(1) << 30, 0, &max_stored_bytes},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (RM_RegisterNumericConfig(
                ctx, sizes[i].name, sizes[i].initial, REDISMODULE_CONFIG_MEMORY, sizes[i].low,
                INT64_C(1) << 40, get_number, set_number, NULL, sizes[i].value) != REDISMODULE_OK)
            return REDISMODULE_ERR;
    if (RM_RegisterStringConfig(ctx, "functions", "", REDISMODULE_CONFIG_DEFAULT, get_functions,
                                set_functions, NULL, NULL) != REDISMODULE_OK)
        return REDISMODULE_ERR;
    return RM_LoadConfigs(ctx);
}

/* ---- load and unload ---- */

static int create_commands(RedisModuleCtx *ctx) {
    const struct {
        const char *name;
        CommandFn function;
        const char *flags;
        int first_key, last_key, key_step;
        const char *categories;
    } commands[] = {
        {"KEYMISS.GET", get_command, "readonly", 1, 1, 1, "read string"},
        {"KEYMISS.SERVE", serve_command, "write deny-script", 0, 0, 0, "admin dangerous"},
        {"KEYMISS.TAKE", take_command, "deny-script", 0, 0, 0, "admin dangerous"},
        {"KEYMISS.ANSWER", answer_command, "deny-script", 0, 0, 0, "admin dangerous"},
        {"KEYMISS.FAIL", fail_command, "deny-script", 0, 0, 0, "admin dangerous"},
        {"KEYMISS.DROP", drop_command, "write", 1, -1, 1, "admin dangerous"},
        {"KEYMISS.FORGET", forget_command, "write deny-script", 0, 0, 0, "admin dangerous"},
        {"KEYMISS.LIST", list_command, "readonly", 0, 0, 0, "read slow"},
    };
    int done = REDISMODULE_OK;
    for (size_t i = 0; i < sizeof commands / sizeof *commands && done == REDISMODULE_OK; i++) {
        done = RM_CreateCommand(ctx, commands[i].name, commands[i].function, commands[i].flags,
                                commands[i].first_key, commands[i].last_key, commands[i].key_step);
        if (done == REDISMODULE_OK && RM_GetCommand && RM_SetCommandACLCategories)
            done = RM_SetCommandACLCategories(RM_GetCommand(ctx, commands[i].name),
                                              commands[i].categories);
    }
    return done;
}

/* Without this, a user who may only read the keys (%R~) could not compute them. */
static int declare_reading(RedisModuleCtx *ctx) {
    if (!RM_GetCommand || !RM_SetCommandInfo) return REDISMODULE_OK;
    const RedisModuleCommandInfoVersion version = {1, 16, sizeof(RedisModuleCommandKeySpec), 80};
    RedisModuleCommandKeySpec keys[] = {
        {.flags = REDISMODULE_CMD_KEY_RO | REDISMODULE_CMD_KEY_ACCESS,
         .begin_search = KEY_BEGIN_INDEX,
         .begin.index = 1,
         .find_keys = KEY_FIND_RANGE,
         .find.range = {0, 1, 0}},
        {0},
    };
    const RedisModuleCommandInfo info = {
        .version = &version,
        .summary = "Computes the value of a missing function key.",
        .arity = 2,
        .key_specs = keys,
    };
    return RM_SetCommandInfo(RM_GetCommand(ctx, "KEYMISS.GET"), &info);
}

static int subscribe(RedisModuleCtx *ctx) {
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
    RM_SetModuleAttribs(ctx, "keymiss", KEYMISS_VERSION, REDISMODULE_APIVER_1);
    /* One call: each takes the place of the one before. The bit of migrations is Valkey's. */
    RM_SetModuleOptions(ctx, REDISMODULE_OPTIONS_HANDLE_REPL_ASYNC_LOAD |
                                 (api_is_valkey ? REDISMODULE_OPTIONS_ATOMIC_SLOT_MIGRATION : 0));
    engine.random_id = RM_GetRandomHexChars;
    engine.allocate = RM_Alloc;
    engine.release = RM_Free;
    engine_init(&engine);
    own_context = RM_GetDetachedThreadSafeContext(ctx);
    is_replica = (RM_GetContextFlags(ctx) & REDISMODULE_CTX_FLAGS_REPLICA) != 0;
    filter_prepare(ctx);
    /* The filter and the subscriptions last: Redis 7.0 keeps them when loading fails. */
    if (create_commands(ctx) || declare_reading(ctx) || RM_RegisterInfoFunc(ctx, on_info) ||
        register_settings(ctx) || subscribe(ctx) ||
        !RM_RegisterCommandFilter(ctx, filter_command, REDISMODULE_CMDFILTER_NOSELF))
        return REDISMODULE_ERR;
    registry_follow(); /* the timer fires when the server's data has been loaded */
    return REDISMODULE_OK;
}

EXPORTED int RedisModule_OnUnload(RedisModuleCtx *ctx) {
    RM_Log(ctx, "warning", "keymiss cannot be unloaded; start the server without it");
    return REDISMODULE_ERR;
}
