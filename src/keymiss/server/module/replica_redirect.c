/* replica_redirect.c: where a replica of a cluster sends a miss: to its primary, since it cannot
 * compute.
 *
 * Clients come here only for slots of the replica's own primary: for all other slots the server
 * itself replies -MOVED. */
#include "replica_redirect.h"

#include <stdio.h>

/* The address of a replica's primary, as the cluster announces it to clients without TLS and to
 * clients with it. It is remembered, or a flood of misses would stall a replica: CLUSTER SLOTS
 * takes time linear in the slot ranges, and a cluster may have thousands of them. */
enum { PRIMARY_KNOWN_MS = 250, MAX_ADDRESS_BYTES = 288 };
static struct {
    long long until;
    char address[MAX_ADDRESS_BYTES];
} primaries[2];

static int uses_tls(RedisModuleCtx *ctx) {
    RedisModuleClientInfo info = {.version = 1};
    return RM_GetClientInfoById(&info, RM_GetClientId(ctx)) == REDISMODULE_OK &&
           info.flags & REDISMODULE_CLIENTINFO_FLAG_SSL;
}

/* Writes the address of the node that owns a slot. Returns 0 when there is none. */
static int find_owner(RedisModuleCtx *ctx, long long slot, char *address) {
    RedisModuleCallReply *ranges = RM_Call(ctx, "CLUSTER", "c", "SLOTS");
    int found = 0;
    for (size_t i = 0; ranges && !found && i < RM_CallReplyLength(ranges); i++) {
        RedisModuleCallReply *range = RM_CallReplyArrayElement(ranges, i);
        if (slot < RM_CallReplyInteger(RM_CallReplyArrayElement(range, 0)) ||
            slot > RM_CallReplyInteger(RM_CallReplyArrayElement(range, 1)))
            continue;
        RedisModuleCallReply *owner = RM_CallReplyArrayElement(range, 2);
        RedisModuleCallReply *host = RM_CallReplyArrayElement(owner, 0);
        long long port = RM_CallReplyInteger(RM_CallReplyArrayElement(owner, 1));
        /* Without a host, the client uses the one that it is connected to, as after -MOVED. */
        size_t length = 0;
        const char *name = RM_CallReplyType(host) == REDISMODULE_REPLY_STRING
                               ? RM_CallReplyStringPtr(host, &length)
                               : "";
        int size = snprintf(address, MAX_ADDRESS_BYTES, "%.*s:%lld", (int)length, name, port);
        found = size < MAX_ADDRESS_BYTES;
    }
    if (ranges) RM_FreeCallReply(ranges);
    return found;
}

int ask_primary(RedisModuleCtx *ctx, RedisModuleString *key, char *error) {
    RedisModuleCallReply *reply = RM_Call(ctx, "CLUSTER", "cs", "KEYSLOT", key);
    if (!reply) return 0;
    long long slot = RM_CallReplyInteger(reply);
    RM_FreeCallReply(reply);
    int tls = uses_tls(ctx);
    if (primaries[tls].until < now_ms()) {
        if (!find_owner(ctx, slot, primaries[tls].address)) return 0;
        primaries[tls].until = now_ms() + PRIMARY_KNOWN_MS;
    }
    snprintf(error, MAX_ERROR_BYTES, "ASK %lld %s", slot, primaries[tls].address);
    return 1;
}
