/* get.c: a GET that computes.
 *
 * A command filter sees every command before it runs. It looks only at a GET of a key under a
 * registered ON MISS prefix, and asks, without touching anything, whether the key is there. When it
 * is, the command stays as it came: a hit is a native GET. When it is not, the filter renames the
 * command to KEYMISS.GET, which parks the client on the key and queues an item for the workers.
 *
 * Who may write what, and when
 *   - A waiting client is parked with BlockClientOnKeys, never with BlockClient: only so does the
 *     server itself end the wait, with a redirect, when the key's slot moves or the node is
 * demoted.
 *   - Its Parked structure belongs to the server's blocked client, which frees it exactly once,
 *     through forget_parked, whatever ended the wait. The engine only links the Waiter inside it.
 *   - UnblockClient runs on_unblock at once, inside tell_waiters. `outcome` says that it was us; an
 *     on_unblock without it is the server's own timeout.
 *   - A computed value is stored after the replies have left, with NX. Stored any sooner, it would
 *     send a tracking client its invalidation before its value, and leave it with a stale copy. The
 *     server hands the replies over at the end of the loop's turn, and frees the Parked structures
 *     there: a timer set by forget_parked runs behind them, one set inside ANSWER would run ahead
 *     of them. Until then the item stays, ANSWERED, and serves the value to all who ask. A value
 *     that nobody waits for is stored at once.
 *
 * The race that remains: between the filter's look and the command's run nothing else can happen in
 * one thread, but in MULTI the command runs later. KEYMISS.GET therefore looks again.
 *
 * Rejected: StringDMA for hits (it rewrites the value's encoding), RM_Call for hits (a quarter more
 * CPU time at pipeline 16), `rename-command GET` (a module command named get crashes Valkey 9). */
#include "keymiss.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { EXPIRING_MS = 100 }; /* far longer than from the filter to the command */

typedef struct Parked {
    Waiter waiter;
    RedisModuleBlockedClient *client;
    const Outcome *outcome;
} Parked;

static RedisModuleCtx *own_context; /* of no client: may select any database */
static int storing;                 /* a timer is set that will store what is ANSWERED */

void get_start(RedisModuleCtx *ctx) { own_context = RM_GetDetachedThreadSafeContext(ctx); }

void get_stop(void) { RM_FreeThreadSafeContext(own_context); }

static int key_exists(RedisModuleCtx *ctx, RedisModuleString *name) {
    RedisModuleKey *key = RM_OpenKey(ctx, name, REDISMODULE_READ | REDISMODULE_OPEN_KEY_NOTOUCH);
    if (!key) return 0;
    RM_CloseKey(key);
    return 1;
}

/* Whether the key is there and will be when the command runs. One that expires between our look and
 * the command's would be nil, without anybody to compute it: leave such a key to KEYMISS.GET, whose
 * look and reply see the same clock. */
static int will_be_there(Function *function, RedisModuleString *name) {
    /* Redis 7.0 cannot look without side effects, and a filter must have none. */
    if (!RM_GetOpenKeyModesAll) return 0;
    RM_SelectDb(own_context, function->db);
    RedisModuleKey *key =
        RM_OpenKey(own_context, name,
                   REDISMODULE_READ | REDISMODULE_OPEN_KEY_NOTOUCH | REDISMODULE_OPEN_KEY_NONOTIFY |
                       REDISMODULE_OPEN_KEY_NOSTATS | REDISMODULE_OPEN_KEY_NOEXPIRE);
    if (!key) return 0;
    long long expires = RM_GetAbsExpire(key);
    RM_CloseKey(key);
    return expires < 0 || expires > RM_Milliseconds() + EXPIRING_MS;
}

