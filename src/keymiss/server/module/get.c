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
 *     demoted.
 *   - Its Parked structure belongs to the server's blocked client, which frees it exactly once,
 *     through forget_parked, whatever ended the wait. The engine only links the Waiter inside it.
 *   - UnblockClient runs on_unblock, on Valkey at once, on Redis 8 at the end of the loop's turn.
 *     A Parked therefore holds its outcome, with a reference of its own. An on_unblock that finds
 *     none is the server's own timeout.
 *   - A computed value is stored after the replies have left, with NX. Stored any sooner, it would
 *     send a tracking client its invalidation before its value, and leave it with a stale copy. The
 *     server hands the replies over at the end of the loop's turn, and frees the Parked structures
 *     there: a timer set by forget_parked runs behind them, one set inside ANSWER runs ahead of
 *     them, and is set there only when none are due. It stores only what was answered before it was
 *     set: what is answered while it is pending waits for the next one. Until then the item stays,
 *     ANSWERED, and serves the value to all who ask. A value that nobody waits for is stored by a
 *     timer, too: ANSWER may run in a MULTI about another slot, into which the server would put
 *     the key.
 *   - What a wait has taken is free when forget_parked runs. A client that CLIENT UNBLOCK has let
 *     go may execute what it had sent behind before: it may not wait anew until then, or two
 *     clients that let each other go would begin thousands of waits in one turn.
 *   - One turn hands over TURN_BYTES of copies of values, the next ones the rest: large values for
 *     many clients do not hold up the others.
 *
 * Whether a key that the filter has seen is there when the command runs
 *   Nothing of another client's happens between the two, but that an I/O thread may allocate; a key
 *   may expire, may be evicted to make room for the command itself, or may go while CLIENT PAUSE
 *   holds the command back. Where one of these is possible, the filter leaves the key to
 *   KEYMISS.GET, which looks and replies in one go. In MULTI the command runs later: a key that is
 *   gone by then is nil, as for any GET.
 *
 * Whose permissions
 *   KEYMISS.GET begins with a GET as the client's user: who may not GET a key may not compute it.
 *
 * Who cannot wait
 *   In MULTI, in scripts, and where blocking is denied, a miss is nil. Valkey 9.1 does not park a
 *   connection that is subscribed, which RESP3 allows to GET: BlockClientOnKeys gives no handle.
 *
 * The race that remains: a client that waits while its key is dropped gets the answer from before
 * the drop. It asked before, too.
 *
 * Rejected: StringDMA for hits (it rewrites the value's encoding), RM_Call for hits (a quarter more
 * CPU time at pipeline 16), KeyExists (counts a hit of its own), a set of keys known to exist (what
 * tells it that a key has gone is not told of every way to go), `rename-command GET` (a module
 * command named get crashes Valkey 9). docs/decisions/0003-hits.md has the figures. */
#include "keymiss.h"

#include <stdio.h>
#include <string.h>

enum { EXPIRING_MS = 100 }; /* far longer than from the filter to the command */

/* The ratio is a float: a little more than all may read as 1, or as the next one below. */
static const float NEARLY_FULL = 0.9999998F;

typedef struct Outcome {
    enum { UNKNOWN, VALUE, NIL, FAILURE } kind;
    RedisModuleString *text; /* the value, or the error */
} Outcome;

typedef struct Parked {
    Waiter waiter;
    RedisModuleBlockedClient *client;
    Outcome outcome;
} Parked;

enum { TURN_BYTES = 4 << 20 }; /* handed over in a millisecond or two */

static int going_on; /* a timer is set that will tell and store what is ANSWERED */
static long long turn_bytes = TURN_BYTES; /* what is left to this turn of the event loop */

/* ---- the filter ---- */

/* Redis, and Valkey before 9.1, crash when a filter looks a key up for a client that has said
 * CLIENT NO-TOUCH ON. Who has is not to be learned: once anybody may have, nobody's key is. */
static int may_look;

void get_prepare(RedisModuleCtx *ctx) {
    /* Redis 7.0 cannot look without side effects, and a filter must have none. When the module is
     * loaded later than the server starts, there are clients already. */
    may_look =
        RM_GetOpenKeyModesAll &&
        (api_is_valkey_9_1 || RM_GetContextFlags(ctx) & REDISMODULE_CTX_FLAGS_SERVER_STARTUP);
}

/* CLIENT may have been renamed. */
static void watch_no_touch(RedisModuleString *argument) {
    if (text_is(text_of(argument), "NO-TOUCH")) may_look = 0;
}

