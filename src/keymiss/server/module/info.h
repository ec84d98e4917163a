/* info.h: what INFO keymiss shows. */
#ifndef KEYMISS_INFO_H
#define KEYMISS_INFO_H

#include "api.h"

void add_info(RedisModuleInfoCtx *info, int for_crash_report);

#endif
