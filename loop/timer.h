/*
 * Clocks and timers with nanosecond deadlines.
 *
 * A timer belongs to one AioContext and one clock; its callback runs in the context's home thread.
 * Deadlines are kept in a 4-ary heap: arming costs O(log n), and pushing a pending deadline back
 * (a timeout that keeps being re-armed) costs O(1), for the heap is put right only when the old
 * deadline comes up. A timer never fires early. Those that are due in one pass of the loop fire in
 * deadline order; one that a callback arms meanwhile fires in a later pass, so a timer that is
 * always due can't starve the descriptors.
 */
#ifndef LOOP_TIMER_H
#define LOOP_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <glib.h>

G_BEGIN_DECLS

typedef struct AioContext AioContext;
typedef struct QEMUTimer QEMUTimer;
typedef struct QEMUTimerList QEMUTimerList;
typedef void QEMUTimerCB(void *opaque);

/* Units for timer_mod(): nanoseconds in one tick of the timer's scale. */
#define SCALE_MS 1000000
#define SCALE_US 1000
#define SCALE_NS 1

/*
 * QEMU_CLOCK_REALTIME   monotonic time since boot; never stops while the process runs
 * QEMU_CLOCK_VIRTUAL    monotonic time that can be stopped, and advanced by hand
 * QEMU_CLOCK_HOST       wall-clock time since the epoch; when the system's clock is set, a loop
 *                       that sleeps for a timer of this clock wakes up and reckons anew
 * QEMU_CLOCK_VIRTUAL_RT monotonic time that stops together with QEMU_CLOCK_VIRTUAL but is not
 *                       moved by advancing that one by hand
 */
typedef enum {
    QEMU_CLOCK_REALTIME,
    QEMU_CLOCK_VIRTUAL,
    QEMU_CLOCK_HOST,
    QEMU_CLOCK_VIRTUAL_RT,
} QEMUClockType;
#define QEMU_CLOCK_MAX 4

/* The fields are private to loop/timer.c and loop/timer-heap.c; embed the struct and use the
 * functions. The list's lock guards all but what aio_timer_init() sets for good, and expire_time
 * while the timer is in the heap: see loop/timer.c. What pushing back needs is within 64 bytes. */
struct QEMUTimer {
    QEMUTimerList *timer_list; /* for good; NULL when not initialised */
    QEMUTimerCB *cb;           /* for good */
    void *opaque;              /* for good */
    const char *name;          /* for good */
    int scale;                 /* for good */
    int32_t where;             /* a heap index, or TIMER_IDLE or TIMER_FIRING */
    int64_t expire_time;       /* atomic: ns on the list's clock, or less than 0; timer_expire() */
    int64_t key;               /* what the heap or the firing list has placed it by */
    QEMUTimer *prev, *next;    /* links among the timers about to fire in this pass */
    uint64_t calls;
    uint64_t total_ns;
    uint64_t max_ns;
};

/* ---- clocks ---- */

/* Now, in nanoseconds, on clock @type. Any thread. */
int64_t qemu_clock_get_ns(QEMUClockType type);

/*
 * Let clock @type run, or stop it. While it is stopped none of its timers fire, on any context;
 * QEMU_CLOCK_VIRTUAL and QEMU_CLOCK_VIRTUAL_RT stand still besides, and stop and start together.
 * A callback that is running when the clock is stopped is not waited for. Any thread.
 */
void qemu_clock_enable(QEMUClockType type, bool enabled);

/* Whether clock @type runs (all do at first). Any thread. */
bool qemu_clock_is_enabled(QEMUClockType type);

/*
 * Advance QEMU_CLOCK_VIRTUAL by hand to @dest nanoseconds, whether it runs or stands; a @dest in
 * its past changes nothing. Timers that are due by then fire in their own contexts' next pass,
 * while the clock is enabled. Returns the clock's time. Any thread.
 */
int64_t qemu_clock_advance_virtual_time(int64_t dest);

/* ---- timers ---- */

/*
 * Initialise @ts, embedded in memory of the caller's, to call @cb with @opaque on @ctx when clock
 * @type reaches its deadline. @scale is the unit of timer_mod(). It is not armed yet. Any thread.
 * Call timer_deinit() before its memory goes away. The timer keeps no reference to @ctx: when the
 * context goes first, the timer is disarmed and can only be deinitialised.
 */
#define aio_timer_init(ctx, ts, type, scale, cb, opaque) \
    aio_timer_init_full(ctx, ts, type, scale, cb, opaque, #cb)

/* As aio_timer_init(), with a @name that must stay valid for good (a literal, an interned string).
 */
void aio_timer_init_full(AioContext *ctx, QEMUTimer *ts, QEMUClockType type, int scale,
                         QEMUTimerCB *cb, void *opaque, const char *name);

/* As aio_timer_init(), on a new timer that the caller frees with timer_free(). Any thread. */
#define aio_timer_new(ctx, type, scale, cb, opaque) \
    aio_timer_new_full(ctx, type, scale, cb, opaque, #cb)

/* As aio_timer_new(), with a @name that must stay valid for good. */
QEMUTimer *aio_timer_new_full(AioContext *ctx, QEMUClockType type, int scale, QEMUTimerCB *cb,
                              void *opaque, const char *name);

/*
 * Arm @ts, pending or not, for @expire_time (timer_mod_ns: in ns; timer_mod: in the timer's scale),
 * an absolute time of its clock. A negative deadline counts as 0; one that does not fit counts as
 * the end of time. A deadline in the past fires in the next pass. Any thread; from another
 * thread than the home thread the loop is woken when its next deadline has become an earlier one.
 */
void timer_mod(QEMUTimer *ts, int64_t expire_time);
void timer_mod_ns(QEMUTimer *ts, int64_t expire_time);

/* As timer_mod_ns(), but a timer that is pending for an earlier time keeps that. Any thread. */
void timer_mod_anticipate_ns(QEMUTimer *ts, int64_t expire_time);

/*
 * Disarm @ts; does nothing when it is not pending. In the home thread its callback will not be
 * called any more; from another thread a call that has begun is not waited for. Any thread.
 */
void timer_del(QEMUTimer *ts);

/* Disarm @ts and undo aio_timer_init(). Allowed inside its own callback; threads as timer_del(). */
void timer_deinit(QEMUTimer *ts);

/* Disarm and free a timer of aio_timer_new(); NULL is ignored. Threads as timer_del(). */
void timer_free(QEMUTimer *ts);

/* Whether @ts is armed and its callback has not been called since. Any thread. */
bool timer_pending(QEMUTimer *ts);

/* The deadline of @ts in ns of its clock, or -1 when it is not pending. Any thread. */
int64_t timer_expire_time_ns(QEMUTimer *ts);

G_END_DECLS

#endif
