/* server_api.h: the server functions that the module uses, declared here and looked up by name at
 * load.
 *
 * Valkey and Redis give every module one function, GetApi, which finds all others by name. This
 * file declares the few that the module uses, so it needs neither project's header, and one binary
 * loads into both. Signatures and constants follow the documented module API
 * (valkey.io/topics/modules-api-ref, redis.io/docs/latest/develop/reference/modules). REQUIRED
 * functions exist since Redis 7.0; OPTIONAL ones may be NULL and are checked where they are used.
 */
#ifndef KEYMISS_SERVER_API_H
#define KEYMISS_SERVER_API_H

#include <stddef.h>
#include <stdint.h>

typedef struct RedisModuleCtx RedisModuleCtx;
typedef struct RedisModuleString RedisModuleString;
typedef struct RedisModuleKey RedisModuleKey;
typedef struct RedisModuleCommand RedisModuleCommand;
typedef struct RedisModuleCallReply RedisModuleCallReply;
typedef struct RedisModuleBlockedClient RedisModuleBlockedClient;
typedef struct RedisModuleCommandFilter RedisModuleCommandFilter;
typedef struct RedisModuleCommandFilterCtx RedisModuleCommandFilterCtx;
typedef struct RedisModuleInfoCtx RedisModuleInfoCtx;
typedef struct RedisModuleUser RedisModuleUser;
typedef uint64_t RedisModuleTimerID;

typedef int (*CommandFn)(RedisModuleCtx *, RedisModuleString **argv, int argc);
typedef void (*FreeFn)(RedisModuleCtx *, void *);
typedef void (*DisconnectFn)(RedisModuleCtx *, RedisModuleBlockedClient *);
typedef void (*TimerFn)(RedisModuleCtx *, void *);
typedef void (*FilterFn)(RedisModuleCommandFilterCtx *);
typedef void (*InfoFn)(RedisModuleInfoCtx *, int for_crash_report);
typedef long long (*GetNumberFn)(const char *name, void *data);
typedef int (*SetNumberFn)(const char *name, long long value, void *data, RedisModuleString **err);
typedef RedisModuleString *(*GetStringFn)(const char *name, void *data);
typedef int (*SetStringFn)(const char *name, RedisModuleString *value, void *data,
                           RedisModuleString **err);
typedef int (*ApplyFn)(RedisModuleCtx *, void *data, RedisModuleString **err);
typedef int (*NotificationFn)(RedisModuleCtx *, int type, const char *event, RedisModuleString *);

typedef struct RedisModuleEvent {
    uint64_t id;      /* one of the EVENT_ constants */
    uint64_t dataver; /* version of the structure passed as data */
} RedisModuleEvent;
typedef void (*EventFn)(RedisModuleCtx *, RedisModuleEvent, uint64_t subevent, void *data);

typedef struct RedisModuleClientInfo {
    uint64_t version;
    uint64_t flags;
    uint64_t id;
    char addr[46];
    uint16_t port;
    uint16_t db;
} RedisModuleClientInfo;

typedef struct RedisModuleFlushInfo {
    uint64_t version;
    int32_t sync;
    int32_t dbnum; /* -1: all databases */
} RedisModuleFlushInfo;

/* RM_SetCommandInfo copies these structures. For a field that the module leaves empty, the server
 * wants only the size of its entries. */
typedef struct RedisModuleCommandKeySpec {
    const char *notes;
    uint64_t flags;
    int begin_search; /* one of the KEY_ constants, like find_keys */
    union {
        int index;
        struct {
            const char *word;
            int from;
        } keyword;
    } begin;
    int find_keys;
    union {
        struct {
            int last, step, limit;
        } range;
    } find;
} RedisModuleCommandKeySpec;

typedef struct RedisModuleCommandArg {
    const char *name;
    int type;     /* one of the ARG_ constants */
    int key_spec; /* the place of a key in key_specs; -1 for other arguments */
    const char *token;
    const char *summary, *since;
    int flags; /* ARG_OPTIONAL and the like */
    const char *deprecated_since;
    struct RedisModuleCommandArg *parts; /* for ARG_ONE_OF and ARG_BLOCK */
    const char *display_text;
} RedisModuleCommandArg;

#define ARG_STRING 0
#define ARG_INTEGER 1
#define ARG_KEY 3
#define ARG_PURE_TOKEN 6
#define ARG_ONE_OF 7
#define ARG_OPTIONAL (1 << 0)
#define ARG_MULTIPLE (1 << 1)

