/*
 * Timers: when they fire and in which order. What callbacks and other threads do to them is in
 * test-timer-change.c.
 */
#include "config.h"

#include <string.h>

#include "tests/unit/loop-fixture.h"

#define HOUR_NS (3600 * INT64_C(1000000000))

/* A timer on the virtual clock, whose time only the test moves by hours. */
static QEMUTimer *virtual_timer(Loop *loop, QEMUTimerCB *cb, void *opaque)
{
    return aio_timer_new(loop->ctx, QEMU_CLOCK_VIRTUAL, SCALE_NS, cb, opaque);
}

static void test_fires_once(Loop *loop)
{
    int fires = 0;
    QEMUTimer *timer = virtual_timer(loop, test_count, &fires);
    int64_t deadline = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) + HOUR_NS;

    g_assert_false(timer_pending(timer));
    g_assert_cmpint(timer_expire_time_ns(timer), ==, -1);
    timer_mod(timer, deadline);
    g_assert_true(timer_pending(timer));
    g_assert_cmpint(timer_expire_time_ns(timer), ==, deadline);
    loop_passes(loop, 3);
    g_assert_cmpint(fires, ==, 0);

    qemu_clock_advance_virtual_time(deadline);
    while (fires == 0) {
        loop_pass(loop, true);
    }
    g_assert_false(timer_pending(timer));
    g_assert_cmpint(timer_expire_time_ns(timer), ==, -1);
    loop_passes(loop, 3);
    g_assert_cmpint(fires, ==, 1);
    timer_free(timer);
}

/* ---- never early, in order ---- */

typedef struct Deadlined {
    QEMUTimer *timer;
    QEMUClockType clock;
    int64_t deadline;
    int64_t *latest; /* the deadline that fired last, of all timers of one clock */
    int *fires;
    bool early;
} Deadlined;

static void check_deadline(void *opaque)
{
    Deadlined *deadlined = opaque;

    if (qemu_clock_get_ns(deadlined->clock) < deadlined->deadline) {
        deadlined->early = true;
    }
    ++*deadlined->fires;
}

static void test_never_early_on(Loop *loop, QEMUClockType clock)
{
    enum {
        N = 300
    };
    g_autofree Deadlined *all = g_new0(Deadlined, N);
    uint32_t seed = 1;
    int fires = 0;

    for (int i = 0; i < N; i++) {
        all[i].clock = clock;
        all[i].fires = &fires;
        all[i].timer = aio_timer_new(loop->ctx, clock, SCALE_NS, check_deadline, &all[i]);
        all[i].deadline = qemu_clock_get_ns(clock) + test_random(&seed) % 20000000;
        timer_mod(all[i].timer, all[i].deadline);
    }
    while (fires < N) {
        loop_pass(loop, true);
    }
    for (int i = 0; i < N; i++) {
        g_assert_false(all[i].early);
        timer_free(all[i].timer);
    }
}

static void test_never_early(Loop *loop)
{
    test_never_early_on(loop, QEMU_CLOCK_REALTIME);
}

static void test_never_early_virtual(Loop *loop)
{
    test_never_early_on(loop, QEMU_CLOCK_VIRTUAL);
    test_never_early_on(loop, QEMU_CLOCK_VIRTUAL_RT);
}

static void test_never_early_host(Loop *loop)
{
    test_never_early_on(loop, QEMU_CLOCK_HOST);
}

static void log_deadline(void *opaque)
{
    Deadlined *deadlined = opaque;

    g_assert_cmpint(deadlined->deadline, >=, *deadlined->latest);
    *deadlined->latest = deadlined->deadline;
    ++*deadlined->fires;
}

