/* work.h: the commands of workers about items. */
#ifndef KEYMISS_WORK_H
#define KEYMISS_WORK_H

#include "api.h"

int take_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int answer_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int fail_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int drop_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);

#endif
