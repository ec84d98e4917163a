/* items.h: what is to be computed, and who waits for it; see model.h for the life of an item. */
#ifndef KEYMISS_ITEMS_H
#define KEYMISS_ITEMS_H

#include "model.h"

Item *dispatcher_find(const Dispatcher *dispatcher, Queue *queue, const char *key, size_t length);
/* The item that this attempt may still answer. */
Item *dispatcher_find_id(const Dispatcher *dispatcher, const char *id, size_t length);
/* Whether this client may wait for a key of this length: memory has room, and what an earlier wait
 * of its has taken is free. */
int dispatcher_may_wait(const Dispatcher *dispatcher, const Function *function, uint64_t client,
                        size_t key_length);
/* A READY item at the end of the queue; NULL when the queue or the memory is full. */
Item *dispatcher_enqueue(Dispatcher *dispatcher, Queue *queue, const char *key, size_t length);
void dispatcher_discard(Dispatcher *dispatcher, Item *item);
/* The source of a miss has changed: what was computed before is answered, but not stored. */
void dispatcher_drop(Dispatcher *dispatcher, Item *item);
/* The same for an item whose answer is not for those who ask later. */
void dispatcher_hide(Dispatcher *dispatcher, Item *item);
/* Notes that a key was written. Returns the item when a worker should be woken for it. */
Item *dispatcher_written(Dispatcher *dispatcher, Queue *queue, const char *key, size_t length);
/* Moves up to Worker.count items of the wanted functions into out, misses first, and of these the
 * functions in turn. An item that has cost a worker travels alone. Items of EACH queues are READY
 * still: the caller discards them. */
size_t dispatcher_take(Worker *worker, long long now, Item **out);
/* A worker has dealt with a write event: discards it, or queues it again. Returns it if queued. */
Item *dispatcher_acknowledge(Dispatcher *dispatcher, Item *item);
/* Keeps a value with an item until all who wait have it and it is stored: nobody computes it again
 * meanwhile. */
void dispatcher_hold(Dispatcher *dispatcher, Item *item, void *value, size_t bytes);

void dispatcher_wait(Dispatcher *dispatcher, Item *item, Waiter *waiter, uint64_t client);
/* Those who wait for dropped items of the same key wait for this one. */
void dispatcher_adopt(Dispatcher *dispatcher, Item *item);
/* Whether a client waits for this key. */
int dispatcher_is_awaited(const Dispatcher *dispatcher, Queue *queue, const char *key,
                          size_t length);
/* The client waits no longer, and its memory is there until dispatcher_free_waiter. Discards the
 * item when nobody else waits and no worker has it. */
void dispatcher_leave(Dispatcher *dispatcher, Waiter *waiter);
/* The same, before the caller frees the waiter's memory. */
void dispatcher_free_waiter(Dispatcher *dispatcher, Waiter *waiter);
/* Takes the first waiter off the item, NULL when there is none. */
Waiter *dispatcher_next_waiter(Dispatcher *dispatcher, Item *item);

#endif