static void test_deadline_order(Loop *loop)
{
    enum {
        N = 500
    };
    g_autofree Deadlined *all = g_new0(Deadlined, N);
    int64_t now = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL), latest = 0;
    uint32_t seed = 2;
    int fires = 0;

    for (int i = 0; i < N; i++) {
        all[i].latest = &latest;
        all[i].fires = &fires;
        all[i].timer = virtual_timer(loop, log_deadline, &all[i]);
        all[i].deadline = now + HOUR_NS + test_random(&seed) % 1000;
        timer_mod(all[i].timer, all[i].deadline);
    }
    qemu_clock_advance_virtual_time(now + 2 * HOUR_NS);
    loop_pass(loop, false);
    g_assert_cmpint(fires, ==, N);
    for (int i = 0; i < N; i++) {
        timer_free(all[i].timer);
    }
}

/* ---- changing the deadline ---- */

static void test_pushed_back(Loop *loop)
{
    int fires = 0;
    QEMUTimer *timer = virtual_timer(loop, test_count, &fires);
    int64_t start = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);

    timer_mod(timer, start + HOUR_NS);
    for (int i = 2; i <= 10; i++) {
        timer_mod(timer, start + i * HOUR_NS);
        g_assert_cmpint(timer_expire_time_ns(timer), ==, start + i * HOUR_NS);
        qemu_clock_advance_virtual_time(start + (i - 1) * HOUR_NS);
        loop_passes(loop, 2);
        g_assert_cmpint(fires, ==, 0);
    }
    qemu_clock_advance_virtual_time(start + 10 * HOUR_NS);
    loop_passes(loop, 2);
    g_assert_cmpint(fires, ==, 1);
    timer_free(timer);
}

static void test_pushed_back_behind_another(Loop *loop)
{
    int fires = 0, others = 0;
    QEMUTimer *timer = virtual_timer(loop, test_count, &fires);
    QEMUTimer *other = virtual_timer(loop, test_count, &others);
    int64_t start = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);

    timer_mod(timer, start + HOUR_NS);
    timer_mod(other, start + 2 * HOUR_NS);
    timer_mod(timer, start + 3 * HOUR_NS);
    qemu_clock_advance_virtual_time(start + 2 * HOUR_NS);
    loop_passes(loop, 2);
    g_assert_cmpint(others, ==, 1);
    g_assert_cmpint(fires, ==, 0);
    qemu_clock_advance_virtual_time(start + 3 * HOUR_NS);
    loop_passes(loop, 2);
    g_assert_cmpint(fires, ==, 1);
    timer_free(timer);
    timer_free(other);
}

static void test_pulled_in(Loop *loop)
{
    int fires = 0;
    QEMUTimer *timer = virtual_timer(loop, test_count, &fires);
    int64_t start = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);

    timer_mod(timer, start + 5 * HOUR_NS);
    timer_mod(timer, start + 9 * HOUR_NS);
    timer_mod(timer, start + HOUR_NS);
    qemu_clock_advance_virtual_time(start + HOUR_NS);
    while (fires == 0) {
        loop_pass(loop, true);
    }
    qemu_clock_advance_virtual_time(start + 10 * HOUR_NS);
    loop_passes(loop, 3);
    g_assert_cmpint(fires, ==, 1);
    timer_free(timer);
}

static void test_anticipated(Loop *loop)
{
    int fires = 0;
    QEMUTimer *timer = virtual_timer(loop, test_count, &fires);
    int64_t start = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);

    timer_mod_anticipate_ns(timer, start + 3 * HOUR_NS);
    g_assert_cmpint(timer_expire_time_ns(timer), ==, start + 3 * HOUR_NS);
    timer_mod_anticipate_ns(timer, start + 4 * HOUR_NS);
    g_assert_cmpint(timer_expire_time_ns(timer), ==, start + 3 * HOUR_NS);
    timer_mod_anticipate_ns(timer, start + 2 * HOUR_NS);
    g_assert_cmpint(timer_expire_time_ns(timer), ==, start + 2 * HOUR_NS);
    qemu_clock_advance_virtual_time(start + 2 * HOUR_NS);
    loop_passes(loop, 2);
    g_assert_cmpint(fires, ==, 1);
    timer_free(timer);
}