void get_filter(RedisModuleCommandFilterCtx *filter) {
    if (!engine.function_count || RM_CommandFilterArgsCount(filter) != 2) return;
    size_t length;
    const char *command = RM_StringPtrLen(RM_CommandFilterArgGet(filter, 0), &length);
    if (length != 3 || strncasecmp(command, "get", 3) != 0) return;
    RedisModuleString *name = RM_CommandFilterArgGet(filter, 1);
    const char *key = RM_StringPtrLen(name, &length);
    Function *function = engine_match(&engine, key, length);
    if (!function || function->options.kind != ON_MISS) return;
    /* The look-up happens in the function's database. A client of another one gets a native GET
     * either way: from here when the key exists there, from KEYMISS.GET when it does not. */
    if (will_be_there(function, name)) {
        function->counters.hits++;
        return;
    }
    const char *renamed = "KEYMISS.GET";
    RM_CommandFilterArgReplace(filter, 0, RM_CreateString(NULL, renamed, strlen(renamed)));
}

/* ---- replies ---- */

static int reply_stored(RedisModuleCtx *ctx, RedisModuleString *name) {
    /* C: as the client's user, who may be allowed KEYMISS.GET but not GET. E: errors as replies. */
    RedisModuleCallReply *reply = RM_Call(ctx, "GET", "CEs", name);
    if (!reply) return RM_ReplyWithError(ctx, "ERR GET failed");
    RM_ReplyWithCallReply(ctx, reply);
    RM_FreeCallReply(reply);
    return REDISMODULE_OK;
}

static int reply_outcome(RedisModuleCtx *ctx, const Outcome *outcome) {
    if (outcome->error) return RM_ReplyWithError(ctx, outcome->error);
    if (outcome->value) return RM_ReplyWithString(ctx, outcome->value);
    return RM_ReplyWithNull(ctx);
}

static int reply_refusal(RedisModuleCtx *ctx, const Function *function, const char *reason) {
    char error[256];
    snprintf(error, sizeof error, "KEYMISS %s (function '%s')", reason, function->name);
    return RM_ReplyWithError(ctx, error);
}

/* ---- storing ---- */

static void store(const Item *item, RedisModuleString *value) {
    const Function *function = item->queue->function;
    int flags = RM_GetContextFlags(own_context);
    if (item->dropped || RM_AvoidReplicaTraffic() ||
        flags & (REDISMODULE_CTX_FLAGS_REPLICA | REDISMODULE_CTX_FLAGS_OOM))
        return;
    RM_SelectDb(own_context, function->db);
    long long cache = function->options.cache;
    RedisModuleCallReply *reply =
        cache == CACHE_FOREVER
            ? RM_Call(own_context, "SET", "!bsc", item->key, item->key_length, value, "NX")
            : RM_Call(own_context, "SET", "!bsccl", item->key, item->key_length, value, "NX", "PX",
                      cache);
    if (reply) RM_FreeCallReply(reply);
}

static void store_answered(RedisModuleCtx *ctx, void *data) {
    (void)ctx, (void)data;
    storing = 0;
    while (!list_empty(&engine.answered)) {
        Item *item = NODE_OWNER(engine.answered.next, Item, node);
        RedisModuleString *value = item->value;
        store(item, value);
        engine_discard(&engine, item);
        RM_FreeString(NULL, value);
    }
}

void settle_miss(Item *item, RedisModuleString *value) {
    int waited = !list_empty(&item->waiters);
    Outcome outcome = {value, NULL};
    tell_waiters(item, &outcome);
    int stores = value && item->queue->function->options.cache != CACHE_OFF && !item->dropped;
    if (stores && waited) {
        size_t bytes;
        RM_StringPtrLen(value, &bytes);
        RM_RetainString(NULL, value);
        engine_hold(&engine, item, value, bytes);
        return;
    }
    if (stores) store(item, value);
    engine_discard(&engine, item);
}

/* ---- parked clients ---- */

/* The key was written by somebody: its value is the answer. */
static int on_key_ready(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    (void)argc;
    if (!key_exists(ctx, argv[1])) return REDISMODULE_ERR;
    return reply_stored(ctx, argv[1]);
}

