/* model.h: functions, queues, items, waiters and workers: what they are and who owns whom.
 *
 * Knows nothing of the server. What may happen to them: items.h for items and those who wait for
 * them, dispatcher.h for functions and their workers.
 *
 * Who owns what
 *   Dispatcher      owns the functions and the workers.
 *   Function    a registered prefix. Owns one Queue, lives until dispatcher_forget.
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
 *   event was written once more. An item that has cost MAX_DEATHS workers becomes LOST: the
 * dispatcher hands it to the caller, who owes its waiters an error and then discards it. An item
 * that nobody waits for and nobody has taken is discarded at once.
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
#ifndef KEYMISS_MODEL_H
#define KEYMISS_MODEL_H

#include <stdint.h>
#include <string.h>

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
    Node node; /* in its queue's ready or taken, or in Dispatcher.answered */
    List waiters;
    Node same_key; /* the dropped items of one key, one of which is in Dispatcher.dropped */
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

typedef struct Dispatcher {
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
} Dispatcher;

/* Whether the attachment serves the function's current version. */
static inline int dispatcher_is_current(const Attachment *attachment) {
    return strcmp(attachment->version, attachment->function->options.version) == 0;
}

#endif
