/* serve.h: the commands SERVE, FORGET and LIST. */
#ifndef KEYMISS_SERVE_H
#define KEYMISS_SERVE_H

#include "api.h"

int serve_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int forget_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int list_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);

#endif
