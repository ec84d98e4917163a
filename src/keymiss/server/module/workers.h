/* workers.h: the connections that are workers, and how they wait for items.
 *
 * A worker is a connection that has sent SERVE. It is parked with BlockClient, since there is no
 * key to park on. The parked handle is unblocked exactly once: when there are items, when the wait
 * times out, or when the client leaves. Each time unpark_worker clears Worker.parked first. */
#ifndef KEYMISS_WORKERS_H
#define KEYMISS_WORKERS_H

#include "module_state.h"

Worker *this_worker(RedisModuleCtx *ctx);
/* The dispatcher's copy of the name of this connection's user. */
const char *this_user(RedisModuleCtx *ctx);
/* Counts this connection among the function's workers. */
void attach_worker(RedisModuleCtx *ctx, Function *function);
/* Parks this connection until the server calls `reply`, or calls `timeout` after this many
 * milliseconds. `timeout` must begin with end_parking. Returns 0 when the connection cannot be
 * parked. */
int park_worker(RedisModuleCtx *ctx, Worker *worker, CommandFn reply, CommandFn timeout,
                long long milliseconds);
/* Notes that the server has ended the wait of this connection. */
void end_parking(RedisModuleCtx *ctx);
/* Ends the worker's wait, so that it takes the items that there are. */
void unpark_worker(Worker *worker);
/* Ends the wait of a worker that can take items of this queue, if one waits. */
void wake_worker(const Queue *queue);
/* The same for the queues of these functions, one bit for each slot, that have READY items. */
void wake_workers(uint64_t slots);

#endif