static void test_deleted(Loop *loop)
{
    int fires = 0;
    QEMUTimer *timer = virtual_timer(loop, test_count, &fires);

    timer_del(timer);
    timer_mod(timer, 0);
    timer_del(timer);
    g_assert_false(timer_pending(timer));
    loop_passes(loop, 3);
    g_assert_cmpint(fires, ==, 0);
    timer_mod(timer, 0);
    loop_passes(loop, 3);
    g_assert_cmpint(fires, ==, 1);
    timer_mod(timer, 0);
    timer_free(timer);
    timer_free(NULL);
    loop_passes(loop, 3);
    g_assert_cmpint(fires, ==, 1);
}

static void test_initialised_again(Loop *loop)
{
    QEMUTimer timer;
    int first = 0, second = 0;

    aio_timer_init(loop->ctx, &timer, QEMU_CLOCK_REALTIME, SCALE_MS, test_count, &first);
    timer_mod(&timer, 0);
    timer_deinit(&timer);
    timer_deinit(&timer);
    memset(&timer, 0xff, sizeof(timer));
    aio_timer_init(loop->ctx, &timer, QEMU_CLOCK_VIRTUAL, SCALE_NS, test_count, &second);
    timer_mod(&timer, 0);
    loop_passes(loop, 3);
    g_assert_cmpint(first, ==, 0);
    g_assert_cmpint(second, ==, 1);
    timer_deinit(&timer);
}

/* ---- the ends of the scale ---- */

static void test_scales(Loop *loop)
{
    static const int scales[] = { SCALE_NS, SCALE_US, SCALE_MS };
    int fires = 0;

    for (size_t i = 0; i < G_N_ELEMENTS(scales); i++) {
        QEMUTimer *timer =
            aio_timer_new(loop->ctx, QEMU_CLOCK_REALTIME, scales[i], test_count, &fires);
        int64_t most = INT64_MAX / scales[i];

        timer_mod(timer, most);
        g_assert_cmpint(timer_expire_time_ns(timer), ==, most * scales[i]);
        timer_mod_ns(timer, most);
        g_assert_cmpint(timer_expire_time_ns(timer), ==, most);
        timer_mod(timer, INT64_MAX);
        g_assert_cmpint(timer_expire_time_ns(timer), ==, INT64_MAX);
        if (scales[i] > 1) {
            timer_mod(timer, most + 1);
            g_assert_cmpint(timer_expire_time_ns(timer), ==, INT64_MAX);
        }
        loop_passes(loop, 2);
        g_assert_cmpint(fires, ==, 0);

        timer_mod(timer, INT64_MIN);
        g_assert_cmpint(timer_expire_time_ns(timer), ==, 0);
        timer_mod(timer, -1);
        g_assert_cmpint(timer_expire_time_ns(timer), ==, 0);
        loop_pass(loop, true);
        g_assert_cmpint(fires, ==, 1);
        fires = 0;
        timer_free(timer);
    }
}

static void test_past_deadline(Loop *loop)
{
    int fires = 0;
    QEMUTimer *timer = aio_timer_new(loop->ctx, QEMU_CLOCK_REALTIME, SCALE_NS, test_count, &fires);

    timer_mod_ns(timer, 1);
    loop_pass(loop, true);
    g_assert_cmpint(fires, ==, 1);
    timer_mod_ns(timer, -5);
    loop_pass(loop, false);
    g_assert_cmpint(fires, ==, 2);
    timer_free(timer);
}

