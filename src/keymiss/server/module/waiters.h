/* waiters.h: clients that are parked on keys until an item is settled, whatever their command.
 *
 * Who may write what, and when
 *   - A waiting client is parked with BlockClientOnKeys, never with BlockClient: only so does the
 *     server itself end the wait, with a redirect, when the key's slot moves or the node is
 *     demoted.
 *   - Its Parked structure belongs to the server's blocked client, which frees it exactly once,
 *     through forget_parked, whatever ended the wait. The dispatcher only links the Waiter in it.
 *   - UnblockClient runs on_unblock, on Valkey at once, on Redis 8 at the end of the loop's turn.
 *     A Parked therefore holds its outcome, with a reference of its own. An on_unblock that finds
 *     none is the server's own timeout.
 *   - A computed value is stored after the replies have left, with NX. Stored any sooner, it would
 *     send a tracking client its invalidation before its value, and leave it with a stale copy. The
 *     server hands the replies over at the end of the loop's turn, and frees the Parked structures
 *     there: a timer set by forget_parked runs behind them, one set inside ANSWER runs ahead of
 *     them, and is set there only when none are due. It stores only what was answered before it was
 *     set: what is answered while it is pending waits for the next one. Until then the item stays,
 *     ANSWERED, and serves the value to all who ask. A value that nobody waits for is stored by a
 *     timer, too: ANSWER may run in a MULTI about another slot, into which the server would put
 *     the key.
 *   - What a wait has taken is free when forget_parked runs. A client that CLIENT UNBLOCK has let
 *     go may execute what it had sent behind before: it may not wait anew until then, or two
 *     clients that let each other go would begin thousands of waits in one turn.
 *   - One turn hands over TURN_BYTES of copies of values, the next ones the rest: large values for
 *     many clients do not hold up the others.
 *
 * The race that remains: a client that waits while its key is dropped gets the answer from before
 * the drop. It asked before, too. */
#ifndef KEYMISS_WAITERS_H
#define KEYMISS_WAITERS_H

#include "server.h"

typedef enum { UNKNOWN, VALUE, NIL, FAILURE } OutcomeKind;

/* Parks the client on these keys until the item is settled; 0 when it has been refused instead.
 * `on_ready` is called when one of the keys has been written: it may call settle_waiter. */
int park_waiter(RedisModuleCtx *ctx, Item *item, RedisModuleString **keys, int count,
                CommandFn on_ready);
/* Inside on_ready: gives the client that waits this value, or this error. */
void settle_waiter(RedisModuleCtx *ctx, OutcomeKind kind, const char *text, size_t length);
/* Replies an error: the reason, which begins with its word, and the function's name. */
int refuse(RedisModuleCtx *ctx, const Function *function, const char *reason);
/* Replies the error, "KEYMISS ...", to the waiters of an item and frees the item. */
void fail_item(Item *item, const char *error);
/* The same for all these items, with the reason and the function's name for an error. */
void fail_items(List *items, const char *reason);
/* The same for items that have cost too many workers. */
void fail_lost(List *items);
/* Replies the value, NULL for nil, to the waiters of a miss, and sees to its being stored. */
void settle_miss(Item *item, RedisModuleString *value);

#endif
