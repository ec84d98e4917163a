/* waiters.c: see waiters.h. */
#include "waiters.h"

#include <stdio.h>
#include <string.h>

#include "items.h"
#include "value_store.h"

typedef struct Outcome {
    OutcomeKind kind;
    RedisModuleString *text; /* the value, or the error */
} Outcome;

typedef struct Parked {
    Waiter waiter;
    RedisModuleBlockedClient *client;
    Outcome outcome;
} Parked;

enum { TURN_BYTES = 4 << 20 }; /* handed over in a millisecond or two */

static int going_on; /* a timer is set that will hand over and store values of ANSWERED items */
static long long turn_bytes = TURN_BYTES; /* how many are left to this turn of the event loop */

/* ---- replies ---- */

static int reply_outcome(RedisModuleCtx *ctx, const Outcome *outcome) {
    if (outcome->kind == NIL) return RM_ReplyWithNull(ctx);
    if (outcome->kind == VALUE) return RM_ReplyWithString(ctx, outcome->text);
    return RM_ReplyWithError(ctx, text_of(outcome->text).bytes); /* ends in a zero byte */
}

static const char *refusal(char *error, const Function *function, const char *reason) {
    snprintf(error, MAX_ERROR_BYTES, "KEYMISS %.160s (function '%s')", reason, function->name);
    return error;
}

int refuse(RedisModuleCtx *ctx, const Function *function, const char *reason) {
    char error[MAX_ERROR_BYTES];
    return RM_ReplyWithError(ctx, refusal(error, function, reason));
}

/* ---- parked clients ---- */

/* Hands the outcome to the waiters while the turn has bytes left. Returns 0 when some still wait.
 * forget_parked, which runs after the replies of a turn, starts the count again. */
static int tell_waiters(Item *item, Outcome outcome) {
    while (turn_bytes > 0 || outcome.kind != VALUE) {
        Waiter *waiter = dispatcher_next_waiter(&dispatcher, item);
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
    while (!list_empty(&dispatcher.answered)) {
        Item *item = NODE_OWNER(dispatcher.answered.next, Item, node);
        if (!item->sent) break;
        RedisModuleString *value = item->value;
        if (!list_empty(&item->waiters)) {
            tell_waiters(item, (Outcome){VALUE, value});
            item->sent = 0;
            list_remove(&item->node);
            list_append(&dispatcher.answered, &item->node);
            break; /* forget_parked sets the next timer */
        }
        store_value(item, value);
        dispatcher_discard(&dispatcher, item);
        RM_FreeString(NULL, value);
    }
}

void settle_waiter(RedisModuleCtx *ctx, OutcomeKind kind, const char *text, size_t length) {
    Parked *parked = RM_GetBlockedClientPrivateData(ctx);
    parked->outcome.kind = kind;
    parked->outcome.text = RM_CreateString(NULL, text, length);
    dispatcher_leave(&dispatcher, &parked->waiter);
    RM_UnblockClient(parked->client, NULL);
}

static int on_unblock(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    (void)argv, (void)argc;
    Parked *parked = RM_GetBlockedClientPrivateData(ctx);
    if (parked->outcome.kind != UNKNOWN) return reply_outcome(ctx, &parked->outcome);
    Function *function = parked->waiter.item->queue->function;
    function->counters.timeouts++;
    refuse(ctx, function, "timeout no answer in time; ask again later");
    dispatcher_leave(&dispatcher, &parked->waiter);
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
    dispatcher_free_waiter(&dispatcher, &parked->waiter);
    if (parked->outcome.text) RM_FreeString(NULL, parked->outcome.text);
    RM_Free(parked);
    /* The replies of a turn leave together. */
    turn_bytes = TURN_BYTES;
    for (Node *node = dispatcher.answered.previous; node != &dispatcher.answered;
         node = node->previous) {
        Item *item = NODE_OWNER(node, Item, node);
        if (item->sent) break;
        item->sent = 1;
    }
    if (!list_empty(&dispatcher.answered)) go_on_soon();
}

int park_waiter(RedisModuleCtx *ctx, Item *item, RedisModuleString **keys, int count,
                CommandFn on_ready) {
    Parked *parked = RM_Alloc(sizeof *parked);
    parked->outcome = (Outcome){UNKNOWN, NULL};
    dispatcher_wait(&dispatcher, item, &parked->waiter, RM_GetClientId(ctx));
    parked->client =
        RM_BlockClientOnKeys(ctx, on_ready, on_unblock, forget_parked,
                             item->queue->function->options.timeout, keys, count, parked);
    if (parked->client) return 1;
    refuse(ctx, item->queue->function, "refused a subscribed connection cannot wait; use another");
    dispatcher_free_waiter(&dispatcher, &parked->waiter);
    RM_Free(parked);
    return 0;
}

void fail_item(Item *item, const char *error) {
    RedisModuleString *text = RM_CreateString(NULL, error, strlen(error));
    tell_waiters(item, (Outcome){FAILURE, text});
    RM_FreeString(NULL, text);
    if (item->value) RM_FreeString(NULL, item->value); /* it has been counted as answered */
    else item->queue->function->counters.failed++;
    dispatcher_discard(&dispatcher, item);
}

void fail_items(List *items, const char *reason) {
    while (!list_empty(items)) {
        Item *item = NODE_OWNER(items->next, Item, node);
        char error[MAX_ERROR_BYTES];
        fail_item(item, refusal(error, item->queue->function, reason));
    }
}

void fail_lost(List *lost) {
    fail_items(lost, "failed WorkerLost: three workers were lost while they computed this key");
}

void settle_miss(Item *item, RedisModuleString *value) {
    if (value && !item->dropped) dispatcher_adopt(&dispatcher, item);
    int waited = !list_empty(&item->waiters);
    int replies_are_due = waited || dispatcher.leaving;
    int all_told = tell_waiters(item, (Outcome){value ? VALUE : NIL, value});
    int stores = value && item->queue->function->options.cache != CACHE_OFF && !item->dropped;
    if (stores || !all_told) {
        if (!stores && !item->dropped) dispatcher_hide(&dispatcher, item);
        RM_RetainString(NULL, value);
        dispatcher_hold(&dispatcher, item, value, text_of(value).length);
        if (replies_are_due) return; /* forget_parked runs after them */
        item->sent = 1;
        go_on_soon();
        return;
    }
    dispatcher_discard(&dispatcher, item);
}
