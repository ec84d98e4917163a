/* lease_timer.c: see lease_timer.h. */
#include "lease_timer.h"

#include "dispatcher.h"
#include "module_state.h"
#include "waiters.h"
#include "workers.h"

static RedisModuleTimerID clock_timer;
static long long clock_due; /* when clock_timer fires, 0 when it is not set */

static void on_clock(RedisModuleCtx *ctx, void *data) {
    (void)ctx, (void)data;
    clock_due = 0;
    List lost, abandoned;
    list_init(&lost);
    list_init(&abandoned);
    if (dispatcher_expire(&dispatcher, now_ms(), &lost, &abandoned)) wake_workers(UINT64_MAX);
    fail_lost(&lost);
    fail_items(&abandoned, "unavailable no worker serves this key; start `keymiss worker`");
    set_lease_timer();
}

void set_lease_timer(void) {
    long long due = dispatcher_due(&dispatcher);
    /* A timer that fires in vain costs less than setting and stopping one for every miss. */
    if (due < 0 || (clock_due && clock_due <= due)) return;
    if (clock_due) RM_StopTimer(own_context, clock_timer, NULL);
    long long wait = due - now_ms();
    clock_timer = RM_CreateTimer(own_context, wait > 0 ? wait : 0, on_clock, NULL);
    clock_due = due;
}
