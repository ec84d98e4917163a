/* budget.h: an upper bound on the bytes of computed values that are alive, without asking which
 * are.
 *
 * The values of a function live for as long as it caches, so what was stored longer ago than that
 * is gone. Bytes are counted by the span of time in which they were stored, a sixteenth of a
 * lifetime; a span that no living value can be from is forgotten as a whole. What is deleted sooner
 * counts until then, what is kept for ever counts for ever. */
#ifndef KEYMISS_BUDGET_H
#define KEYMISS_BUDGET_H

enum { SPANS = 17 }; /* a lifetime has sixteen, and begins and ends within one */

typedef struct Budget {
    long long total;
    long long lifetime; /* of the values, in milliseconds; CACHE_FOREVER */
    long long latest;   /* the number of the span in which it was looked at last */
    long long bytes[SPANS];
} Budget;

/* Forgets the spans that have passed; returns what is left. After a change of the lifetime all that
 * was counted is as if stored just now. */
long long budget_at(Budget *budget, long long lifetime, long long now);
/* Counts bytes that are stored now. */
void budget_add(Budget *budget, long long lifetime, long long now, long long bytes);

/* Whether one of so many sharers may hold `own` bytes, where all hold `all` and may hold `most`.
 * A third of that is divided evenly; of the rest each may have as much as is still free (dynamic
 * thresholds, Choudhury and Hahne, 1998), so that who comes late, or needs much, finds room. */
int budget_allows(long long own, long long all, long long most, int sharers);

#endif
