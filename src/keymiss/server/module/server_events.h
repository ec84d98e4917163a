/* server_events.h: hears what happens in the server, and acts on it. */
#ifndef KEYMISS_SERVER_EVENTS_H
#define KEYMISS_SERVER_EVENTS_H

#include "server_api.h"

/* Subscribes to all events. Call it once, when the module is loaded. */
int subscribe_to_events(RedisModuleCtx *ctx);

#endif
