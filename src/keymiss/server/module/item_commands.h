/* item_commands.h: the commands of workers about items. */
#ifndef KEYMISS_ITEM_COMMANDS_H
#define KEYMISS_ITEM_COMMANDS_H

#include "server_api.h"

int take_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int answer_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int fail_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int drop_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);

#endif
