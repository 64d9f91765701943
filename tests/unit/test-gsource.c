/*
 * What is particular to a context as a GSource; that it behaves like aio_poll() otherwise, the
 * other tests say.
 */
#include "config.h"

#include <liburing.h>
#include <unistd.h>

#include "tests/unit/loop-fixture.h"

static void test_same_source_each_time(Loop *loop)
{
    GSource *first = aio_get_g_source(loop->ctx);
    GSource *second = aio_get_g_source(loop->ctx);

    g_assert_true(first == second);
    g_source_unref(first);
    g_source_unref(second);
    loop_passes(loop, 1);
}

static void test_source_outlives_the_context(Loop *loop)
{
    Loop *other = loop_new_like(loop);
    GSource *source = aio_get_g_source(other->ctx);

    loop_passes(other, 1);
    g_assert_false(g_source_is_destroyed(source));
    g_clear_pointer(&other->ctx, aio_context_unref);
    g_assert_true(g_source_is_destroyed(source));
    loop_passes(other, 1);
    g_source_unref(source);
    loop_free(other);
}

/* How many descriptors the GMainContext polls when there is nothing to do. */
static int count_polled(Loop *loop)
{
    GMainContext *main_context = loop->main_context;
    gint max_priority, timeout_ms;
    GPollFD fds[512];

    loop_passes(loop, 3);
    g_assert_true(g_main_context_acquire(main_context));
    g_main_context_prepare(main_context, &max_priority);
    int n = g_main_context_query(main_context, max_priority, &timeout_ms, fds, 512);
    g_assert_cmpint(n, <=, 512);
    g_main_context_check(main_context, max_priority, fds, n);
    g_main_context_release(main_context);
    return n;
}

static void test_descriptors_in_the_poll_set(Loop *loop)
{
    enum {
        N = 100
    };
    int fds[N][2], reads = 0;

    int before = count_polled(loop);
    for (int i = 0; i < N; i++) {
        test_pipe(fds[i]);
        aio_set_fd_handler(loop->ctx, fds[i][0], test_count, NULL, NULL, NULL, &reads);
    }
    int with_handlers = count_polled(loop);
    /* Only the "poll" monitor has no descriptor that stands for all. */
    g_assert_cmpint(with_handlers, ==, loop->fdmon == AIO_FDMON_POLL ? before + N : before);

    for (int i = 0; i < N; i++) {
        aio_set_fd_handler(loop->ctx, fds[i][0], NULL, NULL, NULL, NULL, NULL);
        test_close(fds[i]);
    }
    g_assert_cmpint(count_polled(loop), ==, before);
}

static void test_timer_adds_one_descriptor(Loop *loop)
{
    int fires = 0;
    QEMUTimer *timers[10];

    int before = count_polled(loop);
    for (int i = 0; i < 10; i++) {
        timers[i] = aio_timer_new(loop->ctx, QEMU_CLOCK_REALTIME, SCALE_NS, test_count, &fires);
        timer_mod_ns(timers[i], INT64_MAX / 2 + i);
    }
    g_assert_cmpint(count_polled(loop), ==, before + 1);
    for (int i = 0; i < 10; i++) {
        timer_free(timers[i]);
    }
    g_assert_cmpint(fires, ==, 0);
}

static gboolean count_and_go_on(gpointer opaque)
{
    test_count(opaque);
    return G_SOURCE_CONTINUE;
}

static void test_glib_sources_run_too(Loop *loop)
{
    int idles = 0, runs = 0, reads = 0;
    int fds[2];
    GSource *idle = g_timeout_source_new(0);

    g_source_set_callback(idle, count_and_go_on, &idles, NULL);
    g_source_attach(idle, loop->main_context);
    test_pipe(fds);
    test_write_byte(fds[1]);
    aio_set_fd_handler(loop->ctx, fds[0], test_count, NULL, NULL, NULL, &reads);
    while (idles < 5 || reads < 5) {
        loop_pass(loop, true);
    }
    aio_bh_schedule_oneshot(loop->ctx, test_count, &runs);
    while (runs == 0) {
        loop_pass(loop, true);
    }
    aio_set_fd_handler(loop->ctx, fds[0], NULL, NULL, NULL, NULL, NULL);
    test_close(fds);
    g_source_destroy(idle);
    g_source_unref(idle);
}

typedef struct Quit {
    GMainLoop *main_loop;
    int left;
} Quit;

static void quit_when_done(void *opaque)
{
    Quit *quit = opaque;

    if (--quit->left == 0) {
        g_main_loop_quit(quit->main_loop);
    }
}

