/* thread_pool.c: see thread_pool.h.
 *
 * The ticket says which item is next: the job's number, its stage, and the item. A thread claims an
 * item by counting the ticket up. This fails when the job or the stage has changed since it read
 * the ticket: then what it has read of the job does not count. While a thread has an item, its job
 * cannot end. The thread that finishes the last item of a stage writes the ticket of the next one.
 */
#include "thread_pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>

enum { SPINS_FOR_A_STAGE = 2000, SPINS_FOR_A_JOB = 2000, NO_STAGE = 0xffff };

typedef uint64_t Ticket; /* job: 16 bits, stage: 16 bits, item: 32 bits */

static struct {
    pthread_mutex_t turn; /* of callers */
    pthread_mutex_t sleep;
    pthread_cond_t wake;
    int sleepers; /* under `sleep` */
    int started;  /* threads, the caller among them; 0 before the first job */
    _Atomic Ticket ticket;
    atomic_int done; /* items of this stage */
    atomic_int threads, stages;
    atomic_int items[MAX_STAGES];
    _Atomic(void *) context;
    void (*_Atomic work)(void *, int, int, int);
} pool = {
    .turn = PTHREAD_MUTEX_INITIALIZER,
    .sleep = PTHREAD_MUTEX_INITIALIZER,
    .wake = PTHREAD_COND_INITIALIZER,
    .ticket = (Ticket)NO_STAGE << 32,
};

static Ticket ticket_of(unsigned job, unsigned stage) {
    return (Ticket)(job & 0xffff) << 48 | (Ticket)stage << 32;
}

static unsigned job_of(Ticket ticket) { return (unsigned)(ticket >> 48); }

static unsigned stage_of(Ticket ticket) { return ticket >> 32 & 0xffff; }

static void pause_a_little(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void finish_stage(Ticket ticket) {
    unsigned next = stage_of(ticket) + 1;
    atomic_store_explicit(&pool.done, 0, memory_order_relaxed);
    int is_last = (int)next == atomic_load_explicit(&pool.stages, memory_order_relaxed);
    atomic_store(&pool.ticket, ticket_of(job_of(ticket), is_last ? NO_STAGE : next));
}

/* Does items of the job that has this number until it is over. */
static void work_on(unsigned job, int thread) {
    int waited = 0;
    for (;;) {
        Ticket ticket = atomic_load(&pool.ticket);
        unsigned stage = stage_of(ticket), item = (unsigned)ticket;
        if (job_of(ticket) != job || stage == NO_STAGE) return;
        int count = atomic_load_explicit(&pool.items[stage], memory_order_relaxed);
        if ((int)item >= count) {
            if (++waited < SPINS_FOR_A_STAGE) pause_a_little();
            else sched_yield();
            continue;
        }
        if (!atomic_compare_exchange_strong(&pool.ticket, &ticket, ticket + 1)) continue;
        waited = 0;
        void *context = atomic_load_explicit(&pool.context, memory_order_relaxed);
        atomic_load_explicit(&pool.work, memory_order_relaxed)(context, (int)stage, (int)item,
                                                               thread);
        if (atomic_fetch_add(&pool.done, 1) + 1 == count) finish_stage(ticket);
    }
}

/* Waits for a job other than the last one; returns its number. */
static unsigned next_job(unsigned last) {
    for (int spins = 0; spins < SPINS_FOR_A_JOB; spins++) {
        Ticket ticket = atomic_load(&pool.ticket);
        if (job_of(ticket) != last) return job_of(ticket);
        pause_a_little();
    }
    pthread_mutex_lock(&pool.sleep);
    pool.sleepers++;
    while (job_of(atomic_load(&pool.ticket)) == last) pthread_cond_wait(&pool.wake, &pool.sleep);
    pool.sleepers--;
    pthread_mutex_unlock(&pool.sleep);
    return job_of(atomic_load(&pool.ticket));
}

static void *run_thread(void *number) {
    int thread = (int)(intptr_t)number;
    for (unsigned job = 0;;) {
        job = next_job(job);
        if (thread < atomic_load(&pool.threads)) work_on(job, thread);
    }
    return NULL;
}

/* A child process has no threads but the one that forked, and no job. */
static void before_fork(void) { pthread_mutex_lock(&pool.turn); }

static void after_fork(void) { pthread_mutex_unlock(&pool.turn); }

static void after_fork_in_child(void) {
    pool.started = 1;
    pool.sleepers = 0;
    pthread_mutex_init(&pool.sleep, NULL);
    pthread_cond_init(&pool.wake, NULL);
    pthread_mutex_unlock(&pool.turn);
}

static void start_threads(int wanted) {
    if (pool.started == 0) {
        pthread_atfork(before_fork, after_fork, after_fork_in_child);
        pool.started = 1;
    }
    for (; pool.started < wanted; pool.started++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, run_thread, (void *)(intptr_t)pool.started) != 0) return;
        pthread_detach(thread);
    }
}

void run_job(const Job *job, int threads) {
    pthread_mutex_lock(&pool.turn);
    start_threads(threads < MAX_THREADS ? threads : MAX_THREADS);
    atomic_store_explicit(&pool.threads, threads, memory_order_relaxed);
    atomic_store_explicit(&pool.stages, job->stages, memory_order_relaxed);
    for (int i = 0; i < job->stages; i++)
        atomic_store_explicit(&pool.items[i], job->items[i], memory_order_relaxed);
    atomic_store_explicit(&pool.context, job->context, memory_order_relaxed);
    atomic_store_explicit(&pool.work, job->work, memory_order_relaxed);
    unsigned number = (job_of(atomic_load(&pool.ticket)) + 1) & 0xffff;
    atomic_store(&pool.ticket, ticket_of(number, 0));
    pthread_mutex_lock(&pool.sleep);
    if (pool.sleepers) pthread_cond_broadcast(&pool.wake);
    pthread_mutex_unlock(&pool.sleep);
    work_on(number, 0);
    pthread_mutex_unlock(&pool.turn);
}
