/*
 * aio_wait_bh_oneshot(): a callback in a context's home thread that the caller waits for.
 */
#include "config.h"

#include <semaphore.h>

#include "tests/unit/loop-fixture.h"

typedef struct Where {
    pthread_t thread;
    AioContext *current;
    int calls;
} Where;

static void note_where(void *opaque)
{
    Where *where = opaque;

    where->thread = pthread_self();
    where->current = qemu_get_current_aio_context();
    where->calls++;
}

static void test_from_a_plain_thread(Loop *loop)
{
    Where where = { 0 };

    loop_start(loop);
    for (int i = 1; i <= 100; i++) {
        aio_wait_bh_oneshot(loop->ctx, note_where, &where);
        g_assert_cmpint(where.calls, ==, i);
        g_assert_true(pthread_equal(where.thread, loop->thread));
        g_assert_true(where.current == loop->ctx);
    }
    loop_stop(loop);
}

static void test_from_the_home_thread(Loop *loop)
{
    Where where = { 0 };

    qemu_set_current_aio_context(loop->ctx);
    aio_wait_bh_oneshot(loop->ctx, note_where, &where);
    g_assert_cmpint(where.calls, ==, 1);
    g_assert_true(pthread_equal(where.thread, pthread_self()));
}

static void test_of_the_thread_that_drives_it(Loop *loop)
{
    Where where = { 0 };

    /* Not declared: driving it is enough to be its home. */
    loop_passes(loop, 1);
    g_assert_true(in_aio_context_home_thread(loop->ctx));
    aio_wait_bh_oneshot(loop->ctx, note_where, &where);
    g_assert_cmpint(where.calls, ==, 1);
}

typedef struct Nested {
    Loop *loop;
    Where where;
    atomic_bool done;
} Nested;

static void wait_in_a_callback(void *opaque)
{
    Nested *nested = opaque;

    aio_wait_bh_oneshot(nested->loop->ctx, note_where, &nested->where);
    atomic_store(&nested->done, true);
}

static void test_from_a_callback_of_its_own(Loop *loop)
{
    Nested nested = { .loop = loop };

    aio_bh_schedule_oneshot(loop->ctx, wait_in_a_callback, &nested);
    while (!atomic_load(&nested.done)) {
        loop_pass(loop, true);
    }
    g_assert_cmpint(nested.where.calls, ==, 1);
}

/* ---- from a thread that drives another context ---- */

typedef struct Meanwhile {
    sem_t ran;
    AioContext *ctx;
} Meanwhile;

static void post(void *opaque)
{
    sem_post(opaque);
}

/* In the home of the target: returns only when the waiting thread's own context has run. */
static void needs_the_other_loop(void *opaque)
{
    Meanwhile *meanwhile = opaque;

    aio_bh_schedule_oneshot(meanwhile->ctx, post, &meanwhile->ran);
    sem_wait(&meanwhile->ran);
}

static void test_own_loop_runs_meanwhile(Loop *loop)
{
    g_autoptr(Loop) own = loop_new_like(loop);
    Meanwhile meanwhile = { .ctx = own->ctx };

    sem_init(&meanwhile.ran, 0, 0);
    qemu_set_current_aio_context(own->ctx);
    loop_start(loop);
    for (int i = 0; i < 50; i++) {
        aio_wait_bh_oneshot(loop->ctx, needs_the_other_loop, &meanwhile);
    }
    loop_stop(loop);
    qemu_set_current_aio_context(NULL);
    sem_destroy(&meanwhile.ran);
}

static void test_two_loops_wait_for_each_other(Loop *loop)
{
    g_autoptr(Loop) other = loop_new_like(loop);
    Nested there = { .loop = other }, back = { .loop = loop };

    /* Each waits for the other, in a callback; both go on running, so both get their answer. */
    loop_start(loop);
    loop_start(other);
    aio_bh_schedule_oneshot(loop->ctx, wait_in_a_callback, &there);
    aio_bh_schedule_oneshot(other->ctx, wait_in_a_callback, &back);
    while (!atomic_load(&there.done) || !atomic_load(&back.done)) {
        sched_yield();
    }
    loop_stop(loop);
    loop_stop(other);
    g_assert_true(pthread_equal(there.where.thread, other->thread));
    g_assert_true(pthread_equal(back.where.thread, loop->thread));
}

/* ---- current context and home ---- */

static void *plain_thread(void *opaque)
{
    Loop *loop = opaque;

    g_assert_null(qemu_get_current_aio_context());
    g_assert_false(in_aio_context_home_thread(loop->ctx));
    return NULL;
}

static void test_home_and_current(Loop *loop)
{
    g_assert_null(qemu_get_current_aio_context());
    qemu_set_current_aio_context(loop->ctx);
    g_assert_true(qemu_get_current_aio_context() == loop->ctx);
    g_assert_true(in_aio_context_home_thread(loop->ctx));
    test_thread_join(test_thread_start(plain_thread, loop));
    qemu_set_current_aio_context(NULL);
    g_assert_null(qemu_get_current_aio_context());
}

static void *drive_once(void *opaque)
{
    Loop *loop = opaque;

    loop_pass(loop, false);
    g_assert_true(in_aio_context_home_thread(loop->ctx));
    return NULL;
}

static void *assert_not_home(void *opaque)
{
    Loop *loop = opaque;

    g_assert_false(in_aio_context_home_thread(loop->ctx));
    return NULL;
}

/* The new thread once passed for the old one, whose memory it was given. */
static void test_home_thread_has_ended(Loop *loop)
{
    test_thread_join(test_thread_start(drive_once, loop));
    test_thread_join(test_thread_start(assert_not_home, loop));
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    loop_test_add("from-a-plain-thread", test_from_a_plain_thread);
    loop_test_add("from-the-home-thread", test_from_the_home_thread);
    loop_test_add("from-the-thread-that-drives-it", test_of_the_thread_that_drives_it);
    loop_test_add("from-a-callback-of-its-own", test_from_a_callback_of_its_own);
    loop_test_add("own-loop-runs-meanwhile", test_own_loop_runs_meanwhile);
    loop_test_add("two-loops-wait-for-each-other", test_two_loops_wait_for_each_other);
    loop_test_add("home-and-current-context", test_home_and_current);
    loop_test_add("home-thread-has-ended", test_home_thread_has_ended);
    return g_test_run();
}
