/* engine.h: functions, queues, items, waiters and workers. Knows nothing of the server.
 *
 * Who owns what
 *   Engine      owns the functions and the workers.
 *   Function    a registered prefix. Owns one Queue, lives until engine_forget.
 *   Attachment  a worker serving a function. Owns a Queue of its own when the function is EACH.
 *   Queue       owns its items: `ready` in the order in which they are handed out, `taken` in the
 *               order in which they were, the longest held first.
 *   Item        one key to compute, or one key that was written. There is at most one item for a
 *               key in a queue: that is the single flight, and it folds ten writes into one event.
 *   Waiter      a client parked on an item. Embedded in a structure of the caller's, who frees it.
 *
 * The life of an item
 *   READY -> TAKEN -> discarded, or ANSWERED while its value waits to be stored.
 *   TAKEN -> READY again, when its worker is lost, when its lease ends, or when the key of a write
 *   event was written once more. An item that has cost MAX_DEATHS workers becomes LOST: the engine
 *   hands it to the caller, who owes its waiters an error and then discards it. An item that
 *   nobody waits for and nobody has taken is discarded at once.
 *
 * What was dropped
 *   When the source of a key changes while a worker computes it, those who wait are answered and
 *   nothing is stored; who asks later must not get that answer. So a dropped item keeps its waiters
 *   and its id, but is found by its key no longer: the next one to ask begins another item.
 *   When that one is answered first, those who wait for the dropped one get its value, too; and
 *   when somebody else writes the key, that. So dropped items are found apart, by their key.
 *
 * Ids
 *   An item keeps its id for life; the id that a worker gets ends in the number of the attempt. A
 *   worker whose lease ended may still answer a miss while the next one computes: the first answer
 *   wins, the other finds no item. Attempts older than `oldest` are refused: those of a superseded
 *   version, those that began before a drop, and for write events every attempt but the latest,
 *   since an early worker has not seen the last write.
 *
 * Keys come from strangers, so items are found in the C library's balanced trees (search.h), which
 * nobody can degrade by choosing keys. Memory is shared (budget.h), so that floods leave room for
 * other functions; a client that waits counts with what it costs the server, which is far more than
 * its item. Times are milliseconds of one monotonic clock, which the caller reads. */
#ifndef KEYMISS_ENGINE_H
#define KEYMISS_ENGINE_H

#include <stdint.h>

#include "budget.h"
#include "list.h"
#include "options.h"

enum {
    MAX_FUNCTIONS = 64, /* one bit each in Worker.wanted */
    MAX_DEATHS = 3,
    ALONE_MS = 1000,         /* how long a miss may wait for a first worker */
    WAITER_BYTES = 33 << 10, /* what the server keeps for a blocked client, besides the key */
    RANDOM_ID_BYTES = 32,    /* 128 random bits in hexadecimal */
    ID_BYTES = 36,           /* and four digits that count the attempts */
};

typedef enum { READY, TAKEN, ANSWERED, LOST } State;

typedef struct Queue {
    struct Function *function;
    List ready;
    List taken;
    long long pending; /* items, ANSWERED ones too */
} Queue;

/* X(name): what is counted for each function, in the order in which it is shown. Hits are counted
 * before the server has looked at permissions: shown to everybody, function by function, they would
 * tell strangers which keys exist. */
#define COUNTERS_FOR_ALL(X)                                                                        \
    X(misses)                                                                                      \
    X(joined) X(taken) X(answered) X(failed) X(timeouts) X(busy) X(requeued) X(dropped) X(unstored)
#define COUNTERS(X) X(hits) COUNTERS_FOR_ALL(X)

#define COUNTER(name) long long name;
typedef struct Counters {
    COUNTERS(COUNTER)
} Counters;
#undef COUNTER

typedef struct Function {
    char name[MAX_NAME_BYTES + 1];
    char prefix[MAX_PREFIX_BYTES];
    size_t prefix_length;
    int slot; /* its bit in Worker.wanted */
    int db;
    int clean; /* no value of an older version is stored any more, its workers say */
    int local; /* known by a setting of this server's, whatever its primary serves */
    Options options;
    Queue queue;
    long long bytes; /* of its items, with their keys and values, and of those who wait */
    List attachments;
    int workers;           /* attachments that serve the current version */
    long long alone_since; /* when the last worker left, or could have come without one */
    Counters counters;
    Budget stored; /* its computed values */
} Function;

