/* clock.h: the one timer: leases end, and waits for workers that do not come.
 *
 * It is set for the soonest of all ends, and not at all while nothing can end: a server that has
 * nothing to do is not woken. */
#ifndef KEYMISS_CLOCK_H
#define KEYMISS_CLOCK_H

/* Sets the timer for the next lease or wait that ends. Call it after whatever may end sooner. */
void watch_the_clock(void);

#endif