static void test_end_of_time(Loop *loop)
{
    int fires = 0;
    QEMUTimer *never = aio_timer_new(loop->ctx, QEMU_CLOCK_REALTIME, SCALE_NS, test_count, &fires);
    QEMUTimer *late = aio_timer_new(loop->ctx, QEMU_CLOCK_HOST, SCALE_NS, test_count, &fires);

    /* Neither an overflow to "at once" nor a loop that does not sleep. */
    timer_mod_ns(never, INT64_MAX);
    timer_mod_ns(late, INT64_MAX - 1);
    loop_start(loop);
    loop_assert_asleep(loop);
    loop_stop(loop);
    g_assert_cmpint(fires, ==, 0);
    g_assert_true(timer_pending(never));
    g_assert_true(timer_pending(late));
    timer_free(never);
    timer_free(late);
}

/* ---- clocks that stand ---- */

static void test_stopped_clock(Loop *loop)
{
    int fires = 0, others = 0;
    QEMUTimer *timer = virtual_timer(loop, test_count, &fires);
    QEMUTimer *rt = aio_timer_new(loop->ctx, QEMU_CLOCK_VIRTUAL_RT, SCALE_NS, test_count, &fires);
    QEMUTimer *other = aio_timer_new(loop->ctx, QEMU_CLOCK_REALTIME, SCALE_NS, test_count, &others);

    qemu_clock_enable(QEMU_CLOCK_VIRTUAL, false);
    timer_mod(timer, 0);
    timer_mod(rt, 0);
    timer_mod(other, 0);
    loop_passes(loop, 3);
    g_assert_cmpint(fires, ==, 0);
    g_assert_cmpint(others, ==, 1);

    /* They are due, but the loop must not spin for them; it wakes when the clock starts. */
    loop_start(loop);
    loop_assert_asleep(loop);
    qemu_clock_enable(QEMU_CLOCK_VIRTUAL, true);
    while (timer_pending(timer) || timer_pending(rt)) {
        sched_yield();
    }
    loop_stop(loop);
    g_assert_cmpint(fires, ==, 2);
    timer_free(timer);
    timer_free(rt);
    timer_free(other);
}

static void test_stopped_realtime_and_host(Loop *loop)
{
    static const QEMUClockType clocks[] = { QEMU_CLOCK_REALTIME, QEMU_CLOCK_HOST };

    for (size_t i = 0; i < G_N_ELEMENTS(clocks); i++) {
        int fires = 0;
        QEMUTimer *timer = aio_timer_new(loop->ctx, clocks[i], SCALE_NS, test_count, &fires);

        qemu_clock_enable(clocks[i], false);
        timer_mod(timer, 0);
        loop_passes(loop, 3);
        g_assert_cmpint(fires, ==, 0);
        qemu_clock_enable(clocks[i], true);
        while (fires == 0) {
            loop_pass(loop, true);
        }
        timer_free(timer);
    }
}

static void test_advanced_while_it_sleeps(Loop *loop)
{
    int fires = 0;
    QEMUTimer *timer = virtual_timer(loop, test_count, &fires);
    int64_t deadline = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) + HOUR_NS;

    timer_mod(timer, deadline);
    loop_start(loop);
    loop_assert_asleep(loop);
    qemu_clock_advance_virtual_time(deadline);
    while (timer_pending(timer)) {
        sched_yield();
    }
    loop_stop(loop);
    g_assert_cmpint(fires, ==, 1);
    timer_free(timer);
}

static void test_advanced_while_stopped(Loop *loop)
{
    int fires = 0;
    QEMUTimer *timer = virtual_timer(loop, test_count, &fires);
    int64_t deadline = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) + HOUR_NS;

    timer_mod(timer, deadline);
    qemu_clock_enable(QEMU_CLOCK_VIRTUAL, false);
    qemu_clock_advance_virtual_time(deadline);
    loop_passes(loop, 3);
    g_assert_cmpint(fires, ==, 0);
    qemu_clock_enable(QEMU_CLOCK_VIRTUAL, true);
    while (fires == 0) {
        loop_pass(loop, true);
    }
    timer_free(timer);
}

/* ---- with the rest of the loop ---- */

