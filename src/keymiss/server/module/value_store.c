/* value_store.c: which computed values are stored.
 *
 * A value is stored with NX: a value that somebody has written in the meantime stays.
 * waiters.h says when values are stored. */
#include "value_store.h"

#include "dispatcher.h"

enum { STORED_OVERHEAD = 100 }; /* about what a small string with a time to live takes more */

static int may_store(const Item *item) {
    if (item->dropped || RM_AvoidReplicaTraffic()) return 0;
    int flags = RM_GetContextFlags(own_context);
    if (flags & REDISMODULE_CTX_FLAGS_REPLICA) return 0;
    if (!(flags & REDISMODULE_CTX_FLAGS_OOM)) return 1;
    /* A server that evicts makes room with its next command. It may not be able to evict a value
     * that never expires. */
    return flags & REDISMODULE_CTX_FLAGS_EVICT &&
           item->queue->function->options.cache != CACHE_FOREVER;
}

/* Without this bound, any client that may ask could fill the memory of a server that does not
 * evict, or fill any server's memory with values that cannot be evicted. */
static int within_budget(Function *function, long long bytes) {
    int evicts = (RM_GetContextFlags(own_context) & REDISMODULE_CTX_FLAGS_EVICT) != 0;
    if (evicts && function->options.cache != CACHE_FOREVER) return 1;
    long long all = dispatcher_stored(&dispatcher, now_ms(), evicts);
    if (budget_allows(function->stored.total + bytes, all, max_stored_bytes,
                      dispatcher.function_count))
        return 1;
    function->counters.unstored++;
    return 0;
}

void store_value(const Item *item, RedisModuleString *value) {
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
