/* backlog.c: what a client has sent behind a GET that waits.
 *
 * The server reads on while a client waits, up to client-query-buffer-limit (1 GB), and executes
 * all of it in one go when the wait ends: 100 MB of commands hold up everybody else for seconds, a
 * cluster may take the node for dead. Any command that blocks does that (XREAD BLOCK), but whoever
 * may only GET has none. So a client that has sent too much is hung up on.
 *
 * What any client may have executed in one go, a read of READ_BYTES, is free. What is beyond comes
 * out of a room that all clients share, and that fills again as time passes.
 *
 * How much it is stands in CLIENT LIST, which takes 10 us for a client: that is asked behind a wait
 * only in which much could be sent. */
#define _GNU_SOURCE /* memmem */
#include "keymiss.h"

#include <stdlib.h>
#include <string.h>

enum { SHORT_WAIT_MS = 5, READ_BYTES = 16 << 10, ROOM_BYTES = 4 << 20, FILLING_PER_MS = 40 << 10 };

static long long backlog_of(uint64_t client) {
    RedisModuleCallReply *reply = RM_Call(own_context, "CLIENT", "ccl", "LIST", "ID", client);
    if (!reply) return 0;
    size_t length;
    const char *line = RM_CallReplyStringPtr(reply, &length), field[] = " qbuf=";
    const char *found = line ? memmem(line, length, field, strlen(field)) : NULL;
    long long bytes = found ? strtoll(found + strlen(field), NULL, 10) : 0;
    RM_FreeCallReply(reply);
    return bytes;
}

/* Whether so many bytes find room, which they take then. */
static int takes_room(long long bytes) {
    static long long room = ROOM_BYTES, filled_at;
    long long now = now_ms();
    room += (now - filled_at) * FILLING_PER_MS;
    if (room > ROOM_BYTES) room = ROOM_BYTES;
    filled_at = now;
    if (bytes > room) return 0;
    room -= bytes;
    return 1;
}

void hang_up_on_backlog(uint64_t client, long long waiting_since) {
    if (now_ms() - waiting_since < SHORT_WAIT_MS) return;
    long long bytes = backlog_of(client);
    if (bytes <= READ_BYTES || takes_room(bytes)) return;
    RM_Log(own_context, "warning",
           "client %llu is hung up on: it has sent %lld bytes behind a GET that waited",
           (unsigned long long)client, bytes);
    RM_DeauthenticateAndCloseClient(own_context, client);
}
