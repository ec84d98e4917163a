/* work.c: what workers and administrators say: SERVE, TAKE, ANSWER, FAIL, DROP, FORGET, LIST.
 *
 * A worker is a connection that has sent SERVE. A TAKE that finds nothing parks it with BlockClient
 * (there is no key to park on). The parked handle is unblocked exactly once: by wake_worker, by its
 * own timeout, or when the client goes away; each of them clears Worker.parked first. The reply is
 * written when the server runs take_reply, at the end of the loop's turn, so that one TAKE carries
 * off everything that arrived in that turn.
 *
 * Nothing that a worker sends is trusted: an answer needs an id of 128 random bits, from a
 * connection of the user that took the item, and error texts are cleaned of line breaks. */
#include "keymiss.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    MAX_TAKE = 1024,
    MAX_ERROR_BYTES = 512,
    MAX_BLOCK_MS = 60 * 1000,
    MAX_OPTION_MS = 24 * 3600 * 1000,
    MAX_LIMIT = 1000 * 1000,
};
#define MAX_CACHE_MS (INT64_C(366) * 24 * 3600 * 1000)

static int is_word(RedisModuleString *argument, const char *word) {
    size_t length;
    const char *text = RM_StringPtrLen(argument, &length);
    return length == strlen(word) && strncasecmp(text, word, length) == 0;
}

static int read_number(RedisModuleString *argument, long long low, long long high, long long *out) {
    return RM_StringToLongLong(argument, out) == REDISMODULE_OK && *out >= low && *out <= high;
}

/* Copies a name of printable characters; 0 when it is none. */
static int read_name(RedisModuleString *argument, char *name) {
    size_t length;
    const char *text = RM_StringPtrLen(argument, &length);
    if (!length || length > MAX_NAME_BYTES) return 0;
    for (size_t i = 0; i < length; i++)
        if (text[i] <= ' ' || text[i] == '\'' || text[i] > '~') return 0;
    memcpy(name, text, length);
    name[length] = '\0';
    return 1;
}

/* ---- SERVE ---- */

/* KEYMISS.SERVE name ON MISS|WRITE PREFIX p [options]. Returns NULL or what is wrong. */
static const char *read_serve(RedisModuleString **argv, int argc, char *name,
                              RedisModuleString **prefix, Options *options) {
    memset(options, 0, sizeof *options); /* padding, too: options are compared as bytes */
    options->timeout = 10000;
    options->cache = 3600000;
    options->lease = 5000;
    options->limit = 10000;
    *prefix = NULL;
    int kind_seen = 0;
    if (!read_name(argv[1], name)) return "a name has 1 to 64 printable characters and no quote";
    for (int i = 2; i < argc; i++) {
        if (is_word(argv[i], "EACH")) {
            options->each = 1;
            continue;
        }
        if (i + 1 == argc) return "an option lacks its value, or is unknown";
        RedisModuleString *value = argv[i + 1];
        if (is_word(argv[i], "ON")) {
            kind_seen = 1;
            if (is_word(value, "MISS")) options->kind = ON_MISS;
            else if (is_word(value, "WRITE")) options->kind = ON_WRITE;
            else return "ON is MISS or WRITE";
        } else if (is_word(argv[i], "PREFIX")) {
            *prefix = value;
        } else if (is_word(argv[i], "VERSION")) {
            if (!read_name(value, options->version))
                return "VERSION has 1 to 64 printable characters and no quote";
        } else if (is_word(argv[i], "TIMEOUT")) {
            if (!read_number(value, 1, MAX_OPTION_MS, &options->timeout))
                return "TIMEOUT is 1 to 86400000 milliseconds";
        } else if (is_word(argv[i], "LEASE")) {
            if (!read_number(value, 1, MAX_OPTION_MS, &options->lease))
                return "LEASE is 1 to 86400000 milliseconds";
        } else if (is_word(argv[i], "PENDING")) {
            if (!read_number(value, 1, MAX_LIMIT, &options->limit))
                return "PENDING is 1 to 1000000 items";
        } else if (is_word(argv[i], "CACHE")) {
            if (is_word(value, "off")) options->cache = CACHE_OFF;
            else if (is_word(value, "forever")) options->cache = CACHE_FOREVER;
            else if (!read_number(value, 1, MAX_CACHE_MS, &options->cache))
                return "CACHE is off, forever, or 1 to 31622400000 milliseconds";
        } else {
            return "an option is unknown; see docs/functions.md";
        }
        i++;
    }
    if (!kind_seen || !*prefix) return "ON and PREFIX are required";
    if (options->each && options->kind == ON_MISS) return "EACH goes with ON WRITE only";
    return NULL;
}

