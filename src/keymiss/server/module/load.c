/* load.c: loads the module.
 *
 * The module cannot be unloaded. For each client, the server keeps pointers to the command that it
 * ran last and to those that it has queued in MULTI. Pointers to the module's commands would
 * dangle, even in clients that have sent nothing but GET.
 *
 * There is one thread and no lock: all functions of the module run in the server's main thread. */
#include "server_api.h"
#include "command_table.h"
#include "dispatcher.h"
#include "server_events.h"
#include "command_filter.h"
#include "info_section.h"
#include "function_library.h"
#include "module_state.h"
#include "settings.h"

#define EXPORTED __attribute__((visibility("default")))

EXPORTED int RedisModule_OnLoad(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    (void)argv, (void)argc;
    const char *missing = api_load(ctx);
    if (missing) {
        if (RM_Log)
            RM_Log(ctx, "warning",
                   "keymiss needs Valkey, or Redis 7.0 or later: this server lacks RedisModule_%s",
                   missing);
        return REDISMODULE_ERR;
    }
    /* A second load would get the same library with the same state, which is in use. */
    if (RM_IsModuleNameBusy("keymiss")) return REDISMODULE_ERR;
    RM_SetModuleAttribs(ctx, "keymiss", KEYMISS_VERSION, REDISMODULE_APIVER_1);
    /* One call sets all options, since each call replaces the one before. Only Valkey knows the
     * option for migrations. */
    RM_SetModuleOptions(ctx, REDISMODULE_OPTIONS_HANDLE_REPL_ASYNC_LOAD |
                                 (api_is_valkey ? REDISMODULE_OPTIONS_ATOMIC_SLOT_MIGRATION : 0));
    dispatcher.random_id = RM_GetRandomHexChars;
    dispatcher.allocate = RM_Alloc;
    dispatcher.release = RM_Free;
    dispatcher_init(&dispatcher);
    own_context = RM_GetDetachedThreadSafeContext(ctx);
    filter_prepare(ctx);
    /* The filter and the subscriptions come last: Redis 7.0 keeps them when loading fails. */
    if (create_commands(ctx) || RM_RegisterInfoFunc(ctx, add_info) || register_settings(ctx) ||
        subscribe_to_events(ctx) ||
        !RM_RegisterCommandFilter(ctx, filter_command, REDISMODULE_CMDFILTER_NOSELF))
        return REDISMODULE_ERR;
    library_follow(); /* the timer fires when the server's data has been loaded */
    return REDISMODULE_OK;
}

EXPORTED int RedisModule_OnUnload(RedisModuleCtx *ctx) {
    RM_Log(ctx, "warning", "keymiss cannot be unloaded; start the server without it");
    return REDISMODULE_ERR;
}
