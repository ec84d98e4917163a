/* function_library.c: keeps the registrations in a library of the server's own functions.
 *
 * A registration outlives its workers, so that a miss without a worker is an error and not a false
 * nil. All registrations are the text of one Lua library, `keymiss` (FUNCTION LOAD). The server
 * writes libraries to snapshots and append-only files and sends them to replicas of any depth.
 * FLUSHALL, SWAPDB, eviction and slot migration leave them alone. A server without the module can
 * read all of this.
 *
 * Which side is right
 *   When the module, a file or a snapshot has been loaded, the library is right, except about
 *   functions that have workers. From then on, the registered functions are right on a primary: the
 *   library is written when it says anything else. So a user that may FUNCTION LOAD but not SERVE
 *   cannot register a function, and a deleted library comes back. On a replica the library is
 *   always right: functions that it does not name are forgotten, except those that a setting of
 *   this server names, and those whose workers have stayed.
 *   A library `keymiss` that somebody else has written stays as it is, and nothing is kept.
 *
 * When
 *   The library is written inside SERVE and FORGET. While clients are paused, or slots leave by an
 *   atomic migration, it is written a moment later: Valkey 9 gives up such a migration for a
 *   command that belongs to no slot. It is read when a file or a snapshot has been loaded. A moment
 *   after any FUNCTION command, a primary compares it and a replica reads it; the filter sees such
 *   commands, even from a primary. docs/decisions/0007-registrations.md lists the windows that
 *   remain. */
#include "function_library.h"

#include <stdio.h>
#include <string.h>

#include "lease_timer.h"
#include "dispatcher.h"
#include "registrations.h"
#include "module_state.h"

enum {
    AGAIN_MS = 100,
    WATCHED_MS = 60 * 1000, /* how long a FUNCTION command may wait in a MULTI */
};

static const char LIBRARY[] = "keymiss";
static const Text NOTHING = {"", 0};
static const char HEAD[] =
    "#!lua name=keymiss\n"
    "-- The functions that keymiss.so serves: restarted servers and replicas read it here.\n"
    "local served = {\n";
static const char TAIL[] = "}\n"
                           "redis.register_function{function_name='keymiss_functions',\n"
                           "  callback=function() return served end, flags={'no-writes'}}\n";
static const char LINE[] = "  '";

static int following;           /* a timer is set */
static int started;             /* the timer has fired once, and the library has been read */
static int exports;             /* atomic slot migrations from this server that are under way */
static int complained;          /* the log says that somebody else's library has the name */
static int was_paused;          /* clients were paused a moment ago: commands may have waited */
static long long watched_until; /* until then, an EXEC may run a FUNCTION command */

/* ---- the library ---- */

static Text find_field(RedisModuleCallReply *library, const char *wanted) {
    for (size_t i = 0; i + 1 < RM_CallReplyLength(library); i += 2) {
        Text name, value;
        RedisModuleCallReply *field = RM_CallReplyArrayElement(library, i);
        name.bytes = RM_CallReplyStringPtr(field, &name.length);
        if (!name.bytes || !text_is(name, wanted)) continue;
        value.bytes =
            RM_CallReplyStringPtr(RM_CallReplyArrayElement(library, i + 1), &value.length);
        return value.bytes ? value : NOTHING;
    }
    return NOTHING;
}

/* The text of the library `keymiss`; empty when there is none. It lives as long as the reply. */
static Text find_code(RedisModuleCallReply *libraries) {
    if (!libraries || RM_CallReplyType(libraries) != REDISMODULE_REPLY_ARRAY) return NOTHING;
    /* The server also lists libraries whose names differ from this one only in case. */
    for (size_t i = 0; i < RM_CallReplyLength(libraries); i++) {
        RedisModuleCallReply *library = RM_CallReplyArrayElement(libraries, i);
        Text name = find_field(library, "library_name");
        if (name.length == strlen(LIBRARY) && memcmp(name.bytes, LIBRARY, name.length) == 0)
            return find_field(library, "library_code");
    }
    return NOTHING;
}

