/* server.h: the module's state, and what every file above needs of the server. */
#ifndef KEYMISS_SERVER_H
#define KEYMISS_SERVER_H

#include "api.h"
#include "dispatcher.h"

/* 0.1.0, as MODULE LIST shows it: two digits for each part. A test compares it with the package. */
#define KEYMISS_VERSION 100

enum { MAX_ERROR_BYTES = 320 };

extern Dispatcher dispatcher;

/* Set by CONFIG SET keymiss.max-...; Dispatcher.max_bytes is the fourth. */
extern long long max_key_bytes, max_value_bytes, max_stored_bytes;

/* A context of no client, which may select any database. */
extern RedisModuleCtx *own_context;

long long now_ms(void);
Text text_of(const RedisModuleString *string);
/* Replies "KEYMISS syntax ..." with what is wrong. */
int reply_wrong(RedisModuleCtx *ctx, const char *what);

#endif
