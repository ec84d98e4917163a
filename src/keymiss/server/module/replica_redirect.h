/* replica_redirect.h: where a replica sends a miss. */
#ifndef KEYMISS_REPLICA_REDIRECT_H
#define KEYMISS_REPLICA_REDIRECT_H

#include "module_state.h"

/* Writes "ASK slot host:port" of the primary, MAX_ERROR_BYTES at most. Returns 0 when no primary is
 * found. */
int ask_primary(RedisModuleCtx *ctx, RedisModuleString *key, char *error);

#endif
