/* events.h: hears what happens in the server, and acts on it. */
#ifndef KEYMISS_EVENTS_H
#define KEYMISS_EVENTS_H

#include "api.h"

/* Subscribes to all events. Call it once, when the module is loaded. */
int subscribe_to_events(RedisModuleCtx *ctx);

#endif