typedef struct Item {
    Node node; /* in its queue's ready or taken, or in Engine.answered */
    List waiters;
    Node same_key; /* the dropped items of one key, one of which is in Engine.dropped */
    Queue *queue;
    struct Worker *worker; /* who holds it, NULL when not TAKEN */
    const char *user;      /* whose connections may answer it, NULL when never taken */
    void *value;           /* the caller's, while ANSWERED */
    size_t value_bytes;
    long long taken_at;
    State state;
    int deaths;  /* workers lost with this item in hand */
    int written; /* a write event's key was written while TAKEN: queue it once more */
    int dropped; /* what it was computed from has changed: reply, but do not store */
    int sent;    /* ANSWERED, and no reply is due any more: the caller's note */
    unsigned short attempt, oldest;
    char id[ID_BYTES + 1];
    size_t key_length; /* 0 in a write queue: events were lost, walk the keys */
    char key[];
} Item;

typedef struct Waiter {
    Node node;
    Item *item;      /* NULL once it has left */
    uint64_t client; /* who may not wait anew until this is freed */
} Waiter;

typedef struct Attachment {
    Node of_function, of_worker;
    Function *function;
    struct Worker *worker;
    char version[MAX_NAME_BYTES + 1];
    Queue events; /* used when the function is EACH */
} Attachment;

typedef struct Worker {
    Node node;
    uint64_t client; /* id of its connection */
    const char *user;
    List attachments;
    void *parked;    /* the caller's handle of a waiting TAKE, or NULL */
    uint64_t wanted; /* the functions of that TAKE, a bit a slot */
    long long count; /* and how many items it wants */
} Worker;

typedef struct Engine {
    Function *functions[MAX_FUNCTIONS];
    int function_count, slots_used;
    uint64_t first_bytes[4]; /* the bytes with which prefixes begin, a bit each */
    List workers;
    List users;                        /* names seen, kept for life: Item.user points here */
    List answered;                     /* items whose value waits to be stored */
    void *by_key, *by_id, *dropped;    /* trees of items */
    void *by_client;                   /* a tree of waiters, until they are freed */
    long long bytes, max_bytes;        /* of all functions */
    long long items, waiters, leaving; /* of waiters, those that have left and are not freed */
    Counters forgotten;                /* of functions that are no more: sums never fall */
    void (*random_id)(char *hex, size_t length);
    void *(*allocate)(size_t);
    void (*release)(void *);
} Engine;

void engine_init(Engine *engine);

/* Registers or updates a function. Returns NULL and sets *function, or says what is wrong. */
const char *engine_serve(Engine *engine, const Registration *registration, int db, long long now,
                         Function **function);
/* Whether this registration only updates the function: prefix, kind and database are the same. */
int engine_updates(const Function *function, const Registration *registration, int db);
/* Whether both may not be there at once. Write functions may share keys. */
int engine_overlaps(const Function *function, const Registration *registration);
/* Another function that overlaps, or NULL. */
Function *engine_overlapping(const Engine *engine, const Registration *registration);
/* Takes the function out, with its attachments; its items go to `lost`. The caller deals with them,
 * and then frees the function. */
void engine_forget(Engine *engine, Function *function, List *lost);
void engine_free_function(Engine *engine, Function *function);
/* Moves all items of the function's own queue to `lost`. */
void engine_drain(Engine *engine, Function *function, List *lost);
Function *engine_named(const Engine *engine, const char *name, size_t length);
/* The function whose prefix the key has; one of them when write functions share it. */
Function *engine_match(const Engine *engine, const char *key, size_t length);
/* The next such function from *slot on, which goes beyond it: begin with 0, end at NULL. */
Function *engine_next_match(const Engine *engine, const char *key, size_t length, int *slot);
/* Whether the function computes this key, which has its prefix: whether it is ON MISS, and the key
 * of its form. */
