/* get.h: the GET that computes. */
#ifndef KEYMISS_GET_H
#define KEYMISS_GET_H

#include "api.h"

int get_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);

#endif
