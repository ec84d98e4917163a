/* info_section.h: what INFO keymiss shows. */
#ifndef KEYMISS_INFO_SECTION_H
#define KEYMISS_INFO_SECTION_H

#include "server_api.h"

void add_info(RedisModuleInfoCtx *info, int for_crash_report);

#endif
