/* lease_timer.h: the timer that ends leases, and waits for workers that do not come.
 *
 * It is set for the lease or wait that ends first, and not at all while none can end: a server that
 * has nothing to do is not woken. */
#ifndef KEYMISS_LEASE_TIMER_H
#define KEYMISS_LEASE_TIMER_H

/* Sets the timer for the lease or wait that ends first. Call it after each change that may bring
 * that moment forward. */
void set_lease_timer(void);

#endif
