/* settings.h: the settings that CONFIG SET knows as keymiss.NAME. */
#ifndef KEYMISS_SETTINGS_H
#define KEYMISS_SETTINGS_H

#include "server_api.h"

int register_settings(RedisModuleCtx *ctx);

#endif
