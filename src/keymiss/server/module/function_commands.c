/* function_commands.c: the commands SERVE, FORGET and LIST.
 *
 * SERVE and FORGET are never replicated. When they come from a file or a primary all the same, they
 * are ignored. */
#include "function_commands.h"

#include <string.h>

#include "lease_timer.h"
#include "dispatcher.h"
#include "registrations.h"
#include "function_library.h"
#include "workers.h"

/* ---- SERVE and FORGET ---- */

/* Whether a user may do this to all keys under a prefix. Only Valkey can be asked that (Redis has a
 * function of this name with other parameters). Other servers are asked about two random keys,
 * which differ right after the prefix. */
static int may_use(RedisModuleCtx *ctx, RedisModuleUser *user, const char *prefix, size_t length,
                   int needed) {
    if (api_is_valkey && RM_ACLCheckKeyPrefixPermissions)
        return RM_ACLCheckKeyPrefixPermissions(user, prefix, length, (unsigned)needed) ==
               REDISMODULE_OK;
    char key[MAX_PREFIX_BYTES + 1 + RANDOM_ID_BYTES];
    memcpy(key, prefix, length);
    RM_GetRandomHexChars(key + length + 1, RANDOM_ID_BYTES);
    int may = 1;
    for (int probe = 0; probe < 2 && may; probe++) {
        key[length] = probe ? '\xff' : '\0';
        RedisModuleString *some_key = RM_CreateString(ctx, key, length + 1 + RANDOM_ID_BYTES);
        may = RM_ACLCheckKeyPermissions(user, some_key, needed) == REDISMODULE_OK;
        RM_FreeString(ctx, some_key);
    }
    return may;
}

/* Whether a user may use the keys of a database, which Valkey 9.1 can forbid. The server is asked
 * about a command with a key; other reasons to deny that command do not matter. */
static int may_select(RedisModuleCtx *ctx, RedisModuleUser *user, int db) {
    if (!api_is_valkey_9_1) return 1;
    RedisModuleString *command[] = {RM_CreateString(ctx, "GET", 3), RM_CreateString(ctx, "k", 1)};
    int denied = 0;
    int may = RM_ACLCheckPermissions(user, command, 2, db, &denied) == REDISMODULE_OK ||
              denied != ACL_DENIED_DATABASE;
    for (int i = 0; i < 2; i++) RM_FreeString(ctx, command[i]);
    return may;
}

/* A worker that answers for keys must be allowed to read and write them; one that follows written
 * keys must be allowed to read them. Where its function replaces one with other keys, the same
 * holds for these keys. */
static int may_serve(RedisModuleCtx *ctx, const Registration *registration) {
    RedisModuleString *name = RM_GetClientUserNameById(ctx, RM_GetClientId(ctx));
    if (!name) return 1; /* a client without a user may do everything */
    RedisModuleUser *user = RM_GetModuleUserFromUserName(name);
    RM_FreeString(ctx, name);
    if (!user) return 0;
    int needed = REDISMODULE_CMD_KEY_ACCESS;
    if (registration->options.kind == ON_MISS)
        needed |=
            REDISMODULE_CMD_KEY_UPDATE | REDISMODULE_CMD_KEY_INSERT | REDISMODULE_CMD_KEY_DELETE;
    const Function *same =
        dispatcher_named(&dispatcher, registration->name, strlen(registration->name));
    int may = may_select(ctx, user, RM_GetSelectedDb(ctx)) &&
              may_use(ctx, user, registration->prefix, registration->prefix_length, needed) &&
              (!same || (may_select(ctx, user, same->db) &&
                         may_use(ctx, user, same->prefix, same->prefix_length, needed)));
    RM_FreeModuleUser(user);
    return may;
}

static int comes_from_elsewhere(RedisModuleCtx *ctx) {
    return RM_GetContextFlags(ctx) &
           (REDISMODULE_CTX_FLAGS_REPLICATED | REDISMODULE_CTX_FLAGS_LOADING);
}

