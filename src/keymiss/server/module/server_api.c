/* server_api.c: finds the server's functions by name; see server_api.h. */
#include "server_api.h"

#include <stdio.h>

#define DEFINE(type, name, parameters) type(*RM_##name) parameters;
REQUIRED_API(DEFINE)
OPTIONAL_API(DEFINE)
#undef DEFINE

int api_is_valkey, api_is_valkey_9_1;

typedef int (*GetApiFn)(const char *name, void *function);

static int look_up(GetApiFn get_api, const char *name, void *function) {
    /* Valkey knows both spellings, Redis only the first. */
    const char *projects[] = {"RedisModule", "ValkeyModule"};
    for (size_t i = 0; i < sizeof projects / sizeof *projects; i++) {
        char full[64];
        snprintf(full, sizeof full, "%s_%s", projects[i], name);
        if (get_api(full, function) == REDISMODULE_OK) return 1;
    }
    return 0;
}

const char *api_load(RedisModuleCtx *ctx) {
    /* The first field of every context is GetApi, which is the documented way to begin. */
    GetApiFn get_api = *(GetApiFn *)(void *)ctx;
#define LOAD_REQUIRED(type, name, parameters)                                                      \
    if (!look_up(get_api, #name, (void *)&RM_##name)) return #name;
#define LOAD_OPTIONAL(type, name, parameters)                                                      \
    if (!look_up(get_api, #name, (void *)&RM_##name)) RM_##name = NULL;
    void *function;
    api_is_valkey = get_api("ValkeyModule_Alloc", (void *)&function) == REDISMODULE_OK;
    REQUIRED_API(LOAD_REQUIRED)
    OPTIONAL_API(LOAD_OPTIONAL)
    api_is_valkey_9_1 = api_is_valkey && RM_ACLCheckPermissions;
    return NULL;
}
