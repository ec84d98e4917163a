/* workers.c: see workers.h. */
#include "workers.h"

#include "dispatcher.h"

Worker *this_worker(RedisModuleCtx *ctx) {
    return dispatcher_worker(&dispatcher, RM_GetClientId(ctx));
}

const char *this_user(RedisModuleCtx *ctx) {
    RedisModuleString *user = RM_GetClientUserNameById(ctx, RM_GetClientId(ctx));
    if (!user) return dispatcher_user(&dispatcher, "", 0); /* a client without a user */
    Text name = text_of(user);
    const char *known = dispatcher_user(&dispatcher, name.bytes, name.length);
    RM_FreeString(ctx, user);
    return known;
}

void attach_worker(RedisModuleCtx *ctx, Function *function) {
    Worker *worker = this_worker(ctx);
    if (!worker) worker = dispatcher_add_worker(&dispatcher, RM_GetClientId(ctx), this_user(ctx));
    dispatcher_attach(&dispatcher, function, worker);
}

void unpark_worker(Worker *worker) {
    RedisModuleBlockedClient *client = worker->parked;
    worker->parked = NULL;
    RM_UnblockClient(client, NULL);
}

void end_parking(RedisModuleCtx *ctx) {
    Worker *worker = this_worker(ctx);
    /* The server has ended the wait already; unblocking the handle only frees it. */
    if (worker && worker->parked) unpark_worker(worker);
}

static void on_disconnect(RedisModuleCtx *ctx, RedisModuleBlockedClient *client) {
    Worker *worker = this_worker(ctx);
    if (worker && worker->parked == client) unpark_worker(worker);
}

int park_worker(RedisModuleCtx *ctx, Worker *worker, CommandFn reply, CommandFn timeout,
                long long milliseconds) {
    worker->parked = RM_BlockClient(ctx, reply, timeout, NULL, milliseconds);
    if (!worker->parked) return 0;
    RM_SetDisconnectCallback(worker->parked, on_disconnect);
    return 1;
}

void wake_worker(const Queue *queue) {
    Worker *worker = dispatcher_sleeper(queue);
    if (worker) unpark_worker(worker);
}

void wake_workers(uint64_t slots) {
    for (int slot = 0; slot < MAX_FUNCTIONS; slot++) {
        Function *function = slots >> slot & 1 ? dispatcher.functions[slot] : NULL;
        if (function && !list_empty(&function->queue.ready)) wake_worker(&function->queue);
    }
}
