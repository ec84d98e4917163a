/* registry.h: where registrations are kept. */
#ifndef KEYMISS_REGISTRY_H
#define KEYMISS_REGISTRY_H

#include "api.h"

/* Makes what is kept agree with the functions that there are, as soon as that may be. */
void registry_save(RedisModuleCtx *ctx);
/* Makes the functions agree with what is kept. */
void registry_read(void);
/* The one on a primary, the other on a replica, a moment from now. */
void registry_follow(void);
/* A command is about to run, now or in a MULTI, that may change what is kept; and an EXEC is. */
void registry_watch(void);
void registry_watch_exec(void);
/* An atomic slot migration from this server begins or ends. */
void slots_leave(int begin);
int slots_are_leaving(void);

#endif