typedef struct RedisModuleCommandInfoVersion {
    int version;
    size_t size_of_history, size_of_key_spec, size_of_argument;
} RedisModuleCommandInfoVersion;

typedef struct RedisModuleCommandInfo {
    const RedisModuleCommandInfoVersion *version;
    const char *summary, *complexity, *since;
    void *history;
    const char *tips;
    int arity;
    RedisModuleCommandKeySpec *key_specs;
    RedisModuleCommandArg *arguments;
} RedisModuleCommandInfo;

#define KEY_BEGIN_INDEX 2
#define KEY_FIND_RANGE 2

typedef struct RedisModuleSwapDbInfo {
    uint64_t version;
    int32_t first, second;
} RedisModuleSwapDbInfo;

#define REDISMODULE_CLIENTINFO_FLAG_SSL (1 << 0)

#define REDISMODULE_OK 0
#define REDISMODULE_ERR 1
#define REDISMODULE_APIVER_1 1
#define REDISMODULE_POSTPONED_LEN (-1)

#define REDISMODULE_REPLY_STRING 0
#define REDISMODULE_REPLY_ERROR 1
#define REDISMODULE_REPLY_ARRAY 3
#define REDISMODULE_REPLY_NULL 4

#define REDISMODULE_OPTIONS_HANDLE_REPL_ASYNC_LOAD (1 << 2)
#define REDISMODULE_OPTIONS_ATOMIC_SLOT_MIGRATION (1 << 5) /* Valkey 9 */
#define REDISMODULE_CONFIG_DEFAULT 0
#define REDISMODULE_CONFIG_MEMORY (1 << 7) /* may be written as 16mb */

#define REDISMODULE_CMD_KEY_RO (1 << 0)
#define REDISMODULE_CMD_KEY_ACCESS (1 << 4)
#define REDISMODULE_CMD_KEY_UPDATE (1 << 5)
#define REDISMODULE_CMD_KEY_INSERT (1 << 6)
#define REDISMODULE_CMD_KEY_DELETE (1 << 7)

#define ACL_DENIED_DATABASE 4 /* Valkey 9.1 */

#define REDISMODULE_KEYTYPE_STRING 1

#define REDISMODULE_READ (1 << 0)
#define REDISMODULE_OPEN_KEY_NOTOUCH (1 << 16)  /* leave LRU and LFU alone */
#define REDISMODULE_OPEN_KEY_NONOTIFY (1 << 17) /* no keymiss event */
#define REDISMODULE_OPEN_KEY_NOSTATS (1 << 18)  /* no keyspace hit or miss counted */
#define REDISMODULE_OPEN_KEY_NOEXPIRE (1 << 19) /* do not delete an expired key */

#define REDISMODULE_CTX_FLAGS_LUA (1 << 0)
#define REDISMODULE_CTX_FLAGS_MULTI (1 << 1)
#define REDISMODULE_CTX_FLAGS_REPLICA (1 << 3)
#define REDISMODULE_CTX_FLAGS_CLUSTER (1 << 5)
#define REDISMODULE_CTX_FLAGS_EVICT (1 << 9)
#define REDISMODULE_CTX_FLAGS_OOM (1 << 10)
#define REDISMODULE_CTX_FLAGS_REPLICATED (1 << 12)
#define REDISMODULE_CTX_FLAGS_LOADING (1 << 13)
#define REDISMODULE_CTX_FLAGS_DENY_BLOCKING (1 << 21)
#define REDISMODULE_CTX_FLAGS_SERVER_STARTUP (1 << 24)

#define REDISMODULE_NOTIFY_GENERIC (1 << 2)
#define REDISMODULE_NOTIFY_STRING (1 << 3)
#define REDISMODULE_NOTIFY_LIST (1 << 4)
#define REDISMODULE_NOTIFY_SET (1 << 5)
#define REDISMODULE_NOTIFY_HASH (1 << 6)
#define REDISMODULE_NOTIFY_ZSET (1 << 7)
#define REDISMODULE_NOTIFY_EXPIRED (1 << 8)
#define REDISMODULE_NOTIFY_EVICTED (1 << 9)
#define REDISMODULE_NOTIFY_STREAM (1 << 10)
#define REDISMODULE_NOTIFY_MODULE (1 << 13)

#define REDISMODULE_CMDFILTER_NOSELF (1 << 0)