static RedisModuleCallReply *list_libraries(void) {
    return RM_Call(own_context, "FUNCTION", "cccc", "LIST", "LIBRARYNAME", LIBRARY, "WITHCODE");
}

static int begins_with(Text text, const char *start) {
    size_t length = strlen(start);
    return text.length >= length && memcmp(text.bytes, start, length) == 0;
}

/* ---- writing ---- */

static char *put(char *out, const char *words) {
    size_t length = strlen(words);
    memcpy(out, words, length);
    return out + length;
}

/* Writes bytes as they may stand between quotes and spaces: all others become %XX. */
static char *put_escaped(char *out, const char *bytes, size_t length) {
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)bytes[i];
        if (byte > ' ' && byte <= '~' && byte != '%' && byte != '\'' && byte != '\\')
            *out++ = (char)byte;
        else out += sprintf(out, "%%%02X", byte);
    }
    return out;
}

static char *put_function(char *out, const Function *function) {
    const Options *options = &function->options;
    char digits[24];
    out += sprintf(out, "%sDB %d ", LINE, function->db);
    out = put_escaped(out, function->name, strlen(function->name));
    out += sprintf(out, " ON %s PREFIX ", kind_text(options));
    out = put_escaped(out, function->prefix, function->prefix_length);
    out += sprintf(out, " TIMEOUT %lld LEASE %lld PENDING %lld CACHE %s", options->timeout,
                   options->lease, options->limit, cache_text(options, digits));
    if (*options->version) {
        out = put(out, " VERSION ");
        out = put_escaped(out, options->version, strlen(options->version));
    }
    if (*options->form) {
        out = put(out, " FORM ");
        out = put_escaped(out, options->form, strlen(options->form));
    }
    if (options->each) out = put(out, " EACH");
    if (function->clean) out = put(out, " CLEAN");
    return put(out, "',\n");
}

/* The text of the library, which the caller frees; empty when there are no functions. */
static Text write_code(void) {
    char *code =
        RM_Alloc(sizeof HEAD + sizeof TAIL + (size_t)dispatcher.function_count * LINE_BYTES);
    char *out = code;
    if (dispatcher.function_count) {
        out = put(out, HEAD);
        for (int slot = 0; slot < MAX_FUNCTIONS; slot++)
            if (dispatcher.functions[slot]) out = put_function(out, dispatcher.functions[slot]);
        out = put(out, TAIL);
    }
    return (Text){code, (size_t)(out - code)};
}

/* Replaces the library with this code, or deletes it when the code is empty. */
static void keep(RedisModuleCtx *ctx, Text code) {
    RedisModuleCallReply *reply =
        code.length ? RM_Call(ctx, "FUNCTION", "!ccb", "LOAD", "REPLACE", code.bytes, code.length)
                    : RM_Call(ctx, "FUNCTION", "!cc", "DELETE", LIBRARY);
    if (!reply || RM_CallReplyType(reply) == REDISMODULE_REPLY_ERROR) {
        size_t length = 0;
        const char *error = reply ? RM_CallReplyStringPtr(reply, &length) : "";
        RM_Log(own_context, "warning", "the functions are not kept over a restart: %.*s",
               (int)length, error);
    }
    if (reply) RM_FreeCallReply(reply);
}

void library_save(RedisModuleCtx *ctx) {
    if (RM_GetContextFlags(own_context) & REDISMODULE_CTX_FLAGS_REPLICA) return;
    if (exports) return;  /* slots_leave sets the timer when they have ended */
    if (!started) return; /* the library has not been read */
    if (RM_AvoidReplicaTraffic()) {
        was_paused = 1;
        library_follow();
        return;
    }
    RedisModuleCallReply *libraries = list_libraries();
    Text kept = find_code(libraries), code = write_code();
    if (kept.length && !begins_with(kept, HEAD)) {
        if (!complained++)
            RM_Log(own_context, "warning",
                   "somebody else has written the library 'keymiss': the module's functions are "
                   "not kept over a restart until that library is deleted");
    } else if (kept.length != code.length || memcmp(kept.bytes, code.bytes, code.length) != 0) {
        keep(ctx, code);
    }
    RM_Free((void *)code.bytes);
    if (libraries) RM_FreeCallReply(libraries);
}

