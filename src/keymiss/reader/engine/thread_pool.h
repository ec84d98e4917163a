/* thread_pool.h: threads that work on one job at a time, stage by stage.
 *
 * A job has stages, and a stage has items, which are divided among the threads in order: when the
 * items of each stage stand for the same data in the same order, a thread finds in its own cache
 * what it wrote in the stage before. Who has done its own items takes those of others, one by one.
 * So a thread that the system has put aside holds nobody up, unless it is in the middle of an item:
 * the calling thread can do a whole job alone. A stage begins when all items of the stage before
 * are done.
 *
 * Between jobs, threads look for work for some fifty microseconds, then sleep. All readers of a
 * process share the pool; callers take turns. */
#ifndef KEYMISS_THREAD_POOL_H
#define KEYMISS_THREAD_POOL_H

enum { MAX_THREADS = 256, MAX_STAGES = 12000 };

typedef struct Job {
    int stages;
    const int *items; /* of each stage; none is 0 */
    void (*work)(void *context, int stage, int item, int thread);
    void *context;
} Job;

/* Does a job with up to `threads` threads, the caller among them, and returns when it is done. */
void run_job(const Job *job, int threads);

/* Does a job in the calling thread, without a turn: other jobs go on meanwhile. */
void run_job_alone(const Job *job);

/* Does a job in a thread of its own, which computes only when no other thread wants the processor
 * (SCHED_IDLE of Linux), and returns when it is done. Takes no turn either. Returns 0 when no
 * thread can be started. */
int run_yielding_job(const Job *job);

#endif
