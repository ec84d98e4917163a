/* filter.h: which GETs compute. */
#ifndef KEYMISS_FILTER_H
#define KEYMISS_FILTER_H

#include "api.h"

void filter_command(RedisModuleCommandFilterCtx *filter);
/* Once, when the module is loaded. */
void filter_prepare(RedisModuleCtx *ctx);

#endif