static void test_g_main_loop_run(Loop *loop)
{
    Quit quit = { g_main_loop_new(loop->main_context, FALSE), 3 };
    QEMUTimer *timer =
        aio_timer_new(loop->ctx, QEMU_CLOCK_REALTIME, SCALE_NS, quit_when_done, &quit);
    QEMUBH *bh = aio_bh_new(loop->ctx, quit_when_done, &quit);

    timer_mod_ns(timer, qemu_clock_get_ns(QEMU_CLOCK_REALTIME) + 1000000);
    qemu_bh_schedule(bh);
    aio_bh_schedule_oneshot(loop->ctx, quit_when_done, &quit);
    g_main_loop_run(quit.main_loop);
    g_assert_cmpint(quit.left, ==, 0);
    qemu_bh_delete(bh);
    timer_free(timer);
    g_main_loop_unref(quit.main_loop);
}

static void test_driven_in_both_ways_in_turn(Loop *loop)
{
    int runs = 0, fires = 0, reads = 0;
    int fds[2];
    QEMUTimer *timer = aio_timer_new(loop->ctx, QEMU_CLOCK_REALTIME, SCALE_NS, test_count, &fires);

    /* Neither leaves behind what the other stumbles over. */
    test_pipe(fds);
    test_write_byte(fds[1]);
    aio_set_fd_handler(loop->ctx, fds[0], test_count, NULL, NULL, NULL, &reads);
    for (int i = 1; i <= 20; i++) {
        aio_bh_schedule_oneshot(loop->ctx, test_count, &runs);
        timer_mod_ns(timer, qemu_clock_get_ns(QEMU_CLOCK_REALTIME) + 10000);
        reads = 0;
        while (runs < i || fires < i || reads == 0) {
            if (i % 2) {
                aio_poll(loop->ctx, true);
            } else {
                loop_pass(loop, true);
            }
        }
    }
    aio_set_fd_handler(loop->ctx, fds[0], NULL, NULL, NULL, NULL, NULL);
    test_close(fds);
    timer_free(timer);
}

static void drop_it(void *opaque)
{
    Loop *loop = opaque;

    g_clear_pointer(&loop->ctx, aio_context_unref);
}

static void test_last_reference_dropped_in_a_callback(Loop *loop)
{
    Loop *other = loop_new_like(loop);

    aio_bh_schedule_oneshot(other->ctx, drop_it, other);
    while (other->ctx) {
        loop_pass(other, true);
    }
    loop_passes(other, 2);
    loop_free(other);
}

/* ---- driven by hand ---- */

/* A source of GLib's that calls @func once when it is asked to prepare. */
typedef struct PreparingSource {
    GSource source;
    void (*func)(struct PreparingSource *self);
    AioContext *ctx;
    int fd;
    int calls;
    CqeHandler request;
} PreparingSource;

static gboolean prepare_func(GSource *source, gint *timeout_ms)
{
    PreparingSource *self = (PreparingSource *)source;

    *timeout_ms = -1;
    if (self->func) {
        g_steal_pointer (&self->func)(self);
    }
    return FALSE;
}

static void set_handler(PreparingSource *self)
{
    aio_set_fd_handler(self->ctx, self->fd, test_count, NULL, NULL, NULL, &self->calls);
}

static void prep_nop(struct io_uring_sqe *sqe, void *opaque)
{
    io_uring_prep_nop(sqe);
}

static void count_request(CqeHandler *handler)
{
    ((PreparingSource *)((char *)handler - offsetof(PreparingSource, request)))->calls++;
}

static void add_request(PreparingSource *self)
{
    self->request.cb = count_request;
    aio_add_sqe(self->ctx, prep_nop, NULL, &self->request);
}

/* Have @func called when the context has prepared for its wait already, and wait for a callback. */
static void call_after_prepare(Loop *loop, void (*func)(PreparingSource *self))
{
    GSourceFuncs funcs = { .prepare = prepare_func };
    GSource *source = g_source_new(&funcs, sizeof(PreparingSource));
    PreparingSource *self = (PreparingSource *)source;
    int fds[2];

    test_pipe(fds);
    test_write_byte(fds[1]);
    loop_passes(loop, 3);
    self->func = func;
    self->ctx = loop->ctx;
    self->fd = fds[0];
    g_source_set_priority(source, G_PRIORITY_LOW);
    g_source_attach(source, loop->main_context);
    while (self->calls == 0) {
        loop_pass(loop, true);
    }
    aio_set_fd_handler(loop->ctx, fds[0], NULL, NULL, NULL, NULL, NULL);
    g_source_destroy(source);
    g_source_unref(source);
    test_close(fds);
}

