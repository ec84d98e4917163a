/* commands.h: the module's commands, and what COMMAND DOCS says about them. */
#ifndef KEYMISS_COMMANDS_H
#define KEYMISS_COMMANDS_H

#include "api.h"

int create_commands(RedisModuleCtx *ctx);

#endif