static int on_unblock(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    (void)argv, (void)argc;
    Parked *parked = RM_GetBlockedClientPrivateData(ctx);
    if (parked->outcome) return reply_outcome(ctx, parked->outcome);
    Function *function = parked->waiter.item->queue->function;
    function->counters.timeouts++;
    reply_refusal(ctx, function, "timeout no answer in time; a late one will be cached");
    engine_leave(&engine, &parked->waiter);
    return REDISMODULE_OK;
}

static void forget_parked(RedisModuleCtx *ctx, void *data) {
    Parked *parked = data;
    engine_leave(&engine, &parked->waiter);
    RM_Free(parked);
    if (!storing && !list_empty(&engine.answered)) {
        RM_CreateTimer(ctx, 0, store_answered, NULL);
        storing = 1;
    }
}

static void park(RedisModuleCtx *ctx, Item *item, RedisModuleString **key) {
    Parked *parked = RM_Alloc(sizeof *parked);
    parked->outcome = NULL;
    engine_wait(&engine, item, &parked->waiter);
    parked->client = RM_BlockClientOnKeys(ctx, on_key_ready, on_unblock, forget_parked,
                                          item->queue->function->options.timeout, key, 1, parked);
}

void tell_waiters(Item *item, const Outcome *outcome) {
    Waiter *waiter;
    while ((waiter = engine_next_waiter(&engine, item))) {
        Parked *parked = NODE_OWNER(waiter, Parked, waiter);
        parked->outcome = outcome;
        RM_UnblockClient(parked->client, NULL);
    }
}

void fail_items(List *items, const char *error) {
    Outcome outcome = {NULL, error};
    while (!list_empty(items)) {
        Item *item = NODE_OWNER(items->next, Item, node);
        tell_waiters(item, &outcome);
        item->queue->function->counters.failed++;
        if (item->value) RM_FreeString(NULL, item->value);
        engine_discard(&engine, item);
    }
}

/* ---- the command ---- */

int get_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc != 2) return RM_WrongArity(ctx);
    size_t length;
    const char *key = RM_StringPtrLen(argv[1], &length);
    Function *function = engine_match(&engine, key, length);
    if (!function || function->options.kind != ON_MISS || RM_GetSelectedDb(ctx) != function->db)
        return reply_stored(ctx, argv[1]);
    if (key_exists(ctx, argv[1])) {
        function->counters.hits++;
        return reply_stored(ctx, argv[1]);
    }

    int flags = RM_GetContextFlags(ctx);
    if (flags & (REDISMODULE_CTX_FLAGS_MULTI | REDISMODULE_CTX_FLAGS_LUA |
                 REDISMODULE_CTX_FLAGS_DENY_BLOCKING))
        return RM_ReplyWithNull(ctx);
    if (flags & REDISMODULE_CTX_FLAGS_REPLICA)
        return reply_refusal(ctx, function, "replica cannot compute; ask the primary");
    if (length > MAX_KEY_BYTES)
        return reply_refusal(ctx, function, "refused the key is longer than 65536 bytes");

    Item *item = engine_find(&engine, &function->queue, key, length);
    if (item && item->state == ANSWERED) {
        function->counters.hits++;
        return reply_outcome(ctx, &(Outcome){item->value, NULL});
    }
    if (!function->workers && now_ms() - function->alone_since >= ALONE_MS)
        return reply_refusal(ctx, function,
                             "unavailable no worker serves this key; start `keymiss worker`");
    function->counters.misses++;
    if (item) {
        function->counters.joined++;
    } else {
        item = engine_enqueue(&engine, &function->queue, key, length);
        if (!item) {
            function->counters.busy++;
            return reply_refusal(ctx, function, "busy too many keys wait; try again later");
        }
        wake_worker(&function->queue);
    }
    park(ctx, item, &argv[1]);
    return REDISMODULE_OK;
}
