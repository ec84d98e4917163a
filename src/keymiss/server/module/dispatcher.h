/* dispatcher.h: functions and their workers; see dispatcher_types.h for who owns what. */
#ifndef KEYMISS_DISPATCHER_H
#define KEYMISS_DISPATCHER_H

#include "dispatcher_types.h"

void dispatcher_init(Dispatcher *dispatcher);

/* Registers or updates a function. Returns NULL and sets *function, or returns what is wrong. */
const char *dispatcher_serve(Dispatcher *dispatcher, const Registration *registration, int db,
                             long long now, Function **function);
/* Whether this registration only updates the function: prefix, kind and database are the same. */
int dispatcher_updates(const Function *function, const Registration *registration, int db);
/* Whether the two exclude each other. Functions on written keys may share keys. */
int dispatcher_overlaps(const Function *function, const Registration *registration);
/* A function that the registration overlaps, or NULL. */
Function *dispatcher_overlapping(const Dispatcher *dispatcher, const Registration *registration);
/* Unregisters the function, frees its attachments and moves its items to `lost`. The caller deals
 * with these items, and then frees the function. */
void dispatcher_forget(Dispatcher *dispatcher, Function *function, List *lost);
void dispatcher_free_function(Dispatcher *dispatcher, Function *function);
/* Moves all items of the function's own queue to `lost`. */
void dispatcher_drain(Dispatcher *dispatcher, Function *function, List *lost);
Function *dispatcher_named(const Dispatcher *dispatcher, const char *name, size_t length);
/* The function whose prefix the key has, or NULL. When functions on written keys share the prefix,
 * one of them. */
Function *dispatcher_match(const Dispatcher *dispatcher, const char *key, size_t length);
/* The next such function from *slot on, or NULL; moves *slot past it. Begin with 0. */
Function *dispatcher_next_match(const Dispatcher *dispatcher, const char *key, size_t length,
                                int *slot);
/* Whether the function computes this key, which has its prefix: the function must be ON MISS, and
 * the key must have its form. */
int dispatcher_computes(const Function *function, const char *key, size_t length);
/* Whether any prefix begins with the key's first byte. This spares most other keys the search. */
static inline int dispatcher_may_match(const Dispatcher *dispatcher, const char *key,
                                       size_t length) {
    unsigned char first = (unsigned char)*key;
    return length >= MIN_PREFIX_BYTES && dispatcher->first_bytes[first / 64] >> first % 64 & 1;
}

Worker *dispatcher_worker(const Dispatcher *dispatcher, uint64_t client);
Worker *dispatcher_add_worker(Dispatcher *dispatcher, uint64_t client, const char *user);
/* The stored copy of a user's name, so that equal users are equal pointers. */
const char *dispatcher_user(Dispatcher *dispatcher, const char *user, size_t length);
/* The functions that the worker is attached to, one bit for each slot. */
uint64_t dispatcher_served(const Worker *worker);
void dispatcher_attach(Dispatcher *dispatcher, Function *function, Worker *worker);
Attachment *dispatcher_attachment(const Function *function, const Worker *worker);
/* Frees the worker; the items that it held are queued again, or moved to `lost`. */
void dispatcher_worker_lost(Dispatcher *dispatcher, Worker *worker, long long now, List *lost);
/* Lets misses wait for a worker as if the last worker had left at this moment. */
void dispatcher_grant_moment(Dispatcher *dispatcher, long long now);
/* A worker whose parked TAKE should be woken for an item of this queue, or NULL. */
Worker *dispatcher_sleeper(const Queue *queue);

/* Notes that a database, or every database (-1), has been emptied: no computed value of its
 * functions is alive. */
void dispatcher_emptied(Dispatcher *dispatcher, int db);
/* How many bytes of computed values may be alive, of all functions or of those with CACHE
 * forever. */
long long dispatcher_stored(Dispatcher *dispatcher, long long now, int forever_only);

/* When dispatcher_expire should be called next; -1 when nothing can expire. */
long long dispatcher_due(const Dispatcher *dispatcher);
/* Queues again the items whose lease has ended. Moves items that have cost too many workers to
 * `lost`, and items that no worker has come for to `abandoned`. Returns how many are READY again.
 */
size_t dispatcher_expire(Dispatcher *dispatcher, long long now, List *lost, List *abandoned);

#endif
