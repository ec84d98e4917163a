/* filter.c: finds the GETs that compute.
 *
 * A command filter sees every command before it runs. It looks only at a GET of a key under a
 * registered ON MISS prefix, and asks, without touching anything, whether the key is there. When it
 * is, the command stays as it came: a hit is a native GET. When it is not, the filter renames the
 * command to KEYMISS.GET (get.c).
 *
 * Whether a key that the filter has seen is there when the command runs
 *   Nothing of another client's happens between the two, but that an I/O thread may allocate; a key
 *   may expire, may be evicted to make room for the command itself, or may go while CLIENT PAUSE
 *   holds the command back. Where one of these is possible, the filter leaves the key to
 *   KEYMISS.GET, which looks and replies in one go. In MULTI the command runs later: a key that is
 *   gone by then is nil, as for any GET.
 *
 * Rejected: StringDMA for hits (it rewrites the value's encoding), RM_Call for hits (a quarter more
 * CPU time at pipeline 16), KeyExists (counts a hit of its own), a set of keys known to exist (what
 * tells it that a key has gone is not told of every way to go), `rename-command GET` (a module
 * command named get crashes Valkey 9). docs/decisions/0003-hits.md has the figures. */
#include "filter.h"

#include <string.h>
#include <strings.h>

#include "dispatcher.h"
#include "registry.h"
#include "server.h"

enum { EXPIRING_MS = 100 }; /* far longer than from the filter to the command */

/* The ratio is a float: a little more than all may read as 1, or as the next one below. */
static const float NEARLY_FULL = 0.9999998F;

/* Redis, and Valkey before 9.1, crash when a filter looks a key up for a client that has said
 * CLIENT NO-TOUCH ON. Who has is not to be learned: once anybody may have, nobody's key is. */
static int may_look;

void filter_prepare(RedisModuleCtx *ctx) {
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

/* FUNCTION LOAD, DELETE, FLUSH and RESTORE change what the registry is kept in, also when they come
 * from a primary: it is looked at when the command has run. */
static void watch_libraries(const char *command, size_t length) {
    if (length == 8 && strncasecmp(command, "function", 8) == 0) registry_watch();
    if (length == 4 && strncasecmp(command, "exec", 4) == 0) registry_watch_exec();
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

void filter_command(RedisModuleCommandFilterCtx *filter) {
    int count = RM_CommandFilterArgsCount(filter);
    if (count == 3 && !api_is_valkey_9_1) watch_no_touch(RM_CommandFilterArgGet(filter, 1));
    size_t length;
    const char *command = RM_StringPtrLen(RM_CommandFilterArgGet(filter, 0), &length);
    /* Lower case by setting a bit: a library call costs more than all the rest here. */
    if ((length == 8 && (command[0] | 32) == 'f') || (length == 4 && count == 1))
        watch_libraries(command, length);
    if (!dispatcher.function_count || count != 2 || length != 3 || (command[0] | 32) != 'g' ||
        (command[1] | 32) != 'e' || (command[2] | 32) != 't')
        return;
    RedisModuleString *name = RM_CommandFilterArgGet(filter, 1);
    const char *key = RM_StringPtrLen(name, &length);
    if (!dispatcher_may_match(&dispatcher, key, length)) return;
    Function *function = dispatcher_match(&dispatcher, key, length);
    if (!function || function->options.kind != ON_MISS) return;
    /* The look-up happens in the function's database. A client of another one gets a native GET
     * either way: from here when the key exists there, from KEYMISS.GET when it does not. */
    if (will_be_there(function, name)) {
        function->counters.hits++;
        return;
    }
    if (!dispatcher_computes(function, key, length)) return;
    const char *renamed = "KEYMISS.GET";
    RM_CommandFilterArgReplace(filter, 0, RM_CreateString(NULL, renamed, strlen(renamed)));
}
