/* keymiss.h: what the adapter's files share. engine.h holds the state, these reach the server. */
#ifndef KEYMISS_H
#define KEYMISS_H

#include "api.h"
#include "engine.h"

/* 0.1.0, as MODULE LIST shows it: two digits for each part. A test compares it with the package. */
#define KEYMISS_VERSION 100

extern Engine engine;

/* Set by CONFIG SET keymiss.max-...; Engine.max_bytes is the fourth. */
extern long long max_key_bytes, max_value_bytes, max_stored_bytes;

/* A context of no client, which may select any database. */
extern RedisModuleCtx *own_context;

long long now_ms(void);
Text text_of(const RedisModuleString *string);
/* Sets the timer for the next lease or wait that ends. Call it after whatever may end sooner. */
void watch_the_clock(void);

/* filter.c: which GETs compute. */
void filter_command(RedisModuleCommandFilterCtx *filter);
/* Once, when the module is loaded. */
void filter_prepare(RedisModuleCtx *ctx);

/* get.c: the computing GET. */
int get_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
/* Replies the error, "KEYMISS ...", to the waiters of an item and frees the item. */
void fail_item(Item *item, const char *error);
/* The same for all these items, with the reason and the function's name for an error. */
void fail_items(List *items, const char *reason);
/* Replies the value, NULL for nil, to the waiters of a miss, and sees to its being stored. */
void settle_miss(Item *item, RedisModuleString *value);

/* store.c: which computed values are stored. */
void store_value(const Item *item, RedisModuleString *value);

/* replica.c: where a replica sends a miss. */
enum { MAX_ERROR_BYTES = 320 };
/* Writes "ASK slot host:port" of the primary; 0 when there is none. */
int ask_primary(RedisModuleCtx *ctx, RedisModuleString *key, char *error);

/* functions.c: which functions there are. */
int serve_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int forget_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int list_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
/* The function of a key in a database, or NULL. */
Function *function_of(RedisModuleCtx *ctx, RedisModuleString *key);
/* Registers what the setting keymiss.functions names; returns NULL or what is wrong. */
const char *serve_setting(Text setting);
/* Registers what a file or a primary says; NULL when it cannot be. */
Function *adopt_function(const Registration *registration, int db);
/* Takes it out; who waits gets an error. */
void forget_function(Function *function);
/* The options ON and CACHE in words. */
const char *kind_text(const Options *options);
const char *cache_text(const Options *options, char digits[24]);

/* registry.c: where registrations are kept. */
/* Makes what is kept agree with the functions that there are, as soon as that may be. */
void registry_save(RedisModuleCtx *ctx);
/* Makes the functions agree with what is kept. */
void registry_read(void);
/* The one on a primary, the other on a replica, a moment from now. */
void registry_follow(void);
/* A command is about to run, now or in a MULTI, that may change what is kept; and an EXEC is. */
void registry_watch(void);
void registry_watch_exec(void);
/* An atomic slot migration from this server begins or ends. */
void slots_leave(int begin);
int slots_are_leaving(void);

/* work.c: what workers say of items. */
int take_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int answer_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int fail_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int drop_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int reply_wrong(RedisModuleCtx *ctx, const char *what);
Worker *this_worker(RedisModuleCtx *ctx);
/* Counts this connection among the function's workers. */
void attach_worker(RedisModuleCtx *ctx, Function *function);
/* Ends the parked TAKE of a worker that should look at this queue, if there is one. */
void wake_worker(const Queue *queue);
void wake_workers(uint64_t slots);  /* for these functions' queues that hold something */
void unpark_worker(Worker *worker); /* ends its parked TAKE, which finds what there is */

#endif
