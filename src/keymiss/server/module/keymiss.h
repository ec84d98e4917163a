/* keymiss.h: what the adapter's files share. engine.h holds the state, these reach the server. */
#ifndef KEYMISS_H
#define KEYMISS_H

#include "api.h"
#include "engine.h"

enum { ALONE_MS = 1000 }; /* how long a miss may wait for a first worker */

extern Engine engine;

/* What happened to an item; its clients are told. */
typedef struct Outcome {
    RedisModuleString *value; /* NULL: nil, when error is NULL too */
    const char *error;        /* a whole RESP error, "KEYMISS ..." */
} Outcome;

long long now_ms(void);

/* get.c: the computing GET. */
void get_filter(RedisModuleCommandFilterCtx *filter);
int get_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
void get_start(RedisModuleCtx *ctx); /* makes the context in which the filter looks keys up */
void get_stop(void);
/* Replies to everybody who waits for the item. */
void tell_waiters(Item *item, const Outcome *outcome);
/* Replies the same error to the waiters of all these items and frees the items. */
void fail_items(List *items, const char *error);
/* Replies the value, NULL for nil, to the waiters of a miss, and sees to its being stored. */
void settle_miss(Item *item, RedisModuleString *value);

/* work.c: what workers and administrators say. */
int serve_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int take_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int answer_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int fail_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int drop_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int forget_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int list_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
/* Ends the parked TAKE of a worker that should look at this queue, if there is one. */
void wake_worker(const Queue *queue);

#endif
