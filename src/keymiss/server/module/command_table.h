/* command_table.h: the module's commands, and what COMMAND DOCS says about them. */
#ifndef KEYMISS_COMMAND_TABLE_H
#define KEYMISS_COMMAND_TABLE_H

#include "server_api.h"

int create_commands(RedisModuleCtx *ctx);

#endif
