/* get_command.c: the GET that computes. command_filter.c turns a GET of a missing key into
 * KEYMISS.GET, which parks the client on the key (waiters.h) and queues an item for the
 * workers.
 *
 * Permissions
 *   KEYMISS.GET begins with a GET as the client's user: a user that may not GET a key cannot have
 *   it computed.
 *
 * Clients that cannot wait
 *   In MULTI, in scripts, and where blocking is denied, a miss is nil. Valkey 9.1 does not park a
 *   subscribed connection, which RESP3 allows to GET: BlockClientOnKeys returns no handle. */
#include "get_command.h"

#include <stdio.h>

#include "lease_timer.h"
#include "dispatcher.h"
#include "items.h"
#include "registrations.h"
#include "replica_redirect.h"
#include "waiters.h"
#include "workers.h"

/* GET as the client's user (C), with errors as replies (E). NULL when it could not be called. */
static RedisModuleCallReply *call_get(RedisModuleCtx *ctx, RedisModuleString *name) {
    return RM_Call(ctx, "GET", "CEs", name);
}

/* Forwards the reply of a GET unless it is nil, and frees it. Returns whether it was not nil. */
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

static int redirect(RedisModuleCtx *ctx, const Function *function, RedisModuleString *key) {
    char error[MAX_ERROR_BYTES];
    if (RM_GetContextFlags(ctx) & REDISMODULE_CTX_FLAGS_CLUSTER && ask_primary(ctx, key, error))
        return RM_ReplyWithError(ctx, error);
    return refuse(ctx, function, "replica cannot compute; ask the primary");
}

/* Somebody has written the key: its value is the answer.
 *
 * If this function replied and returned OK, the client would stay flagged as blocked until the end
 * of the event loop's turn. A CLIENT UNBLOCK ERROR in that turn would then give it a second reply
 * (Valkey 9.1), and all later replies would go to the wrong commands. UnblockClient gives exactly
 * one reply. */
static int on_key_ready(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    (void)argc;
    RedisModuleCallReply *reply = call_get(ctx, argv[1]);
    if (!reply) return REDISMODULE_ERR;
    int type = RM_CallReplyType(reply);
    if (type != REDISMODULE_REPLY_NULL) {
        size_t length;
        const char *text = RM_CallReplyStringPtr(reply, &length);
        settle_waiter(ctx, type == REDISMODULE_REPLY_STRING ? VALUE : FAILURE, text, length);
    }
    RM_FreeCallReply(reply);
    return REDISMODULE_ERR;
}

/* The item that the client may wait for, or NULL when the client has been refused. */
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
    if (dispatcher_may_wait(&dispatcher, function, RM_GetClientId(ctx), key.length)) {
        if (item) function->counters.joined++;
        else item = dispatcher_enqueue(&dispatcher, &function->queue, key.bytes, key.length);
        if (item) return item;
    }
    function->counters.busy++;
    refuse(ctx, function, "busy too many keys or clients wait; try again later");
    return NULL;
}

int get_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc != 2) return RM_WrongArity(ctx);
    Text key = text_of(argv[1]);
    Function *function = function_of(ctx, argv[1]);
    if (function && !dispatcher_computes(function, key.bytes, key.length)) function = NULL;
    if (reply_unless_nil(ctx, call_get(ctx, argv[1]))) {
        if (function) function->counters.hits++;
        return REDISMODULE_OK;
    }
    int flags = RM_GetContextFlags(ctx);
    if (!function || flags & (REDISMODULE_CTX_FLAGS_MULTI | REDISMODULE_CTX_FLAGS_LUA |
                              REDISMODULE_CTX_FLAGS_DENY_BLOCKING))
        return RM_ReplyWithNull(ctx);
    if (flags & REDISMODULE_CTX_FLAGS_REPLICA) return redirect(ctx, function, argv[1]);

    Item *known = dispatcher_find(&dispatcher, &function->queue, key.bytes, key.length);
    if (known && known->state == ANSWERED) {
        function->counters.hits++;
        return RM_ReplyWithString(ctx, known->value);
    }
    function->counters.misses++;
    Item *item = item_to_wait_for(ctx, function, known, key);
    if (item && park_waiter(ctx, item, &argv[1], 1, on_key_ready) && !known) {
        wake_worker(&function->queue);
        if (!function->workers) set_lease_timer();
    }
    return REDISMODULE_OK;
}
