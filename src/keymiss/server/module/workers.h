/* workers.h: which connections are workers, and those of them that wait for items.
 *
 * A worker is a connection that has sent SERVE. It is parked with BlockClient, since there is no
 * key to park on. The parked handle is unblocked exactly once: by unpark_worker, by its own
 * timeout, or when the client goes away; each of them clears Worker.parked first. */
#ifndef KEYMISS_WORKERS_H
#define KEYMISS_WORKERS_H

#include "server.h"

Worker *this_worker(RedisModuleCtx *ctx);
/* The stored name of this connection's user. */
const char *this_user(RedisModuleCtx *ctx);
/* Counts this connection among the function's workers. */
void attach_worker(RedisModuleCtx *ctx, Function *function);
/* Parks this connection until `reply` is called, or `timeout` after so many milliseconds, which
 * begins with end_parking; 0 when it cannot be parked. */
int park_worker(RedisModuleCtx *ctx, Worker *worker, CommandFn reply, CommandFn timeout,
                long long milliseconds);
/* The server has ended the wait of this connection. */
void end_parking(RedisModuleCtx *ctx);
/* Ends the worker's wait, so that it finds what there is. */
void unpark_worker(Worker *worker);
/* Ends the wait of a worker that should look at this queue, if there is one. */
void wake_worker(const Queue *queue);
/* The same for these functions' queues that hold something. */
void wake_workers(uint64_t slots);

#endif
