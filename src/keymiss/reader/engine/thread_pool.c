/* thread_pool.c: see thread_pool.h.
 *
 * The items of a stage are divided among the threads. Each has a ticket, which says which of its
 * items is next: the job's number, the stage, and the item. An item is claimed by counting a ticket
 * up, one's own first, then those of others. This fails when the job or the stage has changed since
 * the ticket was read: then what was read of the job does not count. While a thread has an item,
 * its job cannot end.
 *
 * The thread that finishes the last item of a stage writes the tickets of the next one, the
 * caller's last. The caller always has items: so the next stage cannot be over before its last
 * ticket is written, and two threads never write tickets at once; and when the caller sees the end
 * of a job, all tickets say so. */
#define _GNU_SOURCE /* pthread_setname_np */
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
    int sleepers;    /* under `sleep` */
    int started;     /* threads, the caller among them; 0 before the first job */
    atomic_uint job; /* the number of the last one */
    struct {
        _Alignas(64) _Atomic Ticket next;
    } tickets[MAX_THREADS];
    atomic_int done; /* items of this stage */
    atomic_int threads, stages;
    atomic_int items[MAX_STAGES];
    _Atomic(void *) context;
    void (*_Atomic work)(void *, int, int, int);
} pool = {
    .turn = PTHREAD_MUTEX_INITIALIZER,
    .sleep = PTHREAD_MUTEX_INITIALIZER,
    .wake = PTHREAD_COND_INITIALIZER,
};

static Ticket ticket_of(unsigned job, unsigned stage, int item) {
    return (Ticket)(job & 0xffff) << 48 | (Ticket)stage << 32 | (unsigned)item;
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

/* The first item of a thread, when `count` items are divided among `threads`. Rounded up, so that
 * the caller has items when there are fewer items than threads. */
static int first_of(int thread, int count, int threads) {
    return (int)(((int64_t)count * thread + threads - 1) / threads);
}

static void write_tickets(unsigned job, unsigned stage, int count, int threads) {
    for (int thread = threads - 1; thread >= 0; thread--)
        atomic_store(&pool.tickets[thread].next,
                     ticket_of(job, stage, first_of(thread, count, threads)));
}

static void finish_stage(unsigned job, unsigned stage, int threads) {
    int is_last = (int)stage + 1 == atomic_load_explicit(&pool.stages, memory_order_relaxed);
    atomic_store_explicit(&pool.done, 0, memory_order_relaxed);
    if (is_last) write_tickets(job, NO_STAGE, 0, threads);
    else
        write_tickets(job, stage + 1,
                      atomic_load_explicit(&pool.items[stage + 1], memory_order_relaxed), threads);
}

/* Does an item of this thread's share of the job; returns 0 when there is none now. */
static int do_item_of(int share, unsigned job, int thread, int threads) {
    Ticket ticket = atomic_load(&pool.tickets[share].next);
    unsigned stage = stage_of(ticket);
    int item = (int)(unsigned)ticket;
    if (job_of(ticket) != job || stage == NO_STAGE) return 0;
    int count = atomic_load_explicit(&pool.items[stage], memory_order_relaxed);
    if (item >= first_of(share + 1, count, threads)) return 0;
    if (!atomic_compare_exchange_strong(&pool.tickets[share].next, &ticket, ticket + 1)) return 1;
    void *context = atomic_load_explicit(&pool.context, memory_order_relaxed);
    atomic_load_explicit(&pool.work, memory_order_relaxed)(context, (int)stage, item, thread);
    if (atomic_fetch_add(&pool.done, 1) + 1 == count) finish_stage(job, stage, threads);
    return 1;
}

static int do_item(unsigned job, int thread, int threads) {
    for (int i = 0; i < threads; i++)
        if (do_item_of((thread + i) % threads, job, thread, threads)) return 1;
    return 0;
}

static int is_over(unsigned job, int thread) {
    Ticket ticket = atomic_load(&pool.tickets[thread].next);
    return job_of(ticket) != job || stage_of(ticket) == NO_STAGE;
}

/* Does items of the job that has this number until it is over. */
static void work_on(unsigned job, int thread, int threads) {
    int waited = 0;
    while (!is_over(job, thread)) {
        if (do_item(job, thread, threads)) waited = 0;
        else if (++waited < SPINS_FOR_A_STAGE) pause_a_little();
        else sched_yield();
    }
}

/* Waits for a job other than the last one; returns its number. */
static unsigned next_job(unsigned last) {
    for (int spins = 0; spins < SPINS_FOR_A_JOB; spins++) {
        unsigned job = atomic_load(&pool.job);
        if (job != last) return job;
        pause_a_little();
    }
    pthread_mutex_lock(&pool.sleep);
    pool.sleepers++;
    while (atomic_load(&pool.job) == last) pthread_cond_wait(&pool.wake, &pool.sleep);
    pool.sleepers--;
    pthread_mutex_unlock(&pool.sleep);
    return atomic_load(&pool.job);
}

static void *run_thread(void *number) {
    for (unsigned job = 0;;) {
        job = next_job(job);
        work_on(job, (int)(intptr_t)number, atomic_load(&pool.threads));
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
#if defined(__linux__)
        pthread_setname_np(thread, "keymiss-reader"); /* as `top -H` shows it */
#endif
        pthread_detach(thread);
    }
}

void run_job_alone(const Job *job) {
    for (int stage = 0; stage < job->stages; stage++)
        for (int item = 0; item < job->items[stage]; item++)
            job->work(job->context, stage, item, 0);
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
    unsigned number = (atomic_load(&pool.job) + 1) & 0xffff;
    write_tickets(number, 0, job->items[0], threads);
    atomic_store(&pool.job, number);
    pthread_mutex_lock(&pool.sleep);
    if (pool.sleepers) pthread_cond_broadcast(&pool.wake);
    pthread_mutex_unlock(&pool.sleep);
    work_on(number, 0, threads);
    pthread_mutex_unlock(&pool.turn);
}

static void *do_yielding_job(void *job) {
#if defined(SCHED_IDLE)
    pthread_setschedparam(pthread_self(), SCHED_IDLE, &(struct sched_param){0});
#endif
    run_job_alone(job);
    return NULL;
}

/* The thread that calls may hold locks that others wait for: it sleeps. */
int run_yielding_job(const Job *job) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, do_yielding_job, (void *)(uintptr_t)job) != 0) return 0;
    pthread_join(thread, NULL);
    return 1;
}