#define EVENT_ROLE_CHANGED 0
#define EVENT_FLUSHDB 2
#define EVENT_LOADING 3
#define EVENT_CLIENT_CHANGE 4
#define EVENT_SWAPDB 11
#define EVENT_REPL_ASYNC_LOAD 14
#define EVENT_ATOMIC_SLOT_MIGRATION 19 /* Valkey 9 */
#define SUBEVENT_NOW_REPLICA 1
#define SUBEVENT_CLIENT_DISCONNECTED 1
#define SUBEVENT_FLUSHDB_END 1
#define SUBEVENT_LOADING_ENDED 3
#define SUBEVENT_ASYNC_LOAD_COMPLETED 2
#define SUBEVENT_EXPORT_STARTED 1
#define SUBEVENT_EXPORT_ABORTED 3
#define SUBEVENT_IMPORT_COMPLETED 4
#define SUBEVENT_EXPORT_COMPLETED 5

/* X(return type, name, parameters) */
#define REQUIRED_API(X)                                                                            \
    X(void *, Alloc, (size_t))                                                                     \
    X(void, Free, (void *))                                                                        \
    X(int, SetModuleAttribs, (RedisModuleCtx *, const char *name, int version, int apiver))        \
    X(int, IsModuleNameBusy, (const char *))                                                       \
    X(int, CreateCommand,                                                                          \
      (RedisModuleCtx *, const char *name, CommandFn, const char *flags, int first, int last,      \
       int step))                                                                                  \
    X(long long, Milliseconds, (void))                                                             \
    X(void, Log, (RedisModuleCtx *, const char *level, const char *format, ...))                   \
    X(int, WrongArity, (RedisModuleCtx *))                                                         \
    X(int, ReplyWithError, (RedisModuleCtx *, const char *))                                       \
    X(int, ReplyWithLongLong, (RedisModuleCtx *, long long))                                       \
    X(int, ReplyWithNull, (RedisModuleCtx *))                                                      \
    X(int, ReplyWithArray, (RedisModuleCtx *, long))                                               \
    X(int, ReplyWithStringBuffer, (RedisModuleCtx *, const char *, size_t))                        \
    X(int, ReplyWithCString, (RedisModuleCtx *, const char *))                                     \
    X(int, ReplyWithString, (RedisModuleCtx *, RedisModuleString *))                               \
    X(int, ReplyWithCallReply, (RedisModuleCtx *, RedisModuleCallReply *))                         \
    X(void, ReplySetArrayLength, (RedisModuleCtx *, long))                                         \
    X(int, GetContextFlags, (RedisModuleCtx *))                                                    \
    X(int, AvoidReplicaTraffic, (void))                                                            \
    X(int, GetSelectedDb, (RedisModuleCtx *))                                                      \
    X(int, SelectDb, (RedisModuleCtx *, int))                                                      \
    X(unsigned long long, GetClientId, (RedisModuleCtx *))                                         \
    X(int, GetClientInfoById, (void *info, uint64_t id))                                           \
    X(RedisModuleString *, GetClientUserNameById, (RedisModuleCtx *, uint64_t))                    \
    X(RedisModuleKey *, OpenKey, (RedisModuleCtx *, RedisModuleString *, int mode))                \
    X(long long, GetAbsExpire, (RedisModuleKey *))                                                 \
    X(int, KeyType, (RedisModuleKey *))                                                            \
    X(void, CloseKey, (RedisModuleKey *))                                                          \
    X(RedisModuleCallReply *, Call, (RedisModuleCtx *, const char *, const char *format, ...))     \
    X(void, FreeCallReply, (RedisModuleCallReply *))                                               \
    X(long long, CallReplyInteger, (RedisModuleCallReply *))                                       \
    X(RedisModuleString *, CreateString, (RedisModuleCtx *, const char *, size_t))                 \
    X(void, FreeString, (RedisModuleCtx *, RedisModuleString *))                                   \
    X(void, RetainString, (RedisModuleCtx *, RedisModuleString *))                                 \
    X(const char *, StringPtrLen, (const RedisModuleString *, size_t *))                           \
    X(void, GetRandomHexChars, (char *, size_t))                                                   \
    X(RedisModuleCtx *, GetDetachedThreadSafeContext, (RedisModuleCtx *))                          \
    X(RedisModuleBlockedClient *, BlockClient,                                                     \
      (RedisModuleCtx *, CommandFn reply, CommandFn timeout, FreeFn, long long timeout_ms))        \
    X(RedisModuleBlockedClient *, BlockClientOnKeys,                                               \
      (RedisModuleCtx *, CommandFn reply, CommandFn timeout, FreeFn, long long timeout_ms,         \
       RedisModuleString **keys, int numkeys, void *privdata))                                     \
    X(void, SetDisconnectCallback, (RedisModuleBlockedClient *, DisconnectFn))                     \
    X(int, UnblockClient, (RedisModuleBlockedClient *, void *))                                    \
    X(void *, GetBlockedClientPrivateData, (RedisModuleCtx *))                                     \
    X(void, SignalKeyAsReady, (RedisModuleCtx *, RedisModuleString *))                             \
    X(RedisModuleTimerID, CreateTimer, (RedisModuleCtx *, long long ms, TimerFn, void *))          \
    X(int, SubscribeToKeyspaceEvents, (RedisModuleCtx *, int types, NotificationFn))               \
    X(int, SubscribeToServerEvent, (RedisModuleCtx *, RedisModuleEvent, EventFn))                  \
    X(RedisModuleCommandFilter *, RegisterCommandFilter, (RedisModuleCtx *, FilterFn, int flags))  \
    X(int, CommandFilterArgsCount, (RedisModuleCommandFilterCtx *))                                \
    X(RedisModuleString *, CommandFilterArgGet, (RedisModuleCommandFilterCtx *, int))              \
    X(int, CommandFilterArgReplace, (RedisModuleCommandFilterCtx *, int, RedisModuleString *))     \
    X(void, SetModuleOptions, (RedisModuleCtx *, int options))                                     \
    X(int, CallReplyType, (RedisModuleCallReply *))                                                \
    X(size_t, CallReplyLength, (RedisModuleCallReply *))                                           \
    X(RedisModuleCallReply *, CallReplyArrayElement, (RedisModuleCallReply *, size_t))             \
    X(const char *, CallReplyStringPtr, (RedisModuleCallReply *, size_t *))                        \
    X(float, GetUsedMemoryRatio, (void))                                                           \
    X(RedisModuleUser *, GetModuleUserFromUserName, (RedisModuleString *))                         \
    X(void, FreeModuleUser, (RedisModuleUser *))                                                   \
    X(int, ACLCheckKeyPermissions, (RedisModuleUser *, RedisModuleString * key, int flags))        \
    X(int, StopTimer, (RedisModuleCtx *, RedisModuleTimerID, void **data))                         \
    X(int, RegisterNumericConfig,                                                                  \
      (RedisModuleCtx *, const char *name, long long initial, unsigned int flags, long long low,   \
       long long high, GetNumberFn, SetNumberFn, ApplyFn, void *data))                             \
    X(int, RegisterStringConfig,                                                                   \
      (RedisModuleCtx *, const char *name, const char *initial, unsigned int flags, GetStringFn,   \
       SetStringFn, ApplyFn, void *data))                                                          \
    X(int, LoadConfigs, (RedisModuleCtx *))                                                        \
    X(int, RegisterInfoFunc, (RedisModuleCtx *, InfoFn))                                           \
    X(int, InfoAddSection, (RedisModuleInfoCtx *, const char *))                                   \
    X(int, InfoAddFieldLongLong, (RedisModuleInfoCtx *, const char *, long long))

