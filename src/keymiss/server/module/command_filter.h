/* command_filter.h: finds the GETs that compute. */
#ifndef KEYMISS_COMMAND_FILTER_H
#define KEYMISS_COMMAND_FILTER_H

#include "server_api.h"

void filter_command(RedisModuleCommandFilterCtx *filter);
/* Call it once, when the module is loaded. */
void filter_prepare(RedisModuleCtx *ctx);

#endif
