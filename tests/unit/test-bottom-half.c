/*
 * Bottom halves: scheduled, cancelled and deleted, in order, exactly once, and never so that they
 * keep other work out.
 */
#include "config.h"

#include <unistd.h>

#include "tests/unit/loop-fixture.h"

static void test_scheduled_often_runs_once(Loop *loop)
{
    int count = 0;
    QEMUBH *bh = aio_bh_new(loop->ctx, test_count, &count);

    loop_passes(loop, 2);
    g_assert_cmpint(count, ==, 0);
    for (int i = 1; i <= 3; i++) {
        for (int j = 0; j < 5; j++) {
            qemu_bh_schedule(bh);
        }
        while (count < i) {
            loop_pass(loop, true);
        }
        loop_passes(loop, 3);
        g_assert_cmpint(count, ==, i);
    }
    qemu_bh_delete(bh);
}

typedef struct Rescheduler {
    QEMUBH *bh;
    int runs;
    int limit;
} Rescheduler;

static void reschedule(void *opaque)
{
    Rescheduler *rescheduler = opaque;

    if (++rescheduler->runs < rescheduler->limit) {
        qemu_bh_schedule(rescheduler->bh);
        qemu_bh_schedule(rescheduler->bh);
    }
}

static void test_scheduled_while_it_runs(Loop *loop)
{
    Rescheduler rescheduler = { .limit = 3 };

    rescheduler.bh = aio_bh_new(loop->ctx, reschedule, &rescheduler);
    qemu_bh_schedule(rescheduler.bh);
    for (int i = 1; i <= 3; i++) {
        loop_pass(loop, true);
        g_assert_cmpint(rescheduler.runs, ==, i);
    }
    loop_passes(loop, 3);
    g_assert_cmpint(rescheduler.runs, ==, 3);
    qemu_bh_delete(rescheduler.bh);
}

static void test_endless_one_starves_nobody(Loop *loop)
{
    Rescheduler rescheduler = { .limit = INT_MAX };
    int reads = 0, fires = 0, others = 0;
    int fds[2];

    rescheduler.bh = aio_bh_new(loop->ctx, reschedule, &rescheduler);
    qemu_bh_schedule(rescheduler.bh);
    test_pipe(fds);
    test_write_byte(fds[1]);
    aio_set_fd_handler(loop->ctx, fds[0], test_count, NULL, NULL, NULL, &reads);
    QEMUTimer *timer = aio_timer_new(loop->ctx, QEMU_CLOCK_REALTIME, SCALE_NS, test_count, &fires);
    timer_mod(timer, 0);
    aio_bh_schedule_oneshot(loop->ctx, test_count, &others);
    while (reads < 3 || fires < 1 || others < 1) {
        loop_pass(loop, true);
    }
    aio_set_fd_handler(loop->ctx, fds[0], NULL, NULL, NULL, NULL, NULL);
    test_close(fds);
    timer_free(timer);
    qemu_bh_delete(rescheduler.bh);
}

static void test_cancelled(Loop *loop)
{
    int count = 0;
    QEMUBH *bh = aio_bh_new(loop->ctx, test_count, &count);

    qemu_bh_cancel(bh);
    qemu_bh_schedule(bh);
    qemu_bh_cancel(bh);
    loop_passes(loop, 3);
    g_assert_cmpint(count, ==, 0);

    qemu_bh_schedule(bh);
    qemu_bh_cancel(bh);
    qemu_bh_schedule(bh);
    loop_passes(loop, 3);
    g_assert_cmpint(count, ==, 1);
    qemu_bh_delete(bh);
}

static void test_deleted_while_scheduled(Loop *loop)
{
    int count = 0;
    QEMUBH *bh = aio_bh_new(loop->ctx, test_count, &count);

    qemu_bh_schedule(bh);
    qemu_bh_delete(bh);
    qemu_bh_delete(NULL);
    loop_passes(loop, 3);
    g_assert_cmpint(count, ==, 0);
}

static void delete_it(void *opaque)
{
    QEMUBH **bh = opaque;

    g_clear_pointer(bh, qemu_bh_delete);
}

static void cancel_it(void *opaque)
{
    QEMUBH **bh = opaque;

    qemu_bh_cancel(*bh);
}

static void test_deletes_itself(Loop *loop)
{
    QEMUBH *bh = aio_bh_new(loop->ctx, delete_it, &bh);

    qemu_bh_schedule(bh);
    while (bh) {
        loop_pass(loop, true);
    }
    loop_passes(loop, 3);
}

static void schedule_and_delete_it(void *opaque)
{
    QEMUBH **bh = opaque;

    qemu_bh_schedule(*bh);
    g_clear_pointer(bh, qemu_bh_delete);
}

