/* registrations.h: which functions there are, and what takes the place of what.
 *
 * A registration outlives its workers; registry.c keeps it over restarts and tells replicas.
 *
 * A registration of another shape (prefix, kind, database) takes the place of one that nobody
 * serves; while a worker does, it is refused. What a file or a primary says displaces whatever
 * contradicts it here. */
#ifndef KEYMISS_REGISTRATIONS_H
#define KEYMISS_REGISTRATIONS_H

#include "server.h"

/* The function of a key in a database, or NULL. */
Function *function_of(RedisModuleCtx *ctx, RedisModuleString *key);
/* Takes out what contradicts a registration. For a client that is only what nobody serves. */
void make_way(const Registration *registration, int db, int from_client);
/* Registers what a file or a primary says; NULL when it cannot be. */
Function *adopt_function(const Registration *registration, int db);
/* Takes it out; clients that wait get an error. */
void forget_function(Function *function);
/* Registers what the setting keymiss.functions names; returns NULL or what is wrong. */
const char *serve_setting(Text setting);

#endif
