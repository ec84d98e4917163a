/* get.c: a GET that computes: KEYMISS.GET, which filter.c makes of a GET of a missing key, parks
 * the client on the key and queues an item for the workers.
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
 * Whose permissions
 *   KEYMISS.GET begins with a GET as the client's user: who may not GET a key may not compute it.
 *
 * Who cannot wait
 *   In MULTI, in scripts, and where blocking is denied, a miss is nil. Valkey 9.1 does not park a
 *   connection that is subscribed, which RESP3 allows to GET: BlockClientOnKeys gives no handle.
 *
 * The race that remains: a client that waits while its key is dropped gets the answer from before
 * the drop. It asked before, too. */
#include "keymiss.h"

#include <stdio.h>
#include <string.h>

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
        store_value(item, value);
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
    Text key = text_of(argv[1]);
    Function *function = function_of(ctx, argv[1]);
    if (function && !engine_computes(function, key.bytes, key.length)) function = NULL;
    if (reply_unless_nil(ctx, call_get(ctx, argv[1]))) {
        if (function) function->counters.hits++;
        return REDISMODULE_OK;
    }
    int flags = RM_GetContextFlags(ctx);
    if (!function || flags & (REDISMODULE_CTX_FLAGS_MULTI | REDISMODULE_CTX_FLAGS_LUA |
                              REDISMODULE_CTX_FLAGS_DENY_BLOCKING))
        return RM_ReplyWithNull(ctx);
    if (flags & REDISMODULE_CTX_FLAGS_REPLICA) return redirect(ctx, function, argv[1]);

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
