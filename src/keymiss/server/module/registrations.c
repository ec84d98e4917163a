/* registrations.c: see registrations.h. */
#include "registrations.h"

#include <string.h>

#include "dispatcher.h"
#include "waiters.h"
#include "workers.h"

Function *function_of(RedisModuleCtx *ctx, RedisModuleString *key) {
    Text text = text_of(key);
    Function *function = dispatcher_match(&dispatcher, text.bytes, text.length);
    return function && function->db == RM_GetSelectedDb(ctx) ? function : NULL;
}

void forget_function(Function *function) {
    /* The next TAKE of these workers finds the function unserved, and they attach again. */
    FOR_EACH(&function->attachments, attachment, Attachment, of_function) {
        if (attachment->worker->parked) unpark_worker(attachment->worker);
    }
    List lost;
    list_init(&lost);
    dispatcher_forget(&dispatcher, function, &lost);
    fail_items(&lost, "forgotten the function was unregistered while you waited");
    dispatcher_free_function(&dispatcher, function);
}

void make_way(const Registration *registration, int db, int from_client) {
    Function *same = dispatcher_named(&dispatcher, registration->name, strlen(registration->name));
    /* A client may replace only a function that no worker serves; dispatcher_serve refuses the
     * rest. */
    if (from_client &&
        ((same && same->workers) || dispatcher_overlapping(&dispatcher, registration)))
        return;
    if (same && !dispatcher_updates(same, registration, db)) forget_function(same);
    Function *other;
    while ((other = dispatcher_overlapping(&dispatcher, registration))) forget_function(other);
}

Function *adopt_function(const Registration *registration, int db) {
    const Function *same =
        dispatcher_named(&dispatcher, registration->name, strlen(registration->name));
    int local = same && same->local;
    make_way(registration, db, 0);
    Function *function;
    if (dispatcher_serve(&dispatcher, registration, db, now_ms(), &function)) return NULL;
    function->local = local;
    return function;
}

const char *serve_setting(Text setting) {
    Function *added[MAX_FUNCTIONS];
    int count = 0;
    Registration registration;
    const char *wrong;
    while (!(wrong = read_setting(&setting, &registration)) && *registration.name) {
        Function *function =
            dispatcher_named(&dispatcher, registration.name, strlen(registration.name));
        if (function) continue;
        wrong = dispatcher_serve(&dispatcher, &registration, 0, now_ms(), &function);
        if (wrong) break;
        function->local = 1;
        added[count++] = function;
    }
    while (wrong && count) forget_function(added[--count]);
    return wrong;
}