#define OPTIONAL_API(X)                                                                            \
    X(int, SetCommandInfo, (RedisModuleCommand *, const RedisModuleCommandInfo *))                 \
    X(int, ACLCheckKeyPrefixPermissions,                                                           \
      (RedisModuleUser *, const char *prefix, size_t length, unsigned int flags)) /* Valkey's */   \
    X(int, ACLCheckPermissions,                                                                    \
      (RedisModuleUser *, RedisModuleString * *argv, int argc, int db,                             \
       int *denied)) /* Valkey 9.1 */                                                              \
    X(int, GetOpenKeyModesAll, (void))                                                             \
    X(RedisModuleCommand *, GetCommand, (RedisModuleCtx *, const char *))                          \
    X(int, SetCommandACLCategories, (RedisModuleCommand *, const char *))

#define DECLARE(type, name, parameters) extern type(*RM_##name) parameters;
REQUIRED_API(DECLARE)
OPTIONAL_API(DECLARE)
#undef DECLARE

/* Whether the server is Valkey, where some numbers and names mean other things than in Redis; and
 * whether it is Valkey 9.1 or later. */
extern int api_is_valkey, api_is_valkey_9_1;

/* Looks every function up. Returns NULL, or the name of a required function that the server lacks.
 */
const char *api_load(RedisModuleCtx *ctx);

#endif
