/* memory_budget.c: see memory_budget.h. */
#include "memory_budget.h"

#include <string.h>

static void begin(Budget *budget, long long lifetime, long long span) {
    memset(budget->bytes, 0, sizeof budget->bytes);
    budget->lifetime = lifetime;
    budget->latest = span;
    budget->bytes[span % SPANS] = budget->total;
}

long long budget_at(Budget *budget, long long lifetime, long long now) {
    long long span = lifetime < 0 ? 0 : now / (lifetime / (SPANS - 1) + 1);
    if (lifetime != budget->lifetime) begin(budget, lifetime, span);
    long long passed = span - budget->latest;
    if (passed > SPANS) passed = SPANS;
    for (long long i = 0; i < passed; i++) {
        long long *oldest = &budget->bytes[(span - i) % SPANS];
        budget->total -= *oldest;
        *oldest = 0;
    }
    budget->latest = span;
    return budget->total;
}

void budget_add(Budget *budget, long long lifetime, long long now, long long bytes) {
    budget_at(budget, lifetime, now);
    budget->bytes[budget->latest % SPANS] += bytes;
    budget->total += bytes;
}

int budget_allows(long long own, long long all, long long most, int sharers) {
    return own <= most / 3 / sharers || own <= most / 3 * 2 - all;
}
