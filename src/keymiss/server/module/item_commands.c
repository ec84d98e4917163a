/* item_commands.c: the commands of workers about items: TAKE, ANSWER, FAIL, DROP.
 *
 * A TAKE that finds no item parks its connection (workers.h). The server runs take_reply
 * at the end of the event loop's turn, so that one TAKE gets all items that arrived in that turn.
 *
 * Nothing that a worker sends is trusted. An answer needs an id of 128 random bits, and must come
 * from a connection of the user that took the item. Its size is bounded, and line breaks in error
 * texts become spaces.
 *
 * The race that remains: on Redis 7.0, a TAKE that is woken in the turn in which it times out never
 * gets a reply. Its worker gives up the silent connection, and the item goes to the next TAKE. */
#include "item_commands.h"

#include "lease_timer.h"
#include "dispatcher.h"
#include "items.h"
#include "registrations.h"
#include "waiters.h"
#include "workers.h"

#include <stdio.h>
#include <string.h>

enum {
    MAX_TAKE = 1024,
    MAX_MESSAGE_BYTES = 512,
    MAX_BLOCK_MS = 60 * 1000,
};

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
    size_t count = dispatcher_take(worker, now_ms(), items);
    if (!count && !even_if_none) return 0;
    RM_ReplyWithArray(ctx, (long)count);
    for (size_t i = 0; i < count; i++) {
        reply_item(ctx, items[i]);
        if (items[i]->queue->function->options.each) dispatcher_discard(&dispatcher, items[i]);
    }
    /* Workers that wait may take the items that are left. */
    wake_workers(worker->wanted);
    set_lease_timer();
    return 1;
}

static int take_reply(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    (void)argv, (void)argc;
    Worker *worker = this_worker(ctx);
    if (!worker) return RM_ReplyWithArray(ctx, 0);
    reply_items(ctx, worker, 1);
    return REDISMODULE_OK;
}

static int take_timeout(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    (void)argv, (void)argc;
    end_parking(ctx);
    return RM_ReplyWithArray(ctx, 0);
}

/* Reads the names of a TAKE as bits. Returns NULL or an error. */
static const char *read_wanted(const Worker *worker, RedisModuleString **names, int count,
                               uint64_t *wanted) {
    *wanted = 0;
    for (int i = 0; i < count; i++) {
        Text name = text_of(names[i]);
        Function *function = dispatcher_named(&dispatcher, name.bytes, name.length);
        Attachment *attachment =
            function && worker ? dispatcher_attachment(function, worker) : NULL;
        if (!attachment)
            return "KEYMISS unserved this connection does not serve that function; send "
                   "KEYMISS.SERVE first";
        if (!dispatcher_is_current(attachment))
            return "KEYMISS superseded another version of the function is served; this worker can "
                   "stop";
        *wanted |= UINT64_C(1) << function->slot;
    }
    return NULL;
}

/* KEYMISS.TAKE COUNT n BLOCK ms name [name ...] */
int take_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc < 6) return RM_WrongArity(ctx);
    long long count, block;
    if (!text_is(text_of(argv[1]), "COUNT") || !text_number(text_of(argv[2]), 1, MAX_TAKE, &count))
        return reply_wrong(ctx, "COUNT is 1 to 1024");
    if (!text_is(text_of(argv[3]), "BLOCK") ||
        !text_number(text_of(argv[4]), 0, MAX_BLOCK_MS, &block))
        return reply_wrong(ctx, "BLOCK is 0 to 60000 milliseconds");
    int flags = RM_GetContextFlags(ctx);
    if (flags & REDISMODULE_CTX_FLAGS_REPLICA)
        return RM_ReplyWithError(ctx, "KEYMISS replica there is no work on a replica; send SERVE "
                                      "and TAKE to the primary");
    Worker *worker = this_worker(ctx);
    uint64_t wanted;
    const char *wrong = read_wanted(worker, argv + 5, argc - 5, &wanted);
    if (wrong) return RM_ReplyWithError(ctx, wrong);
    worker->wanted = wanted;
    worker->count = count;
    worker->user = this_user(ctx); /* it may have authenticated again since SERVE */
    int cannot_wait = flags & (REDISMODULE_CTX_FLAGS_MULTI | REDISMODULE_CTX_FLAGS_DENY_BLOCKING);
    if (reply_items(ctx, worker, !block || cannot_wait)) return REDISMODULE_OK;
    if (!park_worker(ctx, worker, take_reply, take_timeout, block))
        return RM_ReplyWithError(ctx, "KEYMISS refused a subscribed connection cannot wait");
    return REDISMODULE_OK;
}

