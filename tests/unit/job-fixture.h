/*
 * What the tests of the thread pool share: a job that waits in the pool until the test lets it go
 * on, and what stands in for the system.
 *
 * The programs are linked so that the library's calls of pthread_create() and
 * pthread_cond_timedwait() come to the fixture first: a test can be out of threads, and idle ones
 * need not be waited for as long as in earnest.
 */
#ifndef TESTS_UNIT_JOB_FIXTURE_H
#define TESTS_UNIT_JOB_FIXTURE_H

#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "loop/thread-pool.h"
#include "tests/unit/loop-fixture.h"

/* ---- what stands in for the system ---- */

extern atomic_int create_errno;              /* what pthread_create() fails with; 0: it does not */
extern _Thread_local int creations;          /* its calls by this thread */
extern atomic_bool idle_threads_leave_early; /* their time is over after 1 ms */

/* ---- jobs ---- */

/* A function that says that it runs, and goes on when it may. */
typedef struct Job {
    Loop *loop;
    int number;
    atomic_bool running;
    sem_t go_on;
    int n_done; /* home thread, as all below */
    int result;
    int rank; /* of the done callbacks, the how manieth this was */
} Job;

void job_init(Job *job, Loop *loop, int number);

/* Initialise @n jobs, numbered from 0, and count ranks from 0 again. */
void jobs_init(Job *jobs, int n, Loop *loop);

/* What the pool runs: waits for @go_on, and returns the job's number. */
int job_run(void *opaque);

/* The done callback: keeps the result. Others call it first and add to it. */
void job_done(void *opaque, int result);

/* Submit job_run() and job_done(). */
ThreadPoolRequest *job_submit(Job *job);

/* Return when job_run() has begun. Any thread. */
void job_wait_running(Job *job);

/* Make passes until job_done() has run. */
void job_wait_done(Job *job);

/* ---- the pool of a context ---- */

/* Set the bounds on its threads, which must be good ones. */
void set_bounds(AioContext *ctx, int min, int max);

ThreadPoolStats stats_of(AioContext *ctx);

/* Return when it has @threads threads, @idle of them idle. Makes no pass. */
void wait_threads(AioContext *ctx, int threads, int idle);

#endif
