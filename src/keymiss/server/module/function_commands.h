/* function_commands.h: the commands SERVE, FORGET and LIST. */
#ifndef KEYMISS_FUNCTION_COMMANDS_H
#define KEYMISS_FUNCTION_COMMANDS_H

#include "server_api.h"

int serve_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int forget_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int list_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);

#endif
