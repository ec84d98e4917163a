/* command_filter.c: finds the GETs that compute.
 *
 * A command filter sees every command before it runs. For a GET of a key under a registered ON MISS
 * prefix, this one asks whether the key exists, without touching anything. When the key exists, the
 * command stays as it is: a hit is a native GET. When it does not, the filter renames the command
 * to KEYMISS.GET (get_command.c).
 *
 * Whether a key that the filter has seen still exists when the command runs
 *   No command of another client runs between the two, though an I/O thread may allocate memory.
 *   But the key may expire, it may be evicted to make room for the command itself, or it may go
 *   while CLIENT PAUSE holds the command back. Where one of these is possible, the filter leaves
 *   the key to KEYMISS.GET, which looks and replies in one step. In MULTI the command runs later: a
 *   key that is gone by then is nil, as for any GET.
 *
 * Rejected: StringDMA for hits (it rewrites the value's encoding), RM_Call for hits (a quarter more
 * CPU time at pipeline 16), KeyExists (it counts one more hit), a set of keys known to exist (not
 * every key that goes causes an event), `rename-command GET` (a module command named get crashes
 * Valkey 9). docs/decisions/0003-hits.md has the figures. */
#include "command_filter.h"

#include <string.h>
#include <strings.h>

#include "dispatcher.h"
#include "function_library.h"
#include "module_state.h"

enum { EXPIRING_MS = 100 }; /* far longer than the time from the filter to the command */

/* The ratio of used memory is a float: slightly more than maxmemory may read as 1, or as the float
 * just below 1. */
static const float NEARLY_FULL = 0.9999998F;

/* Redis, and Valkey before 9.1, crash when a filter looks a key up for a client that has sent
 * CLIENT NO-TOUCH ON. The module cannot learn which clients have sent it: once any client may have,
 * the filter looks no key up. */
static int may_look;

void filter_prepare(RedisModuleCtx *ctx) {
    /* Redis 7.0 cannot look a key up without side effects, and a filter must have none. When the
     * module is loaded after the server's start, clients may have sent NO-TOUCH already. */
    may_look =
        RM_GetOpenKeyModesAll &&
        (api_is_valkey_9_1 || RM_GetContextFlags(ctx) & REDISMODULE_CTX_FLAGS_SERVER_STARTUP);
}

/* Looks at the argument alone, since CLIENT may have been renamed. */
static void watch_no_touch(RedisModuleString *argument) {
    if (text_is(text_of(argument), "NO-TOUCH")) may_look = 0;
}

/* FUNCTION LOAD, DELETE, FLUSH and RESTORE change the library that keeps the registrations, also
 * when they come from a primary. function_library.c looks at it when the command has run. */
static void watch_libraries(const char *command, size_t length) {
    if (length == 8 && strncasecmp(command, "function", 8) == 0) library_watch();
    if (length == 4 && strncasecmp(command, "exec", 4) == 0) library_watch_exec();
}

static int will_be_there(const Function *function, RedisModuleString *name) {
    if (!may_look) return 0;
    /* The key may go while clients are paused, or when more memory is used than maxmemory allows.
     */
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
    /* Setting a bit lowers the case: a library call would cost more than all the rest here. */
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
    /* The look-up happens in the function's database. A client of another database gets a native
     * GET either way: from here when the function's database has the key, otherwise from
     * KEYMISS.GET. */
    if (will_be_there(function, name)) {
        function->counters.hits++;
        return;
    }
    if (!dispatcher_computes(function, key, length)) return;
    const char *renamed = "KEYMISS.GET";
    RM_CommandFilterArgReplace(filter, 0, RM_CreateString(NULL, renamed, strlen(renamed)));
}
