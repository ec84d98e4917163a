/* memory_budget.h: how many bytes of computed values may be alive, without looking at the values.
 *
 * All values of a function live equally long, so values that were stored longer ago are gone. Time
 * is divided into spans of a sixteenth of a lifetime, and each span counts the bytes that are
 * stored in it. A span whose values have all expired is forgotten as a whole. A value that is
 * deleted sooner counts until then, and a value that is kept for ever counts for ever. */
#ifndef KEYMISS_MEMORY_BUDGET_H
#define KEYMISS_MEMORY_BUDGET_H

enum { SPANS = 17 }; /* a lifetime is sixteen spans long, but begins and ends within spans */

typedef struct Budget {
    long long total;
    long long lifetime; /* of the values, in milliseconds, or CACHE_FOREVER */
    long long latest;   /* the number of the span in which budget_at was last called */
    long long bytes[SPANS];
} Budget;

/* Forgets the spans that have passed, and returns the bytes that are left. After a change of the
 * lifetime, all of them count as if they were stored at this moment. */
long long budget_at(Budget *budget, long long lifetime, long long now);
/* Counts bytes that are stored at this moment. */
void budget_add(Budget *budget, long long lifetime, long long now, long long bytes);

/* Whether one of `sharers` may hold `own` bytes, when all together hold `all` and may hold `most`.
 * A third of `most` is divided evenly. Of the rest, each sharer may have as much as is still free
 * (dynamic thresholds, Choudhury and Hahne, 1998), so that a sharer that comes late, or needs much,
 * finds room. */
int budget_allows(long long own, long long all, long long most, int sharers);

#endif
