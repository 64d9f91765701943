/*
 * Watching a loop from outside: what it does now, how it spent its time, what runs on it.
 *
 * The home thread publishes with plain atomic stores; a reader in any other thread never makes it
 * wait, so a loop that is stuck inside a callback can be told from one that is busy or idle.
 */
#ifndef LOOP_AIO_STATS_H
#define LOOP_AIO_STATS_H

#include <stdbool.h>
#include <stdint.h>
#include <glib.h>

#include "loop/aio.h"

G_BEGIN_DECLS

typedef enum {
    AIO_STATE_UNUSED,   /* nobody drives it: not yet, or not any more */
    AIO_STATE_IDLE,     /* blocked until something happens */
    AIO_STATE_POLLING,  /* looking for work in user space */
    AIO_STATE_LOOP,     /* awake, in the loop itself or in a GLib source */
    AIO_STATE_CALLBACK, /* inside a callback */
} AioState;

typedef struct AioActivity {
    AioState state;
    const char *source; /* the name of the callback; NULL unless in AIO_STATE_CALLBACK */
    int64_t since_ns;   /* QEMU_CLOCK_REALTIME when this began */
    int64_t changed_ns; /* and when something began or ended last: not before since_ns, and later
                         * than that in a callback that has polled, or between two callbacks */
} AioActivity;

/* Whether a loop in this state waits for something to do, or nobody drives it. Any thread. */
bool aio_state_is_asleep(AioState state);

typedef struct AioContextStats {
    uint64_t passes;            /* turns of the loop */
    uint64_t waits;             /* times that it was about to sleep */
    uint64_t fd_callbacks;      /* handlers of descriptors called */
    uint64_t bh_callbacks;      /* bottom halves run */
    uint64_t timer_callbacks;   /* timers fired */
    uint64_t request_callbacks; /* completions of aio_add_sqe() */
    uint64_t busy_ns;           /* awake, not polling */
    uint64_t polling_ns;        /* polling in user space */
    uint64_t blocked_ns;        /* asleep */
    uint64_t poll_ns;           /* how long it polls at present before it sleeps; 0 too while its
                                 * thread has to wait for a processor */
    uint64_t polls_hit;         /* phases of polling that found something to do */
    uint64_t polls_missed;      /* those that did not, so that it went to sleep */
} AioContextStats;

typedef enum {
    AIO_SOURCE_FD,
    AIO_SOURCE_BH,
    AIO_SOURCE_ONESHOT_BH, /* one entry for all oneshots of the context */
    AIO_SOURCE_REQUEST,    /* one entry for all requests of aio_add_sqe(), where there is a ring */
    AIO_SOURCE_TIMER,      /* only timers that are pending or firing */
} AioSourceKind;

typedef struct AioSourceInfo {
    AioSourceKind kind;
    const char *name;
    int fd;              /* of AIO_SOURCE_FD, else -1 */
    int64_t deadline_ns; /* of AIO_SOURCE_TIMER on its clock, else -1 */
    uint64_t calls;
    uint64_t total_ns; /* time inside the callback, all calls together */
    uint64_t max_ns;   /* the longest call */
} AioSourceInfo;

typedef void AioSourceFunc(const AioSourceInfo *info, void *opaque);

/* What @ctx does now. Contexts driven by one thread together (the main loop's two) share this.
 * While a GMainContext drives it by other means than main_loop_wait() or aio_run_g_main_loop(), the
 * callback of a source of a higher priority passes for AIO_STATE_IDLE. So does the rest of a
 * callback that has run a GMainLoop which such a source has ended; else that passes for
 * AIO_STATE_LOOP. Lock-free. Any thread. */
void aio_context_get_activity(AioContext *ctx, AioActivity *activity);

/* The counters of @ctx since it was made, times up to its last change of activity. Lock-free.
 * Any thread. */
void aio_context_get_stats(AioContext *ctx, AioContextStats *stats);

/* ---- a watch for loops that are stuck ---- */

/*
 * What a loop is held by, when it is awake and does not poll: something that does not come to its
 * end, a callback, a GLib source or the loop itself. A nested aio_poll() is an end too.
 */
typedef struct AioWatch {
    int64_t limit_ns;
    /* Something took longer than limit_ns in @ctx, what @activity says, from activity->changed_ns
     * to @end_ns. Of the main loop, @ctx is qemu_get_aio_context(). In the home thread, no lock
     * held. */
    void (*held)(AioContext *ctx, const AioActivity *activity, int64_t end_ns, void *opaque);
    /* A loop wakes up, after aio_watch_ask(). In its home thread, no lock held. */
    void (*woken)(void *opaque);
    void *opaque;
} AioWatch;

/* Begin to tell @watch, which must stay valid; there is one in the process. Any thread. */
void aio_watch_start(const AioWatch *watch);

/* No more: only calls that have begun are to be waited for, by the caller. Any thread. */
void aio_watch_stop(void);

/*
 * Ask that the next loop that wakes up calls @woken, once; loops that are awake are not told of. A
 * loop whose activity, read after this call, is asleep, will call it unless another one does. So a
 * watch need not tick while all loops sleep. Any thread.
 */
void aio_watch_ask(void);

/* Take that back; false when @woken is called, or was, or nobody had asked. Any thread. */
bool aio_watch_take_back(void);

/* Call @func for every source on @ctx, in no particular order, with the context's leaf locks
 * held: @func only copies what it needs, and calls nothing of the loop. Any thread. */
void aio_context_foreach_source(AioContext *ctx, AioSourceFunc *func, void *opaque);

G_END_DECLS

#endif
