/*
 * The seam between the measurements and the loops that they compare.
 *
 * A loop, ours or a peer's, is a table of operations in a file of its own (loop-*.c); a measurement
 * is written once, against the table. Every loop is used as its documentation recommends, and
 * does the same work for the seam: one indirect call from the loop's own callback to the
 * measurement's, one from the measurement to arm a timer or to trigger a call. Watches, timers and
 * calls are allocated by the measurement, many in one array, with the loop's own structure embedded
 * where the loop allows that.
 *
 * An operation that a loop has nothing for is NULL: "n/a". Nothing is ever taken down: a
 * measuring program ends together with its loop.
 */
#ifndef BENCH_LOOP_H
#define BENCH_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct LoopFd LoopFd;
typedef struct LoopTimer LoopTimer;
typedef struct LoopCall LoopCall;

/* What each element of such an array begins on: a cache line, so that none straddles two where it
 * would fit into one. */
#define LOOP_LINE 64

/* A descriptor watched for reading, level-triggered. */
struct LoopFd {
    void (*ready)(LoopFd *watch);
    int fd;
    int to; /* the measurement's own */
};

struct LoopTimer {
    void (*due)(LoopTimer *timer);
};

/* What can be asked for again and again, to run once on its loop. */
struct LoopCall {
    void (*run)(LoopCall *call);
};

/* What a loop is to be good for, where that has to be known when it is made. */
typedef enum {
    LOOP_THREADS = 1, /* other threads trigger calls and post oneshots */
    LOOP_PRECISE = 2, /* timers as precise as it can */
} LoopFlags;

typedef struct LoopOps {
    const char *name;

    void *(*open)(LoopFlags flags);

    /* Dispatch until a callback calls stop(). Always in the same thread. */
    void (*run)(void *loop);
    void (*stop)(void *loop);

    /* One pass that does not wait. */
    void (*pass)(void *loop);

    /* Poll for up to @max_ns before blocking; 0: never. A loop without this never does. */
    void (*set_polling)(void *loop, int64_t max_ns);

    size_t fd_size; /* of LoopFd with the loop's own part; so below */
    void (*fd_start)(void *loop, LoopFd *watch);

    /*
     * timer_start() arms a timer that is not pending, timer_again() one that is, for @after_ns from
     * now. "Now" is what the loop keeps from the beginning of its pass, or from update_now() when
     * that was called since: no loop reads the clock for each timer.
     */
    size_t timer_size;
    void (*timer_init)(void *loop, LoopTimer *timer);
    void (*timer_start)(void *loop, LoopTimer *timer, int64_t after_ns);
    void (*timer_again)(void *loop, LoopTimer *timer, int64_t after_ns);
    void (*update_now)(void *loop);

    /* A call that any thread may trigger; triggers may coalesce. */
    size_t call_size;
    void (*call_init)(void *loop, LoopCall *call);
    void (*call_trigger)(LoopCall *call);

    /* Run @call once on the loop for each post(), which any thread may call. It needs no init. */
    void (*post)(void *loop, LoopCall *call);

    /* A call that only the loop's own thread schedules, for this or the next pass; and the least
     * that runs those that are scheduled. */
    size_t later_size;
    void (*later_init)(void *loop, LoopCall *call);
    void (*later_schedule)(LoopCall *call);
    void (*later_run)(void *loop);
} LoopOps;

/* The loop called @name. Ends the program when there is none, or it was not there at build time. */
const LoopOps *bench_loop(const char *name);

/* The one argument left at @index: the name of a loop. Ends the program otherwise. */
const LoopOps *bench_loop_argument(int argc, char **argv, int index);

/* End the program with the status that stands for "n/a": @ops has no @what. */
_Noreturn void bench_loop_lacks(const LoopOps *ops, const char *what);

/* @count zeroed elements of @size bytes, the first of them on a cache line. */
void *bench_loop_array(size_t count, size_t size);

/* The tables, in loop-*.c. */
extern const LoopOps loop_aio_io_uring_ops;
extern const LoopOps loop_aio_epoll_ops;
extern const LoopOps loop_aio_poll_ops;
extern const LoopOps loop_bare_ops;
extern const LoopOps loop_glib_ops;
extern const LoopOps loop_libev_ops;
extern const LoopOps loop_libevent_ops;
extern const LoopOps loop_libuv_ops;
extern const LoopOps loop_sd_event_ops;

#endif