static Worker *this_worker(RedisModuleCtx *ctx) {
    return engine_worker(&engine, RM_GetClientId(ctx));
}

static const char *this_user(RedisModuleCtx *ctx) {
    RedisModuleString *user = RM_GetClientUserNameById(ctx, RM_GetClientId(ctx));
    if (!user) return engine_user(&engine, "", 0); /* default, or a user deleted meanwhile */
    size_t length;
    const char *name = RM_StringPtrLen(user, &length);
    const char *known = engine_user(&engine, name, length);
    RM_FreeString(ctx, user);
    return known;
}

static void attach(RedisModuleCtx *ctx, Function *function) {
    Worker *worker = this_worker(ctx);
    if (!worker) worker = engine_add_worker(&engine, RM_GetClientId(ctx), this_user(ctx));
    engine_attach(&engine, function, worker);
}

static int reply_wrong(RedisModuleCtx *ctx, const char *what) {
    char error[256];
    snprintf(error, sizeof error, "KEYMISS syntax %s", what);
    return RM_ReplyWithError(ctx, error);
}

/* Replies with the version that was served before, nil when the function is registered first. */
int serve_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc < 6) return RM_WrongArity(ctx);
    char name[MAX_NAME_BYTES + 1];
    Options options;
    RedisModuleString *prefix;
    const char *wrong = read_serve(argv, argc, name, &prefix, &options);
    if (wrong) return reply_wrong(ctx, wrong);
    size_t length;
    const char *bytes = RM_StringPtrLen(prefix, &length);
    if (length < MIN_PREFIX_BYTES || length > MAX_PREFIX_BYTES)
        return reply_wrong(ctx, "PREFIX has 3 to 256 bytes");

    Function *function = engine_named(&engine, name, strlen(name));
    Options before;
    int known = function != NULL;
    if (known) memcpy(&before, &function->options, sizeof before);
    wrong = engine_serve(&engine, name, bytes, length, RM_GetSelectedDb(ctx), &options, now_ms(),
                         &function);
    if (wrong) return reply_wrong(ctx, wrong);
    int from_elsewhere = REDISMODULE_CTX_FLAGS_REPLICATED | REDISMODULE_CTX_FLAGS_LOADING;
    if (!(RM_GetContextFlags(ctx) & from_elsewhere)) {
        attach(ctx, function);
        if (!list_empty(&function->queue.ready)) wake_worker(&function->queue);
    }
    if (!known || memcmp(&before, &options, sizeof before) != 0) RM_ReplicateVerbatim(ctx);
    return known ? RM_ReplyWithCString(ctx, before.version) : RM_ReplyWithNull(ctx);
}

/* ---- TAKE ---- */

/* One element of TAKE's reply: function, event, id, key. The id is empty when nothing is to be
 * acknowledged. */
static void reply_item(RedisModuleCtx *ctx, const Item *item) {
    const Function *function = item->queue->function;
    const char *event = function->options.kind == ON_MISS ? "miss"
                        : item->key_length                ? "write"
                                                          : "overflow";
    RM_ReplyWithArray(ctx, 4);
    RM_ReplyWithCString(ctx, function->name);
    RM_ReplyWithCString(ctx, event);
    RM_ReplyWithCString(ctx, function->options.each ? "" : item->id);
    RM_ReplyWithStringBuffer(ctx, item->key, item->key_length);
}

static int reply_items(RedisModuleCtx *ctx, Worker *worker, int even_if_none) {
    Item *items[MAX_TAKE];
    size_t count = engine_take(&engine, worker, now_ms(), items);
    if (!count && !even_if_none) return 0;
    RM_ReplyWithArray(ctx, (long)count);
    for (size_t i = 0; i < count; i++) {
        const Queue *queue = items[i]->queue;
        reply_item(ctx, items[i]);
        /* What is left behind may be for a worker that waits: one is woken at a time. */
        if (!list_empty(&queue->ready)) wake_worker(queue);
        if (queue->function->options.each) engine_discard(&engine, items[i]);
    }
    return 1;
}

