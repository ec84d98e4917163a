/* backlog.c: what a client has sent behind a GET that waits.
 *
 * The server reads on while a client waits, up to client-query-buffer-limit (1 GB), and executes
 * all of it in one turn of the event loop when the wait ends: 100 MB of commands hold up everybody
 * else for seconds, and a cluster takes the node for dead. Any command that blocks does that (XREAD
 * BLOCK), but whoever may only GET has none. So of each client READ_BYTES are free, which is what
 * any may have executed in a turn; what is beyond may take TURN_MS for all of them together, then
 * they are hung up on. It is the processor's time: a server that others keep from running is no
 * reason to hang up.
 *
 * How it knows: forget_parked names each client whose wait has ended, however it has, and the
 * server executes what is behind it right then. The command filter sees these commands. It turns
 * the one that is too much into QUIT: there is no other way for a filter to end a connection before
 * the next command. The clients' names are kept until the timers of the next turn; commands of all
 * others, a primary's or a migration's among them, are never touched. */
#define _GNU_SOURCE /* tdestroy */
#include "keymiss.h"

#include <search.h>
#include <time.h>

enum { TURN_MS = 100, READ_BYTES = 16 << 10, ARGUMENT_BYTES = 8 };

int backlog_runs;
static void *clients;              /* a tree of their ids */
static long long began;            /* when the first one had had READ_BYTES executed; 0 before */
static unsigned long long running; /* that one of them whose commands come at the moment */
static long long executed;         /* bytes of these */

static int compare_ids(const void *a, const void *b) {
    return (uintptr_t)a < (uintptr_t)b ? -1 : (uintptr_t)a > (uintptr_t)b;
}

static void keep(void *id) { (void)id; }

static void end_turn(RedisModuleCtx *ctx, void *data) {
    (void)ctx, (void)data;
    backlog_runs = 0;
    tdestroy(clients, keep);
    clients = NULL;
}

void backlog_begins(unsigned long long client) {
    if (!RM_CommandFilterGetClientId) return; /* Redis 7.0 */
    if (!backlog_runs) {
        backlog_runs = 1;
        began = 0;
        RM_CreateTimer(own_context, 0, end_turn, NULL);
    }
    running = 0;
    tsearch((void *)(uintptr_t)client, &clients, compare_ids);
}

static long long processor_ms(void) {
    struct timespec spent;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
    return spent.tv_sec * 1000LL + spent.tv_nsec / 1000000;
}

static long long size_of(RedisModuleCommandFilterCtx *filter) {
    long long bytes = 0;
    for (int i = RM_CommandFilterArgsCount(filter) - 1; i >= 0; i--)
        bytes += ARGUMENT_BYTES + (long long)text_of(RM_CommandFilterArgGet(filter, i)).length;
    return bytes;
}

int backlog_is_cut(RedisModuleCommandFilterCtx *filter) {
    unsigned long long client = RM_CommandFilterGetClientId(filter);
    if (client != running) {
        if (!tfind((void *)(uintptr_t)client, &clients, compare_ids)) return 0;
        running = client;
        executed = 0;
    }
    executed += size_of(filter);
    if (executed <= READ_BYTES) return 0;
    if (!began) began = processor_ms();
    if (processor_ms() - began < TURN_MS) return 0;
    RM_Log(own_context, "warning", "client %llu is hung up on: too much stood behind its GET",
           client);
    RM_CommandFilterArgReplace(filter, 0, RM_CreateString(NULL, "QUIT", 4));
    return 1;
}