/* ---- reading ---- */

/* On a primary, a function that has workers is right; on a replica, the library is right. */
static int is_overruled(const Registration *registration, int is_replica) {
    if (is_replica) return 0;
    for (int slot = 0; slot < MAX_FUNCTIONS; slot++) {
        const Function *function = dispatcher.functions[slot];
        if (function && !list_empty(&function->attachments) &&
            (strcmp(function->name, registration->name) == 0 ||
             dispatcher_overlaps(function, registration)))
            return 1;
    }
    return 0;
}

/* Registers the function of a line. Returns its bit, or 0 when it was not registered. */
static uint64_t take_over(Text line, int is_replica) {
    Registration registration;
    long long db;
    if (read_line(line, &registration, &db) || is_overruled(&registration, is_replica)) return 0;
    Function *function = adopt_function(&registration, (int)db);
    return function ? UINT64_C(1) << function->slot : 0;
}

static void forget_others(uint64_t listed) {
    for (int slot = 0; slot < MAX_FUNCTIONS; slot++) {
        Function *function = dispatcher.functions[slot];
        if (function && !(listed >> slot & 1) && !function->local &&
            list_empty(&function->attachments))
            forget_function(function);
    }
}

void library_read(void) {
    int is_replica = (RM_GetContextFlags(own_context) & REDISMODULE_CTX_FLAGS_REPLICA) != 0;
    RedisModuleCallReply *libraries = list_libraries();
    Text code = find_code(libraries);
    uint64_t listed = 0;
    if (begins_with(code, HEAD)) {
        const char *end = code.bytes + code.length;
        for (const char *line = code.bytes, *next; line < end; line = next) {
            const char *newline = memchr(line, '\n', (size_t)(end - line));
            next = newline ? newline + 1 : end;
            size_t length = (size_t)(next - line);
            if (length < sizeof LINE + 3 || memcmp(line, LINE, sizeof LINE - 1) != 0) continue;
            /* The line without its "  '" and "',\n". */
            listed |=
                take_over((Text){line + sizeof LINE - 1, length - sizeof LINE - 2}, is_replica);
        }
    }
    if (libraries) RM_FreeCallReply(libraries);
    if (is_replica) forget_others(listed);
    set_lease_timer();
}

/* ---- when ---- */

static void on_follow(RedisModuleCtx *ctx, void *data) {
    (void)ctx, (void)data;
    following = 0;
    int is_paused = RM_AvoidReplicaTraffic();
    /* A command that the pause has held back may run after this. */
    if (is_paused || was_paused) library_follow();
    was_paused = is_paused;
    if (is_paused) return;
    if (!started++ || RM_GetContextFlags(own_context) & REDISMODULE_CTX_FLAGS_REPLICA)
        library_read();
    library_save(own_context);
}

void library_follow(void) {
    if (following) return;
    following = 1;
    int waits = was_paused || RM_AvoidReplicaTraffic();
    RM_CreateTimer(own_context, waits ? AGAIN_MS : 0, on_follow, NULL);
}

void library_watch(void) {
    watched_until = now_ms() + WATCHED_MS;
    library_follow();
}

void library_watch_exec(void) {
    if (watched_until && now_ms() < watched_until) library_follow();
    else watched_until = 0;
}

void slots_leave(int begin) {
    /* A migration that began before the module was loaded has not been counted. */
    if (begin) exports++;
    else if (exports) exports--;
    if (!exports) library_follow();
}

int slots_are_leaving(void) { return exports; }