static void test_schedules_and_deletes_itself(Loop *loop)
{
    QEMUBH *bh = aio_bh_new(loop->ctx, schedule_and_delete_it, &bh);

    qemu_bh_schedule(bh);
    while (bh) {
        loop_pass(loop, true);
    }
    loop_passes(loop, 3);
}

static void test_one_before_it_takes_it_out(Loop *loop)
{
    int count = 0;
    QEMUBH *victim = aio_bh_new(loop->ctx, test_count, &count);
    QEMUBH *canceller = aio_bh_new(loop->ctx, cancel_it, &victim);
    QEMUBH *deleter = aio_bh_new(loop->ctx, delete_it, &victim);

    qemu_bh_schedule(canceller);
    qemu_bh_schedule(victim);
    loop_passes(loop, 3);
    g_assert_cmpint(count, ==, 0);

    qemu_bh_schedule(deleter);
    qemu_bh_schedule(victim);
    loop_passes(loop, 3);
    g_assert_cmpint(count, ==, 0);
    g_assert_null(victim);
    qemu_bh_delete(canceller);
    qemu_bh_delete(deleter);
}

/* ---- order ---- */

typedef struct Ordered {
    GArray *log; /* of int */
    int number;
} Ordered;

static void log_number(void *opaque)
{
    Ordered *ordered = opaque;

    g_array_append_val(ordered->log, ordered->number);
}

static void assert_in_order(GArray *log, guint n)
{
    g_assert_cmpuint(log->len, ==, n);
    for (guint i = 0; i < n; i++) {
        g_assert_cmpint(g_array_index(log, int, i), ==, (int)i);
    }
}

static void test_order_of_one_thread(Loop *loop)
{
    enum {
        N = 100
    };
    g_autoptr(GArray) log = g_array_new(FALSE, FALSE, sizeof(int));
    Ordered ordered[N];
    QEMUBH *bhs[N] = { NULL };

    for (int i = 0; i < N; i++) {
        ordered[i] = (Ordered){ log, i };
        if (i % 3 == 0) {
            bhs[i] = aio_bh_new(loop->ctx, log_number, &ordered[i]);
        }
    }
    for (int i = 0; i < N; i++) {
        if (bhs[i]) {
            qemu_bh_schedule(bhs[i]);
        } else {
            aio_bh_schedule_oneshot(loop->ctx, log_number, &ordered[i]);
        }
    }
    while (log->len < N) {
        loop_pass(loop, true);
    }
    loop_passes(loop, 3);
    assert_in_order(log, N);
    for (int i = 0; i < N; i++) {
        qemu_bh_delete(bhs[i]);
    }
}

#define BURST 20000

typedef struct Burst {
    AioContext *ctx;
    GArray *log;
    Ordered *ordered;
    atomic_int done;
} Burst;

static void burst_is_over(void *opaque)
{
    Burst *burst = opaque;

    atomic_store(&burst->done, 1);
}

static void *burst_thread(void *opaque)
{
    Burst *burst = opaque;

    for (int i = 0; i < BURST; i++) {
        burst->ordered[i] = (Ordered){ burst->log, i };
        aio_bh_schedule_oneshot(burst->ctx, log_number, &burst->ordered[i]);
    }
    aio_bh_schedule_oneshot(burst->ctx, burst_is_over, burst);
    return NULL;
}

static void test_burst_from_another_thread(Loop *loop)
{
    Burst burst = {
        .ctx = loop->ctx,
        .log = g_array_new(FALSE, FALSE, sizeof(int)),
        .ordered = g_new0(Ordered, BURST),
    };
    pthread_t thread = test_thread_start(burst_thread, &burst);

    while (!atomic_load(&burst.done)) {
        loop_pass(loop, true);
    }
    test_thread_join(thread);
    assert_in_order(burst.log, BURST);
    g_array_unref(burst.log);
    g_free(burst.ordered);
}

/* ---- oneshots ---- */

typedef struct Chain {
    AioContext *ctx;
    int left;
} Chain;

static void chain_next(void *opaque)
{
    Chain *chain = opaque;

    if (--chain->left > 0) {
        aio_bh_schedule_oneshot(chain->ctx, chain_next, chain);
    }
}

static void test_oneshot_that_queues_another(Loop *loop)
{
    Chain chain = { loop->ctx, 3 };

    aio_bh_schedule_oneshot(loop->ctx, chain_next, &chain);
    for (int left = 2; left >= 0; left--) {
        loop_pass(loop, true);
        g_assert_cmpint(chain.left, ==, left);
    }
    loop_passes(loop, 3);
    g_assert_cmpint(chain.left, ==, 0);
}

