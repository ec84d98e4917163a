/* registrations.h: which functions are registered, and which registration replaces which.
 *
 * A registration outlives its workers; function_library.c keeps it over restarts and brings it to
 * replicas.
 *
 * A registration with another prefix, kind or database replaces the one of its name when no worker
 * serves that; while a worker does, it is refused. A registration from a file or a primary replaces
 * all that contradict it. */
#ifndef KEYMISS_REGISTRATIONS_H
#define KEYMISS_REGISTRATIONS_H

#include "module_state.h"

/* The function of a key in the selected database, or NULL. */
Function *function_of(RedisModuleCtx *ctx, RedisModuleString *key);
/* Forgets the functions that contradict a registration; for a client, only one that no worker
 * serves. */
void make_way(const Registration *registration, int db, int from_client);
/* Registers a function as a file or a primary says. Returns NULL when that is impossible. */
Function *adopt_function(const Registration *registration, int db);
/* Unregisters a function; clients that wait for it get an error. */
void forget_function(Function *function);
/* Registers the functions of the setting keymiss.functions. Returns NULL, or what is wrong. */
const char *serve_setting(Text setting);

#endif