/* Replies 1 when all stored values are of the served version, 0 when there may be older ones. */
int serve_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc < 6) return RM_WrongArity(ctx);
    if (comes_from_elsewhere(ctx)) return RM_ReplyWithLongLong(ctx, 0);
    if (argc - 1 > MAX_SERVE_ARGUMENTS) return reply_wrong(ctx, "SERVE has at most 32 arguments");
    Text arguments[MAX_SERVE_ARGUMENTS];
    for (int i = 1; i < argc; i++) arguments[i - 1] = text_of(argv[i]);
    Registration registration;
    const char *wrong = read_serve(arguments, argc - 1, &registration);
    if (wrong) return reply_wrong(ctx, wrong);
    if (!may_serve(ctx, &registration))
        return RM_ReplyWithError(ctx, "KEYMISS denied this user may not read and write the keys "
                                      "under that prefix");
    int db = RM_GetSelectedDb(ctx);
    make_way(&registration, db, 1);
    Function *function =
        dispatcher_named(&dispatcher, registration.name, strlen(registration.name));
    Function before = {0};
    if (function) memcpy(&before, function, sizeof before);
    wrong = dispatcher_serve(&dispatcher, &registration, db, now_ms(), &function);
    if (wrong) return reply_wrong(ctx, wrong);
    attach_worker(ctx, function);
    if (!list_empty(&function->queue.ready)) wake_worker(&function->queue);
    set_lease_timer();
    if (!*before.name || before.clean != function->clean ||
        memcmp(&before.options, &function->options, sizeof before.options) != 0)
        library_save(ctx);
    return RM_ReplyWithLongLong(ctx, function->clean);
}

int forget_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc != 2) return RM_WrongArity(ctx);
    if (comes_from_elsewhere(ctx)) return RM_ReplyWithLongLong(ctx, 0);
    Text name = text_of(argv[1]);
    Function *function = dispatcher_named(&dispatcher, name.bytes, name.length);
    if (!function) return RM_ReplyWithLongLong(ctx, 0);
    if (slots_are_leaving())
        return RM_ReplyWithError(ctx, "KEYMISS migrating slots are leaving this server; "
                                      "try again when they have gone");
    forget_function(function);
    set_lease_timer();
    library_save(ctx);
    return RM_ReplyWithLongLong(ctx, 1);
}

/* ---- LIST ---- */

static long list_number(RedisModuleCtx *ctx, const char *field, long long value) {
    RM_ReplyWithCString(ctx, field);
    RM_ReplyWithLongLong(ctx, value);
    return 2;
}

static long list_text(RedisModuleCtx *ctx, const char *field, const char *value, size_t length) {
    RM_ReplyWithCString(ctx, field);
    RM_ReplyWithStringBuffer(ctx, value, length);
    return 2;
}

static void list_function(RedisModuleCtx *ctx, const Function *function) {
    const Options *options = &function->options;
    const char *kind = kind_text(options);
    char digits[24];
    const char *cache = cache_text(options, digits);
    long fields = 0;
    RM_ReplyWithArray(ctx, REDISMODULE_POSTPONED_LEN);
    fields += list_text(ctx, "name", function->name, strlen(function->name));
    fields += list_text(ctx, "on", kind, strlen(kind));
    fields += list_text(ctx, "prefix", function->prefix, function->prefix_length);
    fields += list_text(ctx, "form", options->form, strlen(options->form));
    fields += list_text(ctx, "version", options->version, strlen(options->version));
    fields += list_number(ctx, "clean", function->clean);
    fields += list_number(ctx, "each", options->each);
    fields += list_number(ctx, "db", function->db);
    fields += list_number(ctx, "timeout", options->timeout);
    fields += list_text(ctx, "cache", cache, strlen(cache));
    fields += list_number(ctx, "lease", options->lease);
    fields += list_number(ctx, "limit", options->limit);
    fields += list_number(ctx, "workers", function->workers);
    fields += list_number(ctx, "pending", function->queue.pending);
#define LIST_COUNTER(counter) fields += list_number(ctx, #counter, function->counters.counter);
    COUNTERS_FOR_ALL(LIST_COUNTER)
    RM_ReplySetArrayLength(ctx, fields);
}

int list_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    (void)argv;
    if (argc != 1) return RM_WrongArity(ctx);
    RM_ReplyWithArray(ctx, dispatcher.function_count);
    for (int slot = 0; slot < MAX_FUNCTIONS; slot++)
        if (dispatcher.functions[slot]) list_function(ctx, dispatcher.functions[slot]);
    return REDISMODULE_OK;
}