static void test_oneshots_left_at_the_end(Loop *loop)
{
    enum {
        N = 10
    };
    g_autoptr(GArray) log = g_array_new(FALSE, FALSE, sizeof(int));
    Loop *other = loop_new_like(loop);
    Ordered ordered[N];
    Chain chain = { other->ctx, 3 };
    int plain = 0;

    for (int i = 0; i < N; i++) {
        ordered[i] = (Ordered){ log, i };
        aio_bh_schedule_oneshot(other->ctx, log_number, &ordered[i]);
    }
    QEMUBH *bh = aio_bh_new(other->ctx, test_count, &plain);
    qemu_bh_schedule(bh);
    qemu_bh_delete(bh);
    aio_bh_schedule_oneshot(other->ctx, chain_next, &chain);
    loop_free(other);
    assert_in_order(log, N);
    g_assert_cmpint(chain.left, ==, 0);
    g_assert_cmpint(plain, ==, 0);
}

static void append_a(void *opaque)
{
    g_string_append_c(opaque, 'a');
}

static void append_b(void *opaque)
{
    g_string_append_c(opaque, 'b');
}

static void test_cancelled_keeps_its_place(Loop *loop)
{
    GString *order = g_string_new(NULL);
    QEMUBH *a = aio_bh_new(loop->ctx, append_a, order);
    QEMUBH *b = aio_bh_new(loop->ctx, append_b, order);

    qemu_bh_schedule(a);
    qemu_bh_cancel(a);
    qemu_bh_schedule(b);
    qemu_bh_schedule(a);
    loop_pass(loop, true);
    g_assert_cmpstr(order->str, ==, "ab");
    qemu_bh_delete(a);
    qemu_bh_delete(b);
    g_string_free(order, TRUE);
}

/* ---- idle ones ---- */

static void test_idle_one_runs(Loop *loop)
{
    int count = 0;
    QEMUBH *bh = aio_bh_new(loop->ctx, test_count, &count);

    qemu_bh_schedule_idle(bh);
    while (count == 0) {
        loop_pass(loop, true);
    }
    loop_passes(loop, 3);
    g_assert_cmpint(count, ==, 1);

    /* Idle at first, then wanted at once. */
    qemu_bh_schedule_idle(bh);
    qemu_bh_schedule(bh);
    loop_pass(loop, false);
    g_assert_cmpint(count, ==, 2);
    loop_passes(loop, 3);
    g_assert_cmpint(count, ==, 2);

    qemu_bh_schedule_idle(bh);
    qemu_bh_cancel(bh);
    loop_passes(loop, 3);
    g_assert_cmpint(count, ==, 2);
    qemu_bh_delete(bh);
}

/* One that scheduled itself in each call once kept the loop from sleeping at all. */
static void test_idle_one_lets_the_loop_sleep(Loop *loop)
{
    int count = 0;
    QEMUBH *bh = aio_bh_new(loop->ctx, test_count, &count);

    loop_passes(loop, 2);
    qemu_bh_schedule_idle(bh);
    g_assert_false(aio_prepare(loop->ctx));
    aio_pending(loop->ctx);
    qemu_bh_delete(bh);
}

static void count_atomically(void *opaque)
{
    atomic_int *count = opaque;

    atomic_fetch_add(count, 1);
}

static void test_idle_one_of_another_thread(Loop *loop)
{
    atomic_int count = 0;
    QEMUBH *bh = aio_bh_new(loop->ctx, count_atomically, &count);

    loop_start(loop);
    for (int i = 1; i <= 20; i++) {
        loop_wait_until_idle(loop);
        qemu_bh_schedule_idle(bh);
        while (atomic_load(&count) < i) { /* would hang */
            sched_yield();
        }
    }
    loop_stop(loop);
    qemu_bh_delete(bh);
}

static void test_idle_one_is_no_progress(Loop *loop)
{
    int count = 0;
    QEMUBH *bh = aio_bh_new(loop->ctx, test_count, &count);

    qemu_bh_schedule_idle(bh);
    g_assert_false(loop_pass(loop, false));
    while (count == 0) {
        g_assert_false(loop_pass(loop, true));
    }
    qemu_bh_schedule_idle(bh);
    qemu_bh_schedule(bh);
    g_assert_true(loop_pass(loop, false));
    qemu_bh_delete(bh);
}

static void test_bh_poll(Loop *loop)
{
    int count = 0;
    QEMUBH *bh = aio_bh_new(loop->ctx, test_count, &count);

    g_assert_cmpint(aio_bh_poll(loop->ctx), ==, 0);
    qemu_bh_schedule(bh);
    g_assert_cmpint(aio_bh_poll(loop->ctx), ==, 1);
    g_assert_cmpint(aio_bh_poll(loop->ctx), ==, 0);
    g_assert_cmpint(count, ==, 1);
    qemu_bh_schedule_idle(bh);
    g_assert_cmpint(aio_bh_poll(loop->ctx), ==, 0);
    g_assert_cmpint(count, ==, 2);
    aio_bh_schedule_oneshot(loop->ctx, test_count, &count);
    g_assert_cmpint(aio_bh_poll(loop->ctx), ==, 1);
    g_assert_cmpint(count, ==, 3);
    qemu_bh_delete(bh);
}

