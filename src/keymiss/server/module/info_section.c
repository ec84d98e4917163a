/* info_section.c: see info_section.h. */
#include "info_section.h"

#include "dispatcher.h"
#include "module_state.h"

void add_info(RedisModuleInfoCtx *info, int for_crash_report) {
    (void)for_crash_report;
    Counters sum = dispatcher.forgotten;
    long long workers = 0;
    for (int slot = 0; slot < MAX_FUNCTIONS; slot++) {
        if (!dispatcher.functions[slot]) continue;
#define ADD(counter) sum.counter += dispatcher.functions[slot]->counters.counter;
        COUNTERS(ADD)
    }
    FOR_EACH(&dispatcher.workers, worker, Worker, node) { workers++; }
    RM_InfoAddSection(info, "");
    RM_InfoAddFieldLongLong(info, "functions", dispatcher.function_count);
    RM_InfoAddFieldLongLong(info, "workers", workers);
    RM_InfoAddFieldLongLong(info, "pending", dispatcher.items);
    RM_InfoAddFieldLongLong(info, "pending_bytes", dispatcher.bytes);
    RM_InfoAddFieldLongLong(info, "waiting", dispatcher.waiters);
    RM_InfoAddFieldLongLong(info, "stored_bytes", dispatcher_stored(&dispatcher, now_ms(), 0));
#define SHOW(counter) RM_InfoAddFieldLongLong(info, #counter, sum.counter);
    COUNTERS(SHOW)
}