int engine_computes(const Function *function, const char *key, size_t length);
/* Whether any prefix begins as the key does: spares most keys of other people's the search. */
static inline int engine_may_match(const Engine *engine, const char *key, size_t length) {
    unsigned char first = (unsigned char)*key;
    return length >= MIN_PREFIX_BYTES && engine->first_bytes[first / 64] >> first % 64 & 1;
}

Worker *engine_worker(const Engine *engine, uint64_t client);
Worker *engine_add_worker(Engine *engine, uint64_t client, const char *user);
/* The stored copy of a user's name, so that equal users are equal pointers. */
const char *engine_user(Engine *engine, const char *user, size_t length);
/* The functions that it is attached to, a bit a slot. */
uint64_t engine_served(const Worker *worker);
void engine_attach(Engine *engine, Function *function, Worker *worker);
Attachment *engine_attachment(const Function *function, const Worker *worker);
/* Whether the attachment serves the function's current version. */
int engine_is_current(const Attachment *attachment);
/* Frees the worker; what it held is queued again, or moved to `lost`. */
void engine_worker_lost(Engine *engine, Worker *worker, long long now, List *lost);
/* Misses may wait for a first worker as if the last one had left at this moment. */
void engine_grant_moment(Engine *engine, long long now);
/* A parked TAKE that a new item of this queue should wake, or NULL. */
Worker *engine_sleeper(const Queue *queue);

Item *engine_find(const Engine *engine, Queue *queue, const char *key, size_t length);
/* The item that this attempt may still answer. */
Item *engine_find_id(const Engine *engine, const char *id, size_t length);
/* Whether this client may wait for a key of this length: memory has room, and what an earlier wait
 * of its has taken is free. */
int engine_may_wait(const Engine *engine, const Function *function, uint64_t client,
                    size_t key_length);
/* A READY item at the end of the queue; NULL when the queue or the memory is full. */
Item *engine_enqueue(Engine *engine, Queue *queue, const char *key, size_t length);
void engine_discard(Engine *engine, Item *item);
/* The source of a miss has changed: what was computed before is answered, but not stored. */
void engine_drop(Engine *engine, Item *item);
/* The same for an item whose answer is not for those who ask later. */
void engine_hide(Engine *engine, Item *item);
/* Notes that a key was written. Returns the item when a worker should be woken for it. */
Item *engine_written(Engine *engine, Queue *queue, const char *key, size_t length);
/* Moves up to Worker.count items of the wanted functions into out, misses first, and of these the
 * functions in turn. An item that has cost a worker travels alone. Items of EACH queues are READY
 * still: the caller discards them. */
size_t engine_take(Worker *worker, long long now, Item **out);
/* A worker has dealt with a write event: discards it, or queues it again. Returns it if queued. */
Item *engine_acknowledge(Engine *engine, Item *item);
/* Keeps a value with an item until all who wait have it and it is stored: nobody computes it again
 * meanwhile. */
void engine_hold(Engine *engine, Item *item, void *value, size_t bytes);

/* A database has been emptied: no computed value of its functions is alive. All of them: -1. */
void engine_emptied(Engine *engine, int db);
/* Bytes of computed values that may be alive: of all functions, or of those with CACHE forever. */
long long engine_stored(Engine *engine, long long now, int forever_only);

/* When engine_expire should be called next; -1 when nothing can expire. */
long long engine_due(const Engine *engine);
/* Queues again what was held for longer than its lease, moves what has cost too many workers to
 * `lost` and what no worker has come for to `abandoned`. Returns how many are READY again. */
size_t engine_expire(Engine *engine, long long now, List *lost, List *abandoned);

void engine_wait(Engine *engine, Item *item, Waiter *waiter, uint64_t client);
/* Those who wait for dropped items of the same key wait for this one. */
void engine_adopt(Engine *engine, Item *item);
/* Whether a client waits for this key. */
int engine_is_awaited(const Engine *engine, Queue *queue, const char *key, size_t length);
/* The client waits no longer, and its memory is there until engine_free_waiter. Discards the item
 * when nobody else waits and no worker has it. */
void engine_leave(Engine *engine, Waiter *waiter);
/* The same, before the caller frees the waiter's memory. */
void engine_free_waiter(Engine *engine, Waiter *waiter);
/* Takes the first waiter off the item, NULL when there is none. */
Waiter *engine_next_waiter(Engine *engine, Item *item);

#endif
