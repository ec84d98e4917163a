/* waiters.h: clients that are parked on keys until an item is settled, whatever their
 * command.
 *
 * Parking and freeing
 *   - A waiting client is parked with BlockClientOnKeys, never with BlockClient. Only then does the
 *     server itself end the wait, with a redirect, when the key's slot moves or the node is
 *     demoted.
 *   - The Parked structure belongs to the server's blocked client, which frees it exactly once,
 *     through forget_parked, whatever ended the wait. The dispatcher only links the Waiter in it.
 *   - UnblockClient runs on_unblock: at once on Valkey, at the end of the event loop's turn on
 *     Redis 8. So a Parked holds its outcome, with a reference to the text. When on_unblock finds
 *     no outcome, the server's own timeout has ended the wait.
 *   - The memory of a wait is free when forget_parked runs. A client that CLIENT UNBLOCK has
 *     released may run, before that, commands that it sent after its GET. It may not wait again
 *     until forget_parked runs: two clients that release each other would otherwise begin thousands
 *     of waits in one turn.
 *
 * Replies and storing
 *   - A computed value is stored with NX, after the replies have left. Stored any sooner, it would
 *     send a tracking client its invalidation before its value, and leave it with a stale copy.
 *   - The server hands the replies over at the end of the loop's turn, and frees the Parked
 *     structures there. So a timer that forget_parked sets runs after the replies. A timer that is
 *     set inside ANSWER runs before them, so ANSWER sets one only when no replies are due.
 *   - A timer stores only values that were answered before it was set; values that are answered
 *     while it is pending wait for the next timer. Until then the item stays ANSWERED, and serves
 *     the value to all clients that ask.
 *   - A value that no client waits for is stored by a timer, too: ANSWER may run in a MULTI about
 *     another slot, and the server would put the key into that slot.
 *   - One turn hands over TURN_BYTES of copies of values, and later turns the rest: large values
 *     for many clients do not hold up other clients.
 *
 * The race that remains: a client that waits while its key is dropped gets the answer from before
 * the drop. It asked before the drop, too. */
#ifndef KEYMISS_WAITERS_H
#define KEYMISS_WAITERS_H

#include "module_state.h"

typedef enum { UNKNOWN, VALUE, NIL, FAILURE } OutcomeKind;

/* Parks the client on these keys until the item is settled. Returns 0 when the client has been
 * refused instead. When one of the keys has been written, `on_ready` is called: it may call
 * settle_waiter. */
int park_waiter(RedisModuleCtx *ctx, Item *item, RedisModuleString **keys, int count,
                CommandFn on_ready);
/* Inside on_ready: gives this value, or this error, to the client that waits. */
void settle_waiter(RedisModuleCtx *ctx, OutcomeKind kind, const char *text, size_t length);
/* Replies an error: the reason, which begins with its code word, and the function's name. */
int refuse(RedisModuleCtx *ctx, const Function *function, const char *reason);
/* Replies the error, "KEYMISS ...", to the waiters of an item and frees the item. */
void fail_item(Item *item, const char *error);
/* The same for all these items. The error consists of the reason and the function's name. */
void fail_items(List *items, const char *reason);
/* The same for items that have cost too many workers. */
void fail_lost(List *items);
/* Replies the value, NULL for nil, to the waiters of a miss, and has it stored if it may be. */
void settle_miss(Item *item, RedisModuleString *value);

#endif
