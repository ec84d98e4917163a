/* replica.c: where a replica of a cluster sends a miss: it cannot compute, its primary can.
 *
 * Clients reach this only for slots of the replica's own primary: for all others the server itself
 * has said -MOVED. */
#include "replica.h"

#include <stdio.h>

/* The address of a replica's primary, as the cluster announces it to clients with TLS and without.
 * CLUSTER SLOTS takes time linear in the slot ranges, of which a cluster may have thousands:
 * without the memory, a flood of misses would stall a replica. */
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

/* Writes the address of the node that owns a slot; 0 when there is none. */
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
        /* No host: the client uses the one that it has, as after -MOVED. */
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
