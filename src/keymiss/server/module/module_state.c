/* module_state.c: see module_state.h. */
#include "module_state.h"

#include <stdio.h>
#include <time.h>

Dispatcher dispatcher;
RedisModuleCtx *own_context;
long long max_key_bytes, max_value_bytes, max_stored_bytes;

long long now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

Text text_of(const RedisModuleString *string) {
    Text text;
    text.bytes = RM_StringPtrLen(string, &text.length);
    return text;
}

int reply_wrong(RedisModuleCtx *ctx, const char *what) {
    char error[MAX_ERROR_BYTES];
    snprintf(error, sizeof error, "KEYMISS syntax %s", what);
    return RM_ReplyWithError(ctx, error);
}
