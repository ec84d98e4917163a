/* items.h: items, and the clients that wait for them; see dispatcher_types.h for the life of an
 * item. */
#ifndef KEYMISS_ITEMS_H
#define KEYMISS_ITEMS_H

#include "dispatcher_types.h"

Item *dispatcher_find(const Dispatcher *dispatcher, Queue *queue, const char *key, size_t length);
/* The item that the attempt with this id may still answer, or NULL. */
Item *dispatcher_find_id(const Dispatcher *dispatcher, const char *id, size_t length);
/* Whether this client may wait for a key of this length: the memory has room, and the client's
 * earlier wait has been freed. */
int dispatcher_may_wait(const Dispatcher *dispatcher, const Function *function, uint64_t client,
                        size_t key_length);
/* Adds a READY item at the end of the queue. Returns NULL when the queue or the memory is full. */
Item *dispatcher_enqueue(Dispatcher *dispatcher, Queue *queue, const char *key, size_t length);
void dispatcher_discard(Dispatcher *dispatcher, Item *item);
/* Notes that the source of a miss has changed: a value computed before is answered, not stored. */
void dispatcher_drop(Dispatcher *dispatcher, Item *item);
/* Hides an item from clients that ask later: only the clients that wait already get its answer. */
void dispatcher_hide(Dispatcher *dispatcher, Item *item);
/* Notes that a key was written. Returns the item when a worker should be woken for it. */
Item *dispatcher_written(Dispatcher *dispatcher, Queue *queue, const char *key, size_t length);
/* Moves up to Worker.count items of the wanted functions into `out`: misses before write events,
 * and the functions in turn. An item that has cost a worker is handed out alone. Items of EACH
 * queues stay READY: the caller discards them. */
size_t dispatcher_take(Worker *worker, long long now, Item **out);
/* Discards a write event that a worker has dealt with. When its key was written meanwhile, queues
 * it again and returns it. */
Item *dispatcher_acknowledge(Dispatcher *dispatcher, Item *item);
/* Keeps a value with its item until all waiters have it and it is stored, so that no worker
 * computes it again meanwhile. */
void dispatcher_hold(Dispatcher *dispatcher, Item *item, void *value, size_t bytes);

void dispatcher_wait(Dispatcher *dispatcher, Item *item, Waiter *waiter, uint64_t client);
/* Moves the waiters of dropped items of the same key to this item. */
void dispatcher_adopt(Dispatcher *dispatcher, Item *item);
/* Whether a client waits for this key. */
int dispatcher_is_awaited(const Dispatcher *dispatcher, Queue *queue, const char *key,
                          size_t length);
/* Ends a client's wait; the waiter itself stays until dispatcher_free_waiter. Discards the item
 * when no other client waits for it and no worker has it. */
void dispatcher_leave(Dispatcher *dispatcher, Waiter *waiter);
/* The same. The caller may free the waiter's memory after it. */
void dispatcher_free_waiter(Dispatcher *dispatcher, Waiter *waiter);
/* Takes the first waiter off the item; NULL when there is none. */
Waiter *dispatcher_next_waiter(Dispatcher *dispatcher, Item *item);

#endif