static int take_reply(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    (void)argv, (void)argc;
    Worker *worker = this_worker(ctx);
    if (!worker) return RM_ReplyWithArray(ctx, 0);
    reply_items(ctx, worker, 1);
    return REDISMODULE_OK;
}

static void unpark(Worker *worker) {
    RedisModuleBlockedClient *client = worker->parked;
    worker->parked = NULL;
    RM_UnblockClient(client, NULL);
}

static int take_timeout(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    (void)argv, (void)argc;
    Worker *worker = this_worker(ctx);
    /* The server has ended the wait already; unblocking the handle only frees it. */
    if (worker && worker->parked) unpark(worker);
    return RM_ReplyWithArray(ctx, 0);
}

static void take_disconnected(RedisModuleCtx *ctx, RedisModuleBlockedClient *client) {
    Worker *worker = this_worker(ctx);
    if (worker && worker->parked == client) unpark(worker);
}

void wake_worker(const Queue *queue) {
    Worker *worker = engine_sleeper(queue);
    if (worker) unpark(worker);
}

/* KEYMISS.TAKE COUNT n BLOCK ms name [name ...] */
int take_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc < 6) return RM_WrongArity(ctx);
    long long count, block;
    if (!is_word(argv[1], "COUNT") || !read_number(argv[2], 1, MAX_TAKE, &count))
        return reply_wrong(ctx, "COUNT is 1 to 1024");
    if (!is_word(argv[3], "BLOCK") || !read_number(argv[4], 0, MAX_BLOCK_MS, &block))
        return reply_wrong(ctx, "BLOCK is 0 to 60000 milliseconds");
    Worker *worker = this_worker(ctx);
    uint64_t wanted = 0;
    for (int i = 5; i < argc; i++) {
        size_t length;
        const char *name = RM_StringPtrLen(argv[i], &length);
        Function *function = engine_named(&engine, name, length);
        Attachment *attachment = function && worker ? engine_attachment(function, worker) : NULL;
        if (!attachment)
            return RM_ReplyWithError(ctx, "KEYMISS unserved this connection does not serve that "
                                          "function; send KEYMISS.SERVE first");
        if (!engine_is_current(attachment))
            return RM_ReplyWithError(ctx, "KEYMISS superseded another version of the function is "
                                          "served; this worker can stop");
        wanted |= UINT64_C(1) << function->slot;
    }
    worker->wanted = wanted;
    worker->count = count;
    int cannot_wait = RM_GetContextFlags(ctx) &
                      (REDISMODULE_CTX_FLAGS_MULTI | REDISMODULE_CTX_FLAGS_DENY_BLOCKING);
    if (reply_items(ctx, worker, !block || cannot_wait)) return REDISMODULE_OK;
    worker->parked = RM_BlockClient(ctx, take_reply, take_timeout, NULL, block);
    RM_SetDisconnectCallback(worker->parked, take_disconnected);
    return REDISMODULE_OK;
}

/* ---- ANSWER and FAIL ---- */

/* The item that this connection may settle, or NULL: a stranger learns no more than a latecomer. */
static Item *settled_item(RedisModuleCtx *ctx, RedisModuleString *id) {
    size_t length;
    const char *text = RM_StringPtrLen(id, &length);
    Item *item = engine_find_id(&engine, text, length);
    if (!item || item->state == ANSWERED || item->user != this_user(ctx)) return NULL;
    return item;
}

static void acknowledge(Item *item) {
    Item *again = engine_acknowledge(&engine, item);
    if (again) wake_worker(again->queue);
}

/* Replies 1, or 0 when nobody needs the answer any more. */
int answer_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc != 2 && argc != 3) return RM_WrongArity(ctx);
    Item *item = settled_item(ctx, argv[1]);
    if (!item) return RM_ReplyWithLongLong(ctx, 0);
    const Function *function = item->queue->function;
    item->queue->function->counters.answered++;
    if (function->options.kind == ON_WRITE) {
        acknowledge(item);
        return RM_ReplyWithLongLong(ctx, 1);
    }
    settle_miss(item, argc == 3 ? argv[2] : NULL);
    return RM_ReplyWithLongLong(ctx, 1);
}

