/* module_state.h: the module's state, and helpers that many files of the module use. */
#ifndef KEYMISS_MODULE_STATE_H
#define KEYMISS_MODULE_STATE_H

#include "server_api.h"
#include "dispatcher.h"

/* The version 0.1.0 as MODULE LIST shows it: two digits for each part. A test compares it with the
 * package's version. */
#define KEYMISS_VERSION 100

enum { MAX_ERROR_BYTES = 320 };

extern Dispatcher dispatcher;

/* CONFIG SET keymiss.max-... sets these; the fourth of these settings is Dispatcher.max_bytes. */
extern long long max_key_bytes, max_value_bytes, max_stored_bytes;

/* A context that belongs to no client, and may select any database. */
extern RedisModuleCtx *own_context;

long long now_ms(void);
Text text_of(const RedisModuleString *string);
/* Replies "KEYMISS syntax ..." with what is wrong. */
int reply_wrong(RedisModuleCtx *ctx, const char *what);

#endif
