/*
 * A trace of what a loop did: a ring of records of fixed size, the newest in place of the oldest.
 *
 * The loop's home thread writes a record at the end of each wait, each phase of polling, each pass
 * and each callback, with times that it has read anyway. A reader copies the ring from any thread,
 * whatever the loop does meanwhile: it neither stops the loop nor makes it wait. A loop without a
 * trace looks at a pointer and finds that there is none.
 *
 * Names are pointers into what is there for good: all names of sources have to be that (loop/aio.h,
 * loop/timer.h, loop/thread-pool.h), so a record may outlive its source and its context.
 */
#ifndef LOOP_AIO_TRACE_H
#define LOOP_AIO_TRACE_H

#include <stddef.h>
#include <stdint.h>
#include <glib.h>

#include "loop/aio.h"

G_BEGIN_DECLS

typedef struct AioTrace AioTrace;

typedef enum {
    AIO_TRACE_WAIT, /* asleep until something happened */
    AIO_TRACE_POLL, /* looking for work in user space */
    AIO_TRACE_PASS, /* awake between two of these: callbacks, the loop itself, GLib's sources */
    AIO_TRACE_FD,   /* a descriptor's handler, as all below a callback, within a pass */
    AIO_TRACE_BH,
    AIO_TRACE_ONESHOT_BH,
    AIO_TRACE_REQUEST, /* a completion of aio_add_sqe() */
    AIO_TRACE_TIMER,
    AIO_TRACE_JOB, /* the done callback of thread_pool_submit() */
} AioTraceKind;

typedef struct AioTraceRecord {
    int64_t begin_ns; /* on QEMU_CLOCK_REALTIME */
    int64_t duration_ns;
    const char *name; /* of a callback; NULL of the others */
    AioTraceKind kind;
    int fd; /* of AIO_TRACE_FD, else -1 */
} AioTraceRecord;

/* The memory that a record takes in the ring, in bytes. */
#define AIO_TRACE_RECORD_SIZE 32

/* How many traces there may be in a process. It bounds what a loop that is stuck can be made to
 * hold on to, which lets go of the traces that it had when it goes on. */
#define AIO_TRACE_MAX 4096

/* A trace that keeps the last @n_records, at least 1 and less than G_MAXINT. NULL when there is no
 * memory for them, which the system hands out as it is first written to, or there are AIO_TRACE_MAX
 * traces. Any thread. */
AioTrace *aio_trace_new(size_t n_records);

/* It is counted by reference. Any thread. */
AioTrace *aio_trace_ref(AioTrace *trace);
void aio_trace_unref(AioTrace *trace);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AioTrace, aio_trace_unref)

/*
 * Record what @ctx does from now on in @trace, which no other loop writes; NULL: nothing any more.
 * The context keeps a reference as long as it needs one, a stuck loop until it goes on. Contexts
 * driven by one thread together (the main loop's two) share this. Any thread; one at a time for a
 * context.
 */
void aio_context_set_trace(AioContext *ctx, AioTrace *trace);

/* How many records were written, the overwritten ones included. Any thread. */
uint64_t aio_trace_count(AioTrace *trace);

/*
 * Copy what there is, the caller's to free with g_free(), and set *@n to how many these are and
 * *@n_lost to how many came before them and were overwritten. They are in the order in which they
 * began; what contains others comes before these. NULL when there is no memory for that. Any
 * thread.
 */
AioTraceRecord *aio_trace_copy(AioTrace *trace, size_t *n, uint64_t *n_lost);

G_END_DECLS

#endif
