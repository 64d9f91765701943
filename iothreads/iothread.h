/*
 * IOThread: a thread that runs one AioContext.
 *
 * It runs aio_poll() until someone asks for its GMainContext; from then on it runs that one, the
 * AioContext's sources included. Code written to the aio_*() API works unchanged on either.
 */
#ifndef IOTHREADS_IOTHREAD_H
#define IOTHREADS_IOTHREAD_H

#include <stdbool.h>
#include <sys/types.h>
#include <glib.h>

#include "loop/aio.h"

G_BEGIN_DECLS

typedef struct IOThread IOThread;

/* The kernel's scheduling policies, by their names in sched(7). */
typedef enum {
    IOTHREAD_SCHED_OTHER,
    IOTHREAD_SCHED_BATCH,
    IOTHREAD_SCHED_IDLE,
    IOTHREAD_SCHED_FIFO,
    IOTHREAD_SCHED_RR,
} IOThreadSchedPolicy;

/*
 * Create an IOThread @id and wait until it runs. The id is any text that no other IOThread has; the
 * thread's name is its first 15 bytes. NULL and @errp when the id is taken, or when out of
 * descriptors, memory or threads. Any thread. The caller owns it: iothread_destroy().
 */
IOThread *iothread_create(const char *id, GError **errp);

/* As iothread_create(), with an fd monitor of the caller's choice. */
IOThread *iothread_create_with_fdmon(const char *id, AioFdMon fdmon, GError **errp);

/*
 * Stop the thread, wait until it has ended and free it. Bottom halves that were scheduled before
 * run first, then the thread pool is stopped (thread_pool_stop()): functions that its workers run
 * are waited for, and may not wait for the loop. Nothing else may use it or its context any more,
 * unless it holds a reference to the context. Any thread but its own.
 */
void iothread_destroy(IOThread *iothread);

/*
 * As iothread_destroy(), without waiting: @done is called with @opaque, as a bottom half of
 * @done_ctx (another one, and driven), when the thread is gone and @iothread is freed. Its id is
 * taken until then. Any thread.
 */
void iothread_destroy_async(IOThread *iothread, AioContext *done_ctx, QEMUBHFunc *done,
                            void *opaque);

/* Leave the signal @signo unblocked in IOThreads that are created from now on: one for a handler
 * that is to run in a certain thread. They block all others. Any thread. */
void iothread_unblock_signal(int signo);

/* Its context, owned by the IOThread. Any thread. */
AioContext *iothread_get_aio_context(IOThread *iothread);

/* Its GMainContext, owned by the IOThread, made at the first call; the thread then switches over
 * to running it. Any thread. */
GMainContext *iothread_get_g_main_context(IOThread *iothread);

/* Its id, owned by the IOThread. Any thread. */
const char *iothread_get_id(IOThread *iothread);

/* Its thread's id as the kernel knows it. Any thread. */
pid_t iothread_get_thread_id(IOThread *iothread);

/*
 * The IOThread called @id, or NULL. Any thread; the result is the owner's and may go away, so ask
 * only where the owner can't destroy it meanwhile.
 */
IOThread *iothread_by_id(const char *id);

/* Call @func for every IOThread, in the order of creation, none of which can go away meanwhile:
 * @func must not create or destroy one, nor wait for another thread; any other function here it
 * may call. Any thread. */
void iothread_foreach(void (*func)(IOThread *iothread, void *opaque), void *opaque);

/* Told of an IOThread: @comes, its thread runs; or not, its thread has ended and it is about to be
 * freed. */
typedef void IOThreadWatchFunc(IOThread *iothread, bool comes, void *opaque);

/* Call @func for every IOThread that comes or goes from now on, in the thread that creates or frees
 * it, one at a time; its bounds are those of iothread_foreach()'s function. There is one such @func
 * at a time; NULL ends it. Any thread. */
void iothread_watch(IOThreadWatchFunc *func, void *opaque);

/*
 * Run the thread on these CPUs only: @cpus is a list such as "0-3,8", or "" for all that the
 * process may use. False and @errp, and nothing changed, when it is no such list or names no CPU
 * that the thread may use. Any thread.
 */
bool iothread_set_cpu_affinity(IOThread *iothread, const char *cpus, GError **errp);

/*
 * Set the thread's scheduling policy, and its @priority, 1 to 99, which counts for "fifo" and "rr"
 * only. False and @errp, and nothing changed, when the system refuses. Any thread.
 */
bool iothread_set_scheduling(IOThread *iothread, IOThreadSchedPolicy policy, int priority,
                             GError **errp);

G_END_DECLS

#endif
