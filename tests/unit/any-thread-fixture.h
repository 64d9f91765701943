/*
 * What the tests of threads without a loop share: workers that use sources on contexts which other
 * threads drive, while one context after the other comes and goes and the main thread reads
 * statistics and changes a clock.
 *
 * A source is used for a few operations, a session, by one thread on one context. Its end is
 * acknowledged by a oneshot that is posted after the source was removed: when it runs, no callback
 * of the source may come any more. Sources stay until the end of the test, so that one which comes
 * is noticed without a sanitizer too.
 */
#ifndef TESTS_UNIT_ANY_THREAD_FIXTURE_H
#define TESTS_UNIT_ANY_THREAD_FIXTURE_H

#include "tests/unit/loop-fixture.h"

/* Contexts that are there all the time, number 0 and up; one more, the next number, comes and goes.
 */
#define N_LASTING 2

typedef struct Stage Stage;

typedef struct Source {
    atomic_bool gone;   /* its end was acknowledged */
    bool must_have_run; /* before that */
    atomic_int calls;   /* of callbacks */
    atomic_int *left;   /* of all sources, those whose end is not acknowledged */
    int64_t not_before; /* no deadline that the timer was given is sooner */
    bool deletes;       /* the callback deletes the timer, which was armed once */
    QEMUTimer *timer;
    struct Source *next;
} Source;

/* What one thread posts to one context. */
typedef struct Order {
    int posted;
    int run; /* home thread of the context */
} Order;

typedef struct Post {
    Order *order;
    int number;
} Post;

typedef struct Worker {
    Stage *stage;
    uint32_t seed;
    int operations; /* that are left */
    Source *sources;
    Order orders[N_LASTING];
    Post *posts;
    int n_posts;
} Worker;

/* Use a source on @ctx, which has this number. */
typedef void SessionFunc(Worker *worker, AioContext *ctx, int number);

/* Let workers do test_scaled(@operations) together on contexts like @loop, and assert that every
 * source is gone, every post was run, and every descriptor given back. */
void any_thread_run(Loop *loop, SessionFunc *session, int operations);

Source *source_new(Worker *worker);

/* For a oneshot, when @opaque, a Source, was removed. */
void source_acknowledge(void *opaque);

/* A callback of @opaque, a Source. */
void source_called(void *opaque);

/* Count one operation; false when none is left. */
bool worker_take_operation(Worker *worker);

/* Post to @ctx, one of the lasting, a oneshot that asserts its place in the order. */
void worker_post(Worker *worker, AioContext *ctx, int number);

#endif
