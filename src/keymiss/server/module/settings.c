/* settings.c: see settings.h. */
#include "settings.h"

#include <string.h>

#include "registrations.h"
#include "function_library.h"
#include "module_state.h"

static RedisModuleString *functions_setting;

static long long get_number(const char *name, void *data) {
    (void)name;
    return *(const long long *)data;
}

static int set_number(const char *name, long long value, void *data, RedisModuleString **error) {
    (void)name, (void)error;
    *(long long *)data = value;
    return REDISMODULE_OK;
}

static RedisModuleString *get_functions(const char *name, void *data) {
    (void)name, (void)data;
    return functions_setting;
}

static int set_functions(const char *name, RedisModuleString *value, void *data,
                         RedisModuleString **error) {
    (void)name, (void)data;
    const char *wrong = serve_setting(text_of(value));
    if (wrong) {
        *error = RM_CreateString(NULL, wrong, strlen(wrong));
        return REDISMODULE_ERR;
    }
    if (functions_setting) RM_FreeString(NULL, functions_setting);
    RM_RetainString(NULL, value);
    functions_setting = value;
    library_follow();
    return REDISMODULE_OK;
}

int register_settings(RedisModuleCtx *ctx) {
    const struct {
        const char *name;
        long long initial, low, *value;
    } sizes[] = {
        {"max-key-bytes", 64 << 10, MIN_PREFIX_BYTES, &max_key_bytes},
        {"max-value-bytes", 16 << 20, 0, &max_value_bytes},
        {"max-pending-bytes", 256 << 20, 0, &dispatcher.max_bytes},
        {"max-stored-bytes", INT64_C(1) << 30, 0, &max_stored_bytes},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (RM_RegisterNumericConfig(
                ctx, sizes[i].name, sizes[i].initial, REDISMODULE_CONFIG_MEMORY, sizes[i].low,
                INT64_C(1) << 40, get_number, set_number, NULL, sizes[i].value) != REDISMODULE_OK)
            return REDISMODULE_ERR;
    if (RM_RegisterStringConfig(ctx, "functions", "", REDISMODULE_CONFIG_DEFAULT, get_functions,
                                set_functions, NULL, NULL) != REDISMODULE_OK)
        return REDISMODULE_ERR;
    return RM_LoadConfigs(ctx);
}
