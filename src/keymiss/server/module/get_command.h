/* get_command.h: the GET that computes. */
#ifndef KEYMISS_GET_COMMAND_H
#define KEYMISS_GET_COMMAND_H

#include "server_api.h"

int get_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);

#endif