/* KEYMISS.FAIL id message: the clients get "-KEYMISS failed message". */
int fail_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc != 3) return RM_WrongArity(ctx);
    Item *item = settled_item(ctx, argv[1]);
    if (!item) return RM_ReplyWithLongLong(ctx, 0);
    if (item->queue->function->options.kind == ON_WRITE) {
        item->queue->function->counters.failed++;
        acknowledge(item);
        return RM_ReplyWithLongLong(ctx, 1);
    }
    size_t length;
    const char *message = RM_StringPtrLen(argv[2], &length);
    char error[MAX_ERROR_BYTES];
    int start = snprintf(error, sizeof error, "KEYMISS failed ");
    size_t end = (size_t)start;
    for (size_t i = 0; i < length && end < sizeof error - 1; i++)
        error[end++] = (unsigned char)message[i] < ' ' || message[i] == 127 ? ' ' : message[i];
    error[end] = '\0';
    List failed;
    list_init(&failed);
    list_remove(&item->node);
    list_append(&failed, &item->node);
    fail_items(&failed, error);
    return RM_ReplyWithLongLong(ctx, 1);
}

/* ---- DROP, FORGET, LIST ---- */

/* Replies how many keys were deleted. A computation in progress answers, but is not stored. */
int drop_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc < 2) return RM_WrongArity(ctx);
    long long deleted = 0;
    for (int i = 1; i < argc; i++) {
        size_t length;
        const char *key = RM_StringPtrLen(argv[i], &length);
        Function *function = engine_match(&engine, key, length);
        if (function && function->db == RM_GetSelectedDb(ctx)) {
            Item *item = engine_find(&engine, &function->queue, key, length);
            if (item && function->options.kind == ON_MISS) {
                item->dropped = 1;
                function->counters.dropped++;
            }
        }
        RedisModuleCallReply *reply = RM_Call(ctx, "UNLINK", "!s", argv[i]);
        if (!reply) continue;
        deleted += RM_CallReplyInteger(reply);
        RM_FreeCallReply(reply);
    }
    return RM_ReplyWithLongLong(ctx, deleted);
}

int forget_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc != 2) return RM_WrongArity(ctx);
    size_t length;
    const char *name = RM_StringPtrLen(argv[1], &length);
    Function *function = engine_named(&engine, name, length);
    if (!function) return RM_ReplyWithLongLong(ctx, 0);
    List lost;
    list_init(&lost);
    engine_forget(&engine, function, &lost);
    fail_items(&lost, "KEYMISS forgotten the function was unregistered while you waited");
    engine_free_function(&engine, function);
    RM_ReplicateVerbatim(ctx);
    return RM_ReplyWithLongLong(ctx, 1);
}

static long list_number(RedisModuleCtx *ctx, const char *field, long long value) {
    RM_ReplyWithCString(ctx, field);
    RM_ReplyWithLongLong(ctx, value);
    return 2;
}

static long list_text(RedisModuleCtx *ctx, const char *field, const char *value, size_t length) {
    RM_ReplyWithCString(ctx, field);
    RM_ReplyWithStringBuffer(ctx, value, length);
    return 2;
}

static void list_function(RedisModuleCtx *ctx, const Function *function) {
    const Options *options = &function->options;
    const char *kind = options->kind == ON_MISS ? "miss" : "write";
    long fields = 0;
    RM_ReplyWithArray(ctx, REDISMODULE_POSTPONED_LEN);
    fields += list_text(ctx, "name", function->name, strlen(function->name));
    fields += list_text(ctx, "on", kind, strlen(kind));
    fields += list_text(ctx, "prefix", function->prefix, function->prefix_length);
    fields += list_text(ctx, "version", options->version, strlen(options->version));
    fields += list_number(ctx, "each", options->each);
    fields += list_number(ctx, "db", function->db);
    fields += list_number(ctx, "timeout", options->timeout);
    fields += list_number(ctx, "cache", options->cache);
    fields += list_number(ctx, "lease", options->lease);
    fields += list_number(ctx, "limit", options->limit);
    fields += list_number(ctx, "workers", function->workers);
    fields += list_number(ctx, "pending", function->queue.pending);
#define LIST_COUNTER(counter) fields += list_number(ctx, #counter, function->counters.counter);
    COUNTERS(LIST_COUNTER)
    RM_ReplySetArrayLength(ctx, fields);
}

int list_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    (void)argv;
    if (argc != 1) return RM_WrongArity(ctx);
    RM_ReplyWithArray(ctx, engine.function_count);
    for (int slot = 0; slot < MAX_FUNCTIONS; slot++)
        if (engine.functions[slot]) list_function(ctx, engine.functions[slot]);
    return REDISMODULE_OK;
}
