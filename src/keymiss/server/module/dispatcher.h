/* dispatcher.h: functions and their workers; see model.h for who owns what. */
#ifndef KEYMISS_DISPATCHER_H
#define KEYMISS_DISPATCHER_H

#include "model.h"

void dispatcher_init(Dispatcher *dispatcher);

/* Registers or updates a function. Returns NULL and sets *function, or says what is wrong. */
const char *dispatcher_serve(Dispatcher *dispatcher, const Registration *registration, int db,
                             long long now, Function **function);
/* Whether this registration only updates the function: prefix, kind and database are the same. */
int dispatcher_updates(const Function *function, const Registration *registration, int db);
/* Whether both may not be there at once. Write functions may share keys. */
int dispatcher_overlaps(const Function *function, const Registration *registration);
/* Another function that overlaps, or NULL. */
Function *dispatcher_overlapping(const Dispatcher *dispatcher, const Registration *registration);
/* Takes the function out, with its attachments; its items go to `lost`. The caller deals with them,
 * and then frees the function. */
void dispatcher_forget(Dispatcher *dispatcher, Function *function, List *lost);
void dispatcher_free_function(Dispatcher *dispatcher, Function *function);
/* Moves all items of the function's own queue to `lost`. */
void dispatcher_drain(Dispatcher *dispatcher, Function *function, List *lost);
Function *dispatcher_named(const Dispatcher *dispatcher, const char *name, size_t length);
/* The function whose prefix the key has; one of them when write functions share it. */
Function *dispatcher_match(const Dispatcher *dispatcher, const char *key, size_t length);
/* The next such function from *slot on, which goes beyond it: begin with 0, end at NULL. */
Function *dispatcher_next_match(const Dispatcher *dispatcher, const char *key, size_t length,
                                int *slot);
/* Whether the function computes this key, which has its prefix: whether it is ON MISS, and the key
 * of its form. */
int dispatcher_computes(const Function *function, const char *key, size_t length);
/* Whether any prefix begins as the key does: spares most keys of other people's the search. */
static inline int dispatcher_may_match(const Dispatcher *dispatcher, const char *key,
                                       size_t length) {
    unsigned char first = (unsigned char)*key;
    return length >= MIN_PREFIX_BYTES && dispatcher->first_bytes[first / 64] >> first % 64 & 1;
}

Worker *dispatcher_worker(const Dispatcher *dispatcher, uint64_t client);
Worker *dispatcher_add_worker(Dispatcher *dispatcher, uint64_t client, const char *user);
/* The stored copy of a user's name, so that equal users are equal pointers. */
const char *dispatcher_user(Dispatcher *dispatcher, const char *user, size_t length);
/* The functions that it is attached to, a bit a slot. */
uint64_t dispatcher_served(const Worker *worker);
void dispatcher_attach(Dispatcher *dispatcher, Function *function, Worker *worker);
Attachment *dispatcher_attachment(const Function *function, const Worker *worker);
/* Frees the worker; what it held is queued again, or moved to `lost`. */
void dispatcher_worker_lost(Dispatcher *dispatcher, Worker *worker, long long now, List *lost);
/* Misses may wait for a first worker as if the last one had left at this moment. */
void dispatcher_grant_moment(Dispatcher *dispatcher, long long now);
/* A parked TAKE that a new item of this queue should wake, or NULL. */
Worker *dispatcher_sleeper(const Queue *queue);

/* A database has been emptied: no computed value of its functions is alive. All of them: -1. */
void dispatcher_emptied(Dispatcher *dispatcher, int db);
/* Bytes of computed values that may be alive: of all functions, or of those with CACHE forever. */
long long dispatcher_stored(Dispatcher *dispatcher, long long now, int forever_only);

/* When dispatcher_expire should be called next; -1 when nothing can expire. */
long long dispatcher_due(const Dispatcher *dispatcher);
/* Queues again what was held for longer than its lease, moves what has cost too many workers to
 * `lost` and what no worker has come for to `abandoned`. Returns how many are READY again. */
size_t dispatcher_expire(Dispatcher *dispatcher, long long now, List *lost, List *abandoned);

#endif