static void test_handler_set_while_another_source_prepares(Loop *loop)
{
    call_after_prepare(loop, set_handler);
}

static void test_request_made_while_another_source_prepares(Loop *loop)
{
    call_after_prepare(loop, add_request);
}

/* Make a descriptor ready, and have the context call its handler once. */
static void call_once(PreparingSource *self)
{
    test_write_byte(self->fd);
    while (self->calls == 0) {
        aio_poll(self->ctx, false);
    }
}

static void test_ready_still_after_another_source_prepares(Loop *loop)
{
    GSourceFuncs funcs = { .prepare = prepare_func };
    GSource *source = g_source_new(&funcs, sizeof(PreparingSource));
    PreparingSource *self = (PreparingSource *)source;
    int fds[2];

    test_pipe(fds);
    aio_set_fd_handler(loop->ctx, fds[0], test_count, NULL, NULL, NULL, &self->calls);
    loop_passes(loop, 3);
    self->func = call_once;
    self->ctx = loop->ctx;
    self->fd = fds[1];
    g_source_set_priority(source, G_PRIORITY_LOW);
    g_source_attach(source, loop->main_context);
    while (self->calls < 2) {
        loop_pass(loop, true);
    }
    aio_set_fd_handler(loop->ctx, fds[0], NULL, NULL, NULL, NULL, NULL);
    g_source_destroy(source);
    g_source_unref(source);
    test_close(fds);
}

static void test_prepare_pending_dispatch(Loop *loop)
{
    int runs = 0, reads = 0, fires = 0;
    int fds[2];
    QEMUTimer *timer = aio_timer_new(loop->ctx, QEMU_CLOCK_REALTIME, SCALE_NS, test_count, &fires);

    test_pipe(fds);
    aio_set_fd_handler(loop->ctx, fds[0], test_count, NULL, NULL, NULL, &reads);
    aio_poll(loop->ctx, false);
    g_assert_false(aio_prepare(loop->ctx));
    g_assert_false(aio_pending(loop->ctx));

    aio_bh_schedule_oneshot(loop->ctx, test_count, &runs);
    g_assert_true(aio_prepare(loop->ctx));
    g_assert_true(aio_pending(loop->ctx));
    aio_dispatch(loop->ctx);
    g_assert_cmpint(runs, ==, 1);
    g_assert_false(aio_pending(loop->ctx));

    test_write_byte(fds[1]);
    g_assert_true(aio_pending(loop->ctx));
    aio_dispatch(loop->ctx);
    g_assert_cmpint(reads, ==, 1);
    test_read_byte(fds[0]);
    g_assert_false(aio_pending(loop->ctx));

    timer_mod(timer, 0);
    g_assert_true(aio_prepare(loop->ctx));
    g_assert_true(aio_pending(loop->ctx));
    aio_dispatch(loop->ctx);
    g_assert_cmpint(fires, ==, 1);
    g_assert_false(aio_pending(loop->ctx));

    aio_set_fd_handler(loop->ctx, fds[0], NULL, NULL, NULL, NULL, NULL);
    test_close(fds);
    timer_free(timer);
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    loop_test_add_gsource("same-source-each-time", test_same_source_each_time);
    loop_test_add_gsource("source-outlives-the-context", test_source_outlives_the_context);
    loop_test_add_gsource("descriptors-in-the-poll-set", test_descriptors_in_the_poll_set);
    loop_test_add_gsource("timers-add-one-descriptor", test_timer_adds_one_descriptor);
    loop_test_add_gsource("glib-sources-run-too", test_glib_sources_run_too);
    loop_test_add_gsource("g-main-loop-run", test_g_main_loop_run);
    loop_test_add_gsource("driven-in-both-ways-in-turn", test_driven_in_both_ways_in_turn);
    loop_test_add_gsource("handler-set-while-another-source-prepares",
                          test_handler_set_while_another_source_prepares);
    loop_test_add_gsource("request-made-while-another-source-prepares",
                          test_request_made_while_another_source_prepares);
    loop_test_add_gsource("ready-still-after-another-source-prepares",
                          test_ready_still_after_another_source_prepares);
    loop_test_add_gsource("last-reference-dropped-in-a-callback",
                          test_last_reference_dropped_in_a_callback);
    loop_test_add_aio_poll("prepare-pending-dispatch", test_prepare_pending_dispatch);
    return g_test_run();
}
