/* dispatcher_types.h: the structures of the dispatcher: functions, queues, items, waiters and
 * workers.
 *
 * This file knows nothing of the server. items.h declares what happens to items and to the clients
 * that wait for them, dispatcher.h what happens to functions and their workers.
 *
 * Who owns what
 *   Dispatcher  owns the functions and the workers.
 *   Function    is a registered prefix. It owns one Queue, and lives until dispatcher_forget.
 *   Attachment  links a worker to a function that it serves. It owns one more Queue, for the events
 *               of an EACH function.
 *   Queue       owns its items: `ready` in the order in which they will be handed out, `taken` in
 *               the order in which they were handed out, the longest held first.
 *   Item        is one key to compute, or one key that was written. A queue has at most one item
 *               for a key, dropped items aside. So a key is computed once for all clients that ask
 *               for it (single flight), and ten writes of a key become one event.
 *   Waiter      is a client parked on an item. It is part of a structure that the caller frees.
 *
 * The life of an item
 *   READY -> TAKEN -> discarded, or ANSWERED while its value waits to be handed over and stored.
 *   TAKEN -> READY again, when its worker is lost, when its lease ends, when its worker's version
 *   is superseded, or when the key of a write event was written again. An item that has cost
 *   MAX_DEATHS workers becomes LOST: the dispatcher hands it to the caller, which must send its
 *   waiters an error and then discard it. A miss that no client waits for and no worker holds is
 *   discarded at once.
 *
 * Dropped items
 *   The source of a key may change while a worker computes the key. The clients that wait then get
 *   the answer, but it is not stored, and a client that asks later must not get it. So a dropped
 *   item keeps its waiters and its id, but cannot be found by its key: the next client that asks
 *   begins another item. When that item is answered first, the waiters of the dropped item get its
 *   value, too. When somebody else writes the key, they get what was written. For both cases,
 *   dropped items are kept in a separate tree, by key.
 *
 * Ids
 *   An item keeps its id for life. A worker gets the id with the number of the attempt at its end.
 *   A worker whose lease has ended may still answer a miss while the next worker computes it: the
 *   first answer wins, the second finds no item. Attempts before `oldest` are refused: those of a
 *   superseded version, those that began before a drop, and for write events every attempt but the
 *   latest, since an earlier worker has not seen the last write.
 *
 * Keys come from strangers, so items are kept in the C library's balanced trees (search.h), which
 * no choice of keys can slow down. Functions share the memory (memory_budget.h), so that a flood in
 * one leaves room for the others. A waiting client counts with the memory that it costs the server,
 * which is far more than its item. Times are milliseconds of one monotonic clock, which the caller
 * reads. */
#ifndef KEYMISS_DISPATCHER_TYPES_H
#define KEYMISS_DISPATCHER_TYPES_H

#include <stdint.h>
#include <string.h>

#include "memory_budget.h"
#include "linked_list.h"
#include "function_options.h"

enum {
    MAX_FUNCTIONS = 64, /* each has one bit in Worker.wanted */
    MAX_DEATHS = 3,
    ALONE_MS = 1000,         /* how long a miss may wait for a first worker */
    WAITER_BYTES = 33 << 10, /* what the server keeps for a blocked client, besides the key */
    RANDOM_ID_BYTES = 32,    /* 128 random bits in hexadecimal */
    ID_BYTES = 36,           /* the random part, then four digits that count the attempts */
};

typedef enum { READY, TAKEN, ANSWERED, LOST } State;

typedef struct Queue {
    struct Function *function;
    List ready;
    List taken;
    long long pending; /* the number of items, ANSWERED ones included */
} Queue;

/* X(name): the counters of each function, in the order in which they are shown. Hits are counted
 * before the server checks permissions: if everybody saw them for each function, they would tell
 * strangers which keys exist. */
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
    int clean; /* its workers have said that no value of an older version is stored */
    int local; /* a setting of this server names it, whatever the primary serves */
    Options options;
    Queue queue;
    long long bytes; /* of its items with their keys and values, and of its waiters */
    List attachments;
    int workers;           /* attachments that serve the current version */
    long long alone_since; /* since when it has no worker, although one could have come */
    Counters counters;
    Budget stored; /* the bytes of its computed values */
} Function;

typedef struct Item {
    Node node; /* in its queue's ready or taken, or in Dispatcher.answered */
    List waiters;
    Node same_key; /* links the dropped items of one key; one is in Dispatcher.dropped */
    Queue *queue;
    struct Worker *worker; /* the worker that holds it, NULL when not TAKEN */
    const char *user;      /* the user whose connections may answer it, NULL when never taken */
    void *value;           /* belongs to the caller; set while ANSWERED */
    size_t value_bytes;
    long long taken_at;
    State state;
    int deaths;  /* workers lost with this item in hand */
    int written; /* the key was written while the write event was TAKEN: queue it again */
    int dropped; /* only its waiters get its answer: it is not stored */
    int sent;    /* set by the caller when the replies with its value have left */
    unsigned short attempt, oldest;
    char id[ID_BYTES + 1];
    size_t key_length; /* 0 in a write queue: events were lost, so walk all keys */
    char key[];
} Item;

typedef struct Waiter {
    Node node;
    Item *item;      /* NULL when the client has left the item */
    uint64_t client; /* the client's id: it may not wait again until this is freed */
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
    uint64_t wanted; /* the functions of that TAKE, one bit for each slot */
    long long count; /* how many items that TAKE wants */
} Worker;

typedef struct Dispatcher {
    Function *functions[MAX_FUNCTIONS];
    int function_count, slots_used;
    uint64_t first_bytes[4]; /* one bit for each byte that a prefix begins with */
    List workers;
    List users;                        /* names of users, never freed: Item.user points here */
    List answered;                     /* items whose value waits to be handed over and stored */
    void *by_key, *by_id, *dropped;    /* trees of items */
    void *by_client;                   /* a tree of waiters, until they are freed */
    long long bytes, max_bytes;        /* of all functions */
    long long items, waiters, leaving; /* leaving: waiters that have left and are not freed */
    Counters forgotten;                /* the sums of forgotten functions: totals never fall */
    void (*random_id)(char *hex, size_t length);
    void *(*allocate)(size_t);
    void (*release)(void *);
} Dispatcher;

/* Whether the attachment serves the function's current version. */
static inline int dispatcher_is_current(const Attachment *attachment) {
    return strcmp(attachment->version, attachment->function->options.version) == 0;
}

#endif