/* ---- ANSWER and FAIL ---- */

/* The item that this connection may settle, or NULL. A stranger is told no more than a worker that
 * is too late. */
static Item *settled_item(RedisModuleCtx *ctx, RedisModuleString *id) {
    Text text = text_of(id);
    Item *item = dispatcher_find_id(&dispatcher, text.bytes, text.length);
    if (!item || item->state == ANSWERED || item->user != this_user(ctx)) return NULL;
    return item;
}

/* Ends a write event, whether the worker has followed the write or has failed to. */
static void acknowledge(Item *item) {
    Item *again = dispatcher_acknowledge(&dispatcher, item);
    if (again) wake_worker(again->queue);
}

/* KEYMISS.ANSWER id [value]: replies 1, or 0 when nobody needs the answer any more. */
int answer_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc != 2 && argc != 3) return RM_WrongArity(ctx);
    Item *item = settled_item(ctx, argv[1]);
    if (!item) return RM_ReplyWithLongLong(ctx, 0);
    Function *function = item->queue->function;
    if (argc == 3 && text_of(argv[2]).length > (size_t)max_value_bytes) {
        char error[MAX_MESSAGE_BYTES];
        snprintf(error, sizeof error,
                 "KEYMISS refused the value has %zu bytes, keymiss.max-value-bytes is %lld",
                 text_of(argv[2]).length, max_value_bytes);
        fail_item(item, error);
        return RM_ReplyWithError(ctx, error);
    }
    function->counters.answered++;
    if (function->options.kind == ON_WRITE) acknowledge(item);
    else settle_miss(item, argc == 3 ? argv[2] : NULL);
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
    Text message = text_of(argv[2]);
    char error[MAX_MESSAGE_BYTES];
    size_t end = (size_t)snprintf(error, sizeof error, "KEYMISS failed ");
    size_t room = sizeof error - 1 - end;
    if (message.length > room) {
        /* Cut between characters, since clients cannot decode half of one. */
        while (room && (message.bytes[room] & 0xC0) == 0x80) room--;
        message.length = room;
    }
    for (size_t i = 0; i < message.length; i++) {
        char byte = message.bytes[i];
        error[end++] = (unsigned char)byte < ' ' || byte == 127 ? ' ' : byte;
    }
    error[end] = '\0';
    fail_item(item, error);
    return RM_ReplyWithLongLong(ctx, 1);
}

/* A computed value is a string. A key of another type is somebody else's. */
static int holds_string(RedisModuleCtx *ctx, RedisModuleString *name) {
    RedisModuleKey *key =
        RM_OpenKey(ctx, name,
                   REDISMODULE_READ | REDISMODULE_OPEN_KEY_NOTOUCH | REDISMODULE_OPEN_KEY_NONOTIFY |
                       REDISMODULE_OPEN_KEY_NOSTATS);
    int type = RM_KeyType(key);
    if (key) RM_CloseKey(key);
    return type == REDISMODULE_KEYTYPE_STRING;
}

static int drop(RedisModuleCtx *ctx, RedisModuleString *name) {
    Function *function = function_of(ctx, name);
    Text key = text_of(name);
    if (function && function->options.kind == ON_MISS) {
        if (!dispatcher_computes(function, key.bytes, key.length)) return 0; /* not its key */
        Item *item = dispatcher_find(&dispatcher, &function->queue, key.bytes, key.length);
        if (item) dispatcher_drop(&dispatcher, item);
    }
    if (!holds_string(ctx, name)) return 0;
    RedisModuleCallReply *reply = RM_Call(ctx, "UNLINK", "!s", name);
    if (!reply) return 0;
    int deleted = (int)RM_CallReplyInteger(reply);
    RM_FreeCallReply(reply);
    return deleted;
}

/* KEYMISS.DROP key [key ...]: replies how many keys were deleted. A value in computation is sent to
 * the clients that wait for it, but is not stored, and clients that ask later do not get it. */
int drop_command(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc < 2) return RM_WrongArity(ctx);
    long long deleted = 0;
    for (int i = 1; i < argc; i++) deleted += drop(ctx, argv[i]);
    return RM_ReplyWithLongLong(ctx, deleted);
}