static int will_be_there(const Function *function, RedisModuleString *name) {
    if (!may_look) return 0;
    /* Clients are paused, or more memory is in use than maxmemory allows. */
    if (RM_AvoidReplicaTraffic() || RM_GetUsedMemoryRatio() >= NEARLY_FULL) return 0;
    if (RM_GetSelectedDb(own_context) != function->db) RM_SelectDb(own_context, function->db);
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
    int count = RM_CommandFilterArgsCount(filter);
    if (count == 3 && !api_is_valkey_9_1) watch_no_touch(RM_CommandFilterArgGet(filter, 1));
    if (!engine.function_count || count != 2) return;
    size_t length;
    const char *command = RM_StringPtrLen(RM_CommandFilterArgGet(filter, 0), &length);
    /* Lower case by setting a bit: a library call costs more than all the rest here. */
    if (length != 3 || (command[0] | 32) != 'g' || (command[1] | 32) != 'e' ||
        (command[2] | 32) != 't')
        return;
    RedisModuleString *name = RM_CommandFilterArgGet(filter, 1);
    const char *key = RM_StringPtrLen(name, &length);
    if (!engine_may_match(&engine, key, length)) return;
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

/* GET as the client's user (C), with errors as replies (E). NULL when it could not be called. */
static RedisModuleCallReply *call_get(RedisModuleCtx *ctx, RedisModuleString *name) {
    return RM_Call(ctx, "GET", "CEs", name);
}

/* Forwards the reply of a GET unless it is nil; frees it. */
static int reply_unless_nil(RedisModuleCtx *ctx, RedisModuleCallReply *reply) {
    if (!reply) {
        RM_ReplyWithError(ctx, "ERR GET failed");
        return 1;
    }
    int found = RM_CallReplyType(reply) != REDISMODULE_REPLY_NULL;
    if (found) RM_ReplyWithCallReply(ctx, reply);
    RM_FreeCallReply(reply);
    return found;
}

static int reply_outcome(RedisModuleCtx *ctx, const Outcome *outcome) {
    if (outcome->kind == NIL) return RM_ReplyWithNull(ctx);
    if (outcome->kind == VALUE) return RM_ReplyWithString(ctx, outcome->text);
    return RM_ReplyWithError(ctx, text_of(outcome->text).bytes); /* ends in a zero byte */
}

static const char *refusal(char *error, const Function *function, const char *reason) {
    snprintf(error, MAX_ERROR_BYTES, "KEYMISS %.160s (function '%s')", reason, function->name);
    return error;
}

static int refuse(RedisModuleCtx *ctx, const Function *function, const char *reason) {
    char error[MAX_ERROR_BYTES];
    return RM_ReplyWithError(ctx, refusal(error, function, reason));
}

static int redirect(RedisModuleCtx *ctx, const Function *function, RedisModuleString *key) {
    char error[MAX_ERROR_BYTES];
    if (RM_GetContextFlags(ctx) & REDISMODULE_CTX_FLAGS_CLUSTER && ask_primary(ctx, key, error))
        return RM_ReplyWithError(ctx, error);
    return refuse(ctx, function, "replica cannot compute; ask the primary");
}

/* ---- storing ---- */

enum { STORED_OVERHEAD = 100 }; /* what a small string with a time to live takes besides, about */

static int may_store(const Item *item) {
    if (item->dropped || RM_AvoidReplicaTraffic()) return 0;
    int flags = RM_GetContextFlags(own_context);
    if (flags & REDISMODULE_CTX_FLAGS_REPLICA) return 0;
    if (!(flags & REDISMODULE_CTX_FLAGS_OOM)) return 1;
    /* An evicting server makes room with its next command; what never expires may not be evictable.
     */
    return flags & REDISMODULE_CTX_FLAGS_EVICT &&
           item->queue->function->options.cache != CACHE_FOREVER;
}

/* Whoever may ask could fill the memory of a server that does not evict, or with what may not be
 * evicted. */
static int within_budget(Function *function, long long bytes) {
    int evicts = (RM_GetContextFlags(own_context) & REDISMODULE_CTX_FLAGS_EVICT) != 0;
    if (evicts && function->options.cache != CACHE_FOREVER) return 1;
    long long all = engine_stored(&engine, now_ms(), evicts);
    if (budget_allows(function->stored.total + bytes, all, max_stored_bytes, engine.function_count))
        return 1;
    function->counters.unstored++;
    return 0;
}

static void store(const Item *item, RedisModuleString *value) {
    Function *function = item->queue->function;
    long long bytes = STORED_OVERHEAD + (long long)(item->key_length + text_of(value).length);
    if (!may_store(item) || !within_budget(function, bytes)) return;
    RM_SelectDb(own_context, function->db);
    long long cache = function->options.cache;
    RedisModuleCallReply *reply =
        cache == CACHE_FOREVER
            ? RM_Call(own_context, "SET", "!bsc", item->key, item->key_length, value, "NX")
            : RM_Call(own_context, "SET", "!bsccl", item->key, item->key_length, value, "NX", "PX",
                      cache);
    if (!reply) return;
    if (RM_CallReplyType(reply) == REDISMODULE_REPLY_STRING)
        budget_add(&function->stored, cache, now_ms(), bytes);
    RM_FreeCallReply(reply);
}

/* ---- parked clients ---- */

/* Hands the outcome to those who wait, while the turn has bytes left; 0 when some are left.
 * forget_parked, behind the replies of a turn, begins the count anew. */
static int tell_waiters(Item *item, Outcome outcome) {
    while (turn_bytes > 0 || outcome.kind != VALUE) {
        Waiter *waiter = engine_next_waiter(&engine, item);
        if (!waiter) return 1;
        Parked *parked = NODE_OWNER(waiter, Parked, waiter);
        if (outcome.text) RM_RetainString(NULL, outcome.text);
        if (outcome.kind == VALUE) turn_bytes -= (long long)text_of(outcome.text).length;
        parked->outcome = outcome;
        RM_UnblockClient(parked->client, NULL);
    }
    return list_empty(&item->waiters);
}

static void go_on_with_answered(RedisModuleCtx *ctx, void *data) {
    (void)ctx, (void)data;
    going_on = 0;
    while (!list_empty(&engine.answered)) {
        Item *item = NODE_OWNER(engine.answered.next, Item, node);
        if (!item->sent) break;
        RedisModuleString *value = item->value;
        if (!list_empty(&item->waiters)) {
            tell_waiters(item, (Outcome){VALUE, value});
            item->sent = 0;
            list_remove(&item->node);
            list_append(&engine.answered, &item->node);
            break; /* forget_parked sets the next timer */
        }
        store(item, value);
        engine_discard(&engine, item);
        RM_FreeString(NULL, value);
    }
}

/* The key was written by somebody: its value is the answer.
 *
 * Replying here, and saying so by OK, would leave the client flagged as blocked until the end of
 * the loop's turn: a CLIENT UNBLOCK ERROR of that turn would give it a second reply (Valkey 9.1),
 * and all later ones to the wrong command. UnblockClient gives exactly one. */
static int on_key_ready(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    (void)argc;
    RedisModuleCallReply *reply = call_get(ctx, argv[1]);
    if (!reply) return REDISMODULE_ERR;
    int type = RM_CallReplyType(reply);
    if (type != REDISMODULE_REPLY_NULL) {
        Parked *parked = RM_GetBlockedClientPrivateData(ctx);
        size_t length;
        const char *text = RM_CallReplyStringPtr(reply, &length);
        parked->outcome.kind = type == REDISMODULE_REPLY_STRING ? VALUE : FAILURE;
        parked->outcome.text = RM_CreateString(NULL, text, length);
        engine_leave(&engine, &parked->waiter);
        RM_UnblockClient(parked->client, NULL);
    }
    RM_FreeCallReply(reply);
    return REDISMODULE_ERR;
}

static int on_unblock(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    (void)argv, (void)argc;
    Parked *parked = RM_GetBlockedClientPrivateData(ctx);
    if (parked->outcome.kind != UNKNOWN) return reply_outcome(ctx, &parked->outcome);
    Function *function = parked->waiter.item->queue->function;
    function->counters.timeouts++;
    refuse(ctx, function, "timeout no answer in time; ask again later");
    engine_leave(&engine, &parked->waiter);
    return REDISMODULE_OK;
}

static void go_on_soon(void) {
    if (going_on) return;
    RM_CreateTimer(own_context, 0, go_on_with_answered, NULL);
    going_on = 1;
}

static void forget_parked(RedisModuleCtx *ctx, void *data) {
    (void)ctx;
    Parked *parked = data;
    engine_free_waiter(&engine, &parked->waiter);
    if (parked->outcome.text) RM_FreeString(NULL, parked->outcome.text);
    RM_Free(parked);
    /* All replies of this turn leave in one go. */
    turn_bytes = TURN_BYTES;
    for (Node *node = engine.answered.previous; node != &engine.answered; node = node->previous) {
        Item *item = NODE_OWNER(node, Item, node);
        if (item->sent) break;
        item->sent = 1;
    }
    if (!list_empty(&engine.answered)) go_on_soon();
}

/* 0 when the client has been refused instead. */
static int park(RedisModuleCtx *ctx, Item *item, RedisModuleString **key) {
    Parked *parked = RM_Alloc(sizeof *parked);
    parked->outcome = (Outcome){UNKNOWN, NULL};
    engine_wait(&engine, item, &parked->waiter, RM_GetClientId(ctx));
    parked->client = RM_BlockClientOnKeys(ctx, on_key_ready, on_unblock, forget_parked,
                                          item->queue->function->options.timeout, key, 1, parked);
    if (parked->client) return 1;
    refuse(ctx, item->queue->function, "refused a subscribed connection cannot wait; use another");
    engine_free_waiter(&engine, &parked->waiter);
    RM_Free(parked);
    return 0;
}

void fail_item(Item *item, const char *error) {
    RedisModuleString *text = RM_CreateString(NULL, error, strlen(error));
    tell_waiters(item, (Outcome){FAILURE, text});
    RM_FreeString(NULL, text);
    if (item->value) RM_FreeString(NULL, item->value); /* it has been counted as answered */
    else item->queue->function->counters.failed++;
    engine_discard(&engine, item);
}

void fail_items(List *items, const char *reason) {
    while (!list_empty(items)) {
        Item *item = NODE_OWNER(items->next, Item, node);
        char error[MAX_ERROR_BYTES];
        fail_item(item, refusal(error, item->queue->function, reason));
    }
}

void settle_miss(Item *item, RedisModuleString *value) {
    if (value && !item->dropped) engine_adopt(&engine, item);
    int waited = !list_empty(&item->waiters);
    int replies_are_due = waited || engine.leaving;
    int all_told = tell_waiters(item, (Outcome){value ? VALUE : NIL, value});
    int stores = value && item->queue->function->options.cache != CACHE_OFF && !item->dropped;
    if (stores || !all_told) {
        if (!stores && !item->dropped) engine_hide(&engine, item);
        RM_RetainString(NULL, value);
        engine_hold(&engine, item, value, text_of(value).length);
        if (replies_are_due) return; /* forget_parked comes behind them */
        item->sent = 1;
        go_on_soon();
        return;
    }
    engine_discard(&engine, item);
}

/* ---- the command ---- */

/* The item that the client may wait for, or NULL when it has been refused. */
static Item *item_to_wait_for(RedisModuleCtx *ctx, Function *function, Item *item, Text key) {
    if (key.length > (size_t)max_key_bytes) {
        char reason[MAX_ERROR_BYTES];
        snprintf(reason, sizeof reason,
                 "refused the key has %zu bytes, keymiss.max-key-bytes is %lld", key.length,
                 max_key_bytes);
        refuse(ctx, function, reason);
        return NULL;
    }
    if (!function->workers && now_ms() - function->alone_since >= ALONE_MS) {
        refuse(ctx, function, "unavailable no worker serves this key; start `keymiss worker`");
        return NULL;
    }
    if (engine_may_wait(&engine, function, RM_GetClientId(ctx), key.length)) {
        if (item) function->counters.joined++;
        else item = engine_enqueue(&engine, &function->queue, key.bytes, key.length);
        if (item) return item;
    }
    function->counters.busy++;
    refuse(ctx, function, "busy too many wait; try again later");
    return NULL;
}

int get_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc != 2) return RM_WrongArity(ctx);
    Function *function = function_of(ctx, argv[1]);
    if (function && function->options.kind != ON_MISS) function = NULL;
    if (reply_unless_nil(ctx, call_get(ctx, argv[1]))) {
        if (function) function->counters.hits++;
        return REDISMODULE_OK;
    }
    int flags = RM_GetContextFlags(ctx);
    if (!function || flags & (REDISMODULE_CTX_FLAGS_MULTI | REDISMODULE_CTX_FLAGS_LUA |
                              REDISMODULE_CTX_FLAGS_DENY_BLOCKING))
        return RM_ReplyWithNull(ctx);
    if (flags & REDISMODULE_CTX_FLAGS_REPLICA) return redirect(ctx, function, argv[1]);

    Text key = text_of(argv[1]);
    Item *known = engine_find(&engine, &function->queue, key.bytes, key.length);
    if (known && known->state == ANSWERED) {
        function->counters.hits++;
        return RM_ReplyWithString(ctx, known->value);
    }
    function->counters.misses++;
    Item *item = item_to_wait_for(ctx, function, known, key);
    if (item && park(ctx, item, &argv[1]) && !known) {
        wake_worker(&function->queue);
        if (!function->workers) watch_the_clock();
    }
    return REDISMODULE_OK;
}
