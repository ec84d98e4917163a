/* function_library.h: keeps the registrations over restarts, and brings them to replicas. */
#ifndef KEYMISS_FUNCTION_LIBRARY_H
#define KEYMISS_FUNCTION_LIBRARY_H

#include "server_api.h"

/* Makes the library agree with the registered functions, as soon as that is possible. */
void library_save(RedisModuleCtx *ctx);
/* Makes the registered functions agree with the library. */
void library_read(void);
/* A moment from now, saves on a primary and reads on a replica. */
void library_follow(void);
/* Notes that a command is about to run, at once or in a MULTI, that may change the library. */
void library_watch(void);
/* Notes that an EXEC is about to run. */
void library_watch_exec(void);
/* Notes that an atomic slot migration from this server begins or ends. */
void slots_leave(int begin);
int slots_are_leaving(void);

#endif