static void test_progress(Loop *loop)
{
    int count = 0;

    g_assert_false(loop_pass(loop, false));
    aio_bh_schedule_oneshot(loop->ctx, test_count, &count);
    g_assert_true(loop_pass(loop, true));
    g_assert_false(loop_pass(loop, false));
}

/* ---- other threads ---- */

static void nothing(void *opaque)
{
}

static void test_deleted_by_another_thread(Loop *loop)
{
    int count = 0;

    loop_start(loop);
    for (int i = 0; i < 500; i++) {
        QEMUBH *bh = aio_bh_new(loop->ctx, test_count, &count);
        qemu_bh_schedule(bh);
        if (i % 2) {
            qemu_bh_cancel(bh);
        }
        qemu_bh_delete(bh);
    }
    /* Whatever had begun has ended by now; nothing comes after. */
    aio_wait_bh_oneshot(loop->ctx, nothing, NULL);
    int so_far = count;
    aio_wait_bh_oneshot(loop->ctx, nothing, NULL);
    loop_stop(loop);
    g_assert_cmpint(count, ==, so_far);
    g_assert_cmpint(count, <=, 500);
}

/* ---- the end of the context ---- */

static void reference_briefly(void *opaque)
{
    Loop *loop = opaque;

    aio_context_ref(loop->ctx);
    aio_context_unref(loop->ctx);
}

static void test_reference_in_the_last_oneshot(Loop *loop)
{
    aio_bh_schedule_oneshot(loop->ctx, reference_briefly, loop);
    aio_context_unref(loop->ctx);
    loop->ctx = NULL;
}

typedef struct Repeating {
    QEMUBH *bh;
    int count;
} Repeating;

static void repeat(void *opaque)
{
    Repeating *repeating = opaque;

    repeating->count++;
    qemu_bh_schedule(repeating->bh);
}

static void delete_repeating(void *opaque)
{
    Repeating *repeating = opaque;

    qemu_bh_delete(repeating->bh);
}

/* It ran at the end of the context once, and then, scheduling itself, for ever. */
static void test_scheduled_at_the_end(Loop *loop)
{
    Repeating repeating = { .bh = aio_bh_new(loop->ctx, repeat, &repeating) };

    qemu_bh_schedule(repeating.bh);
    aio_bh_schedule_oneshot(loop->ctx, delete_repeating, &repeating);
    g_clear_pointer(&loop->ctx, aio_context_unref);
    g_assert_cmpint(repeating.count, ==, 0);
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    loop_test_add("scheduled-often-runs-once", test_scheduled_often_runs_once);
    loop_test_add("scheduled-while-it-runs-runs-in-a-later-pass", test_scheduled_while_it_runs);
    loop_test_add("endless-one-starves-nobody", test_endless_one_starves_nobody);
    loop_test_add("cancelled-does-not-run", test_cancelled);
    loop_test_add("deleted-while-scheduled-does-not-run", test_deleted_while_scheduled);
    loop_test_add("deletes-itself", test_deletes_itself);
    loop_test_add("schedules-and-deletes-itself", test_schedules_and_deletes_itself);
    loop_test_add("one-before-it-takes-it-out", test_one_before_it_takes_it_out);
    loop_test_add("run-in-the-order-of-one-thread", test_order_of_one_thread);
    loop_test_add("burst-from-another-thread", test_burst_from_another_thread);
    loop_test_add("oneshot-that-queues-another", test_oneshot_that_queues_another);
    loop_test_add("oneshots-left-at-the-end-run", test_oneshots_left_at_the_end);
    loop_test_add("cancelled-and-rescheduled-keeps-its-place", test_cancelled_keeps_its_place);
    loop_test_add("idle-one-runs", test_idle_one_runs);
    loop_test_add_aio_poll("idle-one-lets-the-loop-sleep", test_idle_one_lets_the_loop_sleep);
    loop_test_add("idle-one-of-another-thread-runs", test_idle_one_of_another_thread);
    loop_test_add_aio_poll("idle-one-is-no-progress", test_idle_one_is_no_progress);
    loop_test_add_aio_poll("aio-bh-poll-tells-progress", test_bh_poll);
    loop_test_add_aio_poll("one-that-runs-is-progress", test_progress);
    loop_test_add("deleted-by-another-thread", test_deleted_by_another_thread);
    loop_test_add("reference-taken-in-the-last-oneshot", test_reference_in_the_last_oneshot);
    loop_test_add("scheduled-at-the-end-of-the-context", test_scheduled_at_the_end);
    return g_test_run();
}