static void test_each_clock_in_one_context(Loop *loop)
{
    QEMUTimer *timers[QEMU_CLOCK_MAX];
    int fires[QEMU_CLOCK_MAX] = { 0 };

    for (int i = 0; i < QEMU_CLOCK_MAX; i++) {
        timers[i] = aio_timer_new(loop->ctx, (QEMUClockType)i, SCALE_MS, test_count, &fires[i]);
        timer_mod_ns(timers[i], qemu_clock_get_ns((QEMUClockType)i) + 1000000);
    }
    while (!fires[0] || !fires[1] || !fires[2] || !fires[3]) {
        loop_pass(loop, true);
    }
    for (int i = 0; i < QEMU_CLOCK_MAX; i++) {
        g_assert_cmpint(fires[i], ==, 1);
        timer_free(timers[i]);
    }
}

static void test_progress(Loop *loop)
{
    int fires = 0;
    QEMUTimer *timer = aio_timer_new(loop->ctx, QEMU_CLOCK_REALTIME, SCALE_NS, test_count, &fires);

    g_assert_false(loop_pass(loop, false));
    timer_mod(timer, 0);
    g_assert_true(loop_pass(loop, true));
    g_assert_false(loop_pass(loop, false));
    timer_free(timer);
}

static void test_context_freed_first(Loop *loop)
{
    Loop *other = loop_new_like(loop);
    int fires = 0;
    QEMUTimer *pending = virtual_timer(other, test_count, &fires);
    QEMUTimer *due = virtual_timer(other, test_count, &fires);
    QEMUTimer *idle = virtual_timer(other, test_count, &fires);
    QEMUTimer *deleted = virtual_timer(other, test_count, &fires);
    QEMUTimer *fired = virtual_timer(other, test_count, &fires);
    QEMUTimer on_stack;

    timer_mod(fired, 0);
    while (fires == 0) {
        loop_pass(other, true);
    }
    timer_mod(deleted, 0);
    timer_del(deleted);
    aio_timer_init(other->ctx, &on_stack, QEMU_CLOCK_HOST, SCALE_MS, test_count, &fires);
    timer_mod(pending, INT64_MAX);
    timer_mod(due, 0);
    timer_mod(&on_stack, 0);
    loop_free(other);
    g_assert_cmpint(fires, ==, 1);
    timer_free(pending);
    timer_free(due);
    timer_free(idle);
    timer_free(deleted);
    timer_free(fired);
    timer_deinit(&on_stack);
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    loop_test_add("fires-once", test_fires_once);
    loop_test_add("never-early", test_never_early);
    loop_test_add("never-early-on-the-virtual-clocks", test_never_early_virtual);
    loop_test_add("never-early-on-the-host-clock", test_never_early_host);
    loop_test_add("deadline-order-in-one-pass", test_deadline_order);
    loop_test_add("pushed-back", test_pushed_back);
    loop_test_add("pushed-back-behind-another", test_pushed_back_behind_another);
    loop_test_add("pulled-in", test_pulled_in);
    loop_test_add("anticipated", test_anticipated);
    loop_test_add("deleted-does-not-fire", test_deleted);
    loop_test_add("initialised-again", test_initialised_again);
    loop_test_add("scales-and-their-overflow", test_scales);
    loop_test_add("past-deadline-fires-in-the-next-pass", test_past_deadline);
    loop_test_add("end-of-time-is-never", test_end_of_time);
    loop_test_add("stopped-clock-fires-nothing", test_stopped_clock);
    loop_test_add("stopped-realtime-and-host-clock", test_stopped_realtime_and_host);
    loop_test_add("advanced-while-the-loop-sleeps", test_advanced_while_it_sleeps);
    loop_test_add("advanced-while-stopped", test_advanced_while_stopped);
    loop_test_add("each-clock-in-one-context", test_each_clock_in_one_context);
    loop_test_add_aio_poll("one-that-fires-is-progress", test_progress);
    loop_test_add("context-freed-first", test_context_freed_first);
    return g_test_run();
}
