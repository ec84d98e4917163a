/* events.h: hears what happens in the server. */
#ifndef KEYMISS_EVENTS_H
#define KEYMISS_EVENTS_H

#include "api.h"

/* Subscribes to all that is heard; once, when the module is loaded. */
int subscribe_to_events(RedisModuleCtx *ctx);

#endif
