/*
 * aio_poll() inside a callback. The pass around it loses nothing of what it still had to do, and
 * does nothing twice.
 */
#include "config.h"

#include <unistd.h>

#include "tests/unit/loop-fixture.h"

#define N 10

/* Makes nested passes when it is called, in the way the test says. */
typedef struct Nester {
    AioContext *ctx;
    int fds[2];
    int calls;
    int nested_passes;                     /* how many to make */
    void (*inside)(struct Nester *nester); /* called before those */
    struct Nester *others;
} Nester;

static void nest(void *opaque)
{
    Nester *nester = opaque;

    nester->calls++;
    if (nester->inside) {
        nester->inside(nester);
    }
    for (int i = 0; i < nester->nested_passes; i++) {
        aio_poll(nester->ctx, false);
    }
}

static void read_and_nest(void *opaque)
{
    Nester *nester = opaque;

    test_read_byte(nester->fds[0]);
    nest(nester);
}

static int calls_of(const Nester *nesters, int n)
{
    int calls = 0;

    for (int i = 0; i < n; i++) {
        calls += nesters[i].calls;
    }
    return calls;
}

static void assert_each_called_once(const Nester *nesters, int n)
{
    for (int i = 0; i < n; i++) {
        g_assert_cmpint(nesters[i].calls, ==, 1);
    }
}

static void ready_descriptor(Nester *nester)
{
    test_pipe(nester->fds);
    test_write_byte(nester->fds[1]);
    aio_set_fd_handler(nester->ctx, nester->fds[0], read_and_nest, NULL, NULL, NULL, nester);
}

static void drop_descriptor(Nester *nester)
{
    aio_set_fd_handler(nester->ctx, nester->fds[0], NULL, NULL, NULL, NULL, NULL);
    test_close(nester->fds);
}

/* ---- what is left of the outer pass ---- */

static void test_in_bottom_half(Loop *loop)
{
    Nester nesters[N];

    for (int i = 0; i < N; i++) {
        nesters[i] = (Nester){ .ctx = loop->ctx, .nested_passes = i % 2 };
        aio_bh_schedule_oneshot(loop->ctx, nest, &nesters[i]);
    }
    while (calls_of(nesters, N) < N) {
        loop_pass(loop, true);
    }
    loop_passes(loop, 3);
    assert_each_called_once(nesters, N);
}

static void test_in_bottom_half_with_plain_ones(Loop *loop)
{
    Nester nesters[N];
    QEMUBH *bhs[N];

    for (int i = 0; i < N; i++) {
        nesters[i] = (Nester){ .ctx = loop->ctx, .nested_passes = 2 };
        bhs[i] = aio_bh_new(loop->ctx, nest, &nesters[i]);
        qemu_bh_schedule(bhs[i]);
    }
    while (calls_of(nesters, N) < N) {
        loop_pass(loop, true);
    }
    loop_passes(loop, 3);
    assert_each_called_once(nesters, N);
    for (int i = 0; i < N; i++) {
        qemu_bh_delete(bhs[i]);
    }
}

static void test_in_handler(Loop *loop)
{
    Nester nesters[N];

    for (int i = 0; i < N; i++) {
        nesters[i] = (Nester){ .ctx = loop->ctx, .nested_passes = i % 3 };
        ready_descriptor(&nesters[i]);
    }
    while (calls_of(nesters, N) < N) {
        loop_pass(loop, true);
    }
    loop_passes(loop, 3);
    assert_each_called_once(nesters, N);
    for (int i = 0; i < N; i++) {
        drop_descriptor(&nesters[i]);
    }
}

static void test_in_timer(Loop *loop)
{
    Nester nesters[N];
    QEMUTimer *timers[N];

    for (int i = 0; i < N; i++) {
        nesters[i] = (Nester){ .ctx = loop->ctx, .nested_passes = i % 3 };
        timers[i] = aio_timer_new(loop->ctx, QEMU_CLOCK_VIRTUAL, SCALE_NS, nest, &nesters[i]);
        timer_mod(timers[i], i);
    }
    while (calls_of(nesters, N) < N) {
        loop_pass(loop, true);
    }
    loop_passes(loop, 3);
    assert_each_called_once(nesters, N);
    for (int i = 0; i < N; i++) {
        timer_free(timers[i]);
    }
}

static void test_all_kinds(Loop *loop)
{
    Nester nesters[3 * N];
    QEMUTimer *timers[N];

    for (int i = 0; i < 3 * N; i++) {
        nesters[i] = (Nester){ .ctx = loop->ctx, .nested_passes = 1 };
    }
    for (int i = 0; i < N; i++) {
        aio_bh_schedule_oneshot(loop->ctx, nest, &nesters[i]);
        ready_descriptor(&nesters[N + i]);
        timers[i] =
            aio_timer_new(loop->ctx, QEMU_CLOCK_REALTIME, SCALE_NS, nest, &nesters[2 * N + i]);
        timer_mod(timers[i], i);
    }
    while (calls_of(nesters, 3 * N) < 3 * N) {
        loop_pass(loop, true);
    }
    loop_passes(loop, 3);
    assert_each_called_once(nesters, 3 * N);
    for (int i = 0; i < N; i++) {
        drop_descriptor(&nesters[N + i]);
        timer_free(timers[i]);
    }
}

/* ---- waiting for something inside a callback ---- */

typedef struct Waiter {
    AioContext *ctx;
    atomic_int happened;
    bool done;
} Waiter;

static void happen(void *opaque)
{
    Waiter *waiter = opaque;

    atomic_store(&waiter->happened, 1);
}

static void wait_for_it(void *opaque)
{
    Waiter *waiter = opaque;

    while (!atomic_load(&waiter->happened)) {
        aio_poll(waiter->ctx, true);
    }
    waiter->done = true;
}

static void test_waits_for_a_timer(Loop *loop)
{
    Waiter waiter = { .ctx = loop->ctx };
    QEMUTimer *timer = aio_timer_new(loop->ctx, QEMU_CLOCK_REALTIME, SCALE_MS, happen, &waiter);

    timer_mod_ns(timer, qemu_clock_get_ns(QEMU_CLOCK_REALTIME) + 2000000);
    aio_bh_schedule_oneshot(loop->ctx, wait_for_it, &waiter);
    while (!waiter.done) {
        loop_pass(loop, true);
    }
    timer_free(timer);
}

static void *happen_from_thread(void *opaque)
{
    Waiter *waiter = opaque;

    aio_bh_schedule_oneshot(waiter->ctx, happen, waiter);
    return NULL;
}

static void test_waits_for_another_thread(Loop *loop)
{
    for (int i = 0; i < 50; i++) {
        Waiter waiter = { .ctx = loop->ctx };

        aio_bh_schedule_oneshot(loop->ctx, wait_for_it, &waiter);
        pthread_t thread = test_thread_start(happen_from_thread, &waiter);
        while (!waiter.done) {
            loop_pass(loop, true);
        }
        test_thread_join(thread);
    }
}

static void test_waits_for_a_descriptor(Loop *loop)
{
    Waiter waiter = { .ctx = loop->ctx };
    int fds[2];

    test_pipe(fds);
    test_write_byte(fds[1]);
    aio_set_fd_handler(loop->ctx, fds[0], happen, NULL, NULL, NULL, &waiter);
    aio_bh_schedule_oneshot(loop->ctx, wait_for_it, &waiter);
    while (!waiter.done) {
        loop_pass(loop, true);
    }
    aio_set_fd_handler(loop->ctx, fds[0], NULL, NULL, NULL, NULL, NULL);
    test_close(fds);
}

typedef struct Later {
    Waiter waiter;
    QEMUBH *bh;
    int runs;
} Later;

static void wait_for_the_next(void *opaque)
{
    Later *later = opaque;

    if (later->runs++ == 0) {
        /* Its own second run, in the nested pass, ends the wait. */
        qemu_bh_schedule(later->bh);
        wait_for_it(&later->waiter);
    } else {
        happen(&later->waiter);
    }
}

static void test_waits_for_its_own_next_run(Loop *loop)
{
    Later later = { .waiter = { .ctx = loop->ctx } };

    later.bh = aio_bh_new(loop->ctx, wait_for_the_next, &later);
    qemu_bh_schedule(later.bh);
    while (!later.waiter.done) {
        loop_pass(loop, true);
    }
    loop_passes(loop, 3);
    g_assert_cmpint(later.runs, ==, 2);
    qemu_bh_delete(later.bh);
}

static void test_notified_inside(Loop *loop)
{
    /* A wake-up for the outer loop that a nested pass swallows must not be missed by it. */
    for (int i = 0; i < 20; i++) {
        Waiter waiter = { .ctx = loop->ctx };
        QEMUTimer *timer = aio_timer_new(loop->ctx, QEMU_CLOCK_VIRTUAL, SCALE_MS, happen, &waiter);
        Nester nester = { .ctx = loop->ctx, .nested_passes = 1 };

        timer_mod(timer, 0);
        aio_bh_schedule_oneshot(loop->ctx, nest, &nester);
        while (!nester.calls || !atomic_load(&waiter.happened)) {
            loop_pass(loop, true);
        }
        timer_free(timer);
    }
}

/* ---- removing inside what the outer pass holds ---- */

static void drop_the_others(Nester *nester)
{
    for (int i = 0; i < N; i++) {
        Nester *other = &nester->others[i];
        if (other != nester && other->fds[0] >= 0) {
            drop_descriptor(other);
            other->fds[0] = -1;
        }
    }
}

static void drop_them(void *opaque)
{
    drop_the_others(opaque);
}

static void drop_in_a_nested_pass(Nester *nester)
{
    aio_bh_schedule_oneshot(nester->ctx, drop_them, nester);
}

static void test_handlers_removed_in_nested_pass(Loop *loop, void (*inside)(Nester *), int most)
{
    Nester *nesters = g_new(Nester, N);

    for (int i = 0; i < N; i++) {
        nesters[i] = (Nester){
            .ctx = loop->ctx,
            .nested_passes = 3,
            .inside = inside,
            .others = nesters,
        };
        ready_descriptor(&nesters[i]);
    }
    while (calls_of(nesters, N) == 0) {
        loop_pass(loop, true);
    }
    g_assert_cmpint(calls_of(nesters, N), <=, most);
    for (int i = 0; i < N; i++) {
        if (nesters[i].fds[0] >= 0) {
            drop_descriptor(&nesters[i]);
        }
    }
    /* Nothing refers to them any more. */
    g_free(nesters);
    loop_passes(loop, 3);
}

static void test_removed_before_nested_pass(Loop *loop)
{
    test_handlers_removed_in_nested_pass(loop, drop_the_others, 1);
}

static void test_removed_in_nested_pass(Loop *loop)
{
    /* The bottom halves of the nested pass come before its handlers. */
    test_handlers_removed_in_nested_pass(loop, drop_in_a_nested_pass, 1);
}

typedef struct Timers {
    AioContext *ctx;
    QEMUTimer *timers[N];
    int fires;
} Timers;

static void free_the_timers(void *opaque)
{
    Timers *all = opaque;

    for (int i = 0; i < N; i++) {
        g_clear_pointer(&all->timers[i], timer_free);
    }
}

static void free_timers_nested(void *opaque)
{
    Timers *all = opaque;

    all->fires++;
    aio_bh_schedule_oneshot(all->ctx, free_the_timers, all);
    aio_poll(all->ctx, false);
}

static void test_timers_freed_in_nested_pass(Loop *loop)
{
    Timers all = { .ctx = loop->ctx };

    for (int i = 0; i < N; i++) {
        all.timers[i] =
            aio_timer_new(loop->ctx, QEMU_CLOCK_VIRTUAL, SCALE_NS, free_timers_nested, &all);
        timer_mod(all.timers[i], i);
    }
    while (all.fires == 0) {
        loop_pass(loop, true);
    }
    loop_passes(loop, 3);
    g_assert_cmpint(all.fires, ==, 1);
}

typedef struct Deep {
    AioContext *ctx;
    int depth;
    int deepest;
} Deep;

static void go_deeper(void *opaque)
{
    Deep *deep = opaque;

    if (++deep->depth < 50) {
        aio_bh_schedule_oneshot(deep->ctx, go_deeper, deep);
        aio_poll(deep->ctx, true);
    }
    deep->deepest = MAX(deep->deepest, deep->depth);
    deep->depth--;
}

static void test_deep(Loop *loop)
{
    Deep deep = { .ctx = loop->ctx };

    aio_bh_schedule_oneshot(loop->ctx, go_deeper, &deep);
    while (deep.deepest == 0) {
        loop_pass(loop, true);
    }
    g_assert_cmpint(deep.deepest, ==, 50);
    g_assert_cmpint(deep.depth, ==, 0);
}

static void delete_own_bh_nested(void *opaque)
{
    Later *later = opaque;

    later->runs++;
    g_clear_pointer(&later->bh, qemu_bh_delete);
    aio_poll(later->waiter.ctx, false);
}

static void test_bottom_half_deleted_and_nested(Loop *loop)
{
    Later later = { .waiter = { .ctx = loop->ctx } };

    later.bh = aio_bh_new(loop->ctx, delete_own_bh_nested, &later);
    qemu_bh_schedule(later.bh);
    while (later.runs == 0) {
        loop_pass(loop, true);
    }
    loop_passes(loop, 3);
    g_assert_cmpint(later.runs, ==, 1);
}

/* ---- the order of timers ---- */

typedef struct Ordered {
    AioContext *ctx;
    QEMUTimer *early, *middle, *late;
    GString *order;
} Ordered;

static void fire_early(void *opaque)
{
    Ordered *ordered = opaque;

    g_string_append_c(ordered->order, 'e');
    timer_mod(ordered->middle, 2);
    aio_poll(ordered->ctx, false);
}

static void fire_middle(void *opaque)
{
    Ordered *ordered = opaque;

    g_string_append_c(ordered->order, 'm');
}

static void fire_late(void *opaque)
{
    Ordered *ordered = opaque;

    g_string_append_c(ordered->order, 'l');
}

static void test_timer_armed_before_one_left_over(Loop *loop)
{
    Ordered ordered = { .ctx = loop->ctx, .order = g_string_new(NULL) };

    ordered.early = aio_timer_new(loop->ctx, QEMU_CLOCK_REALTIME, SCALE_NS, fire_early, &ordered);
    ordered.middle = aio_timer_new(loop->ctx, QEMU_CLOCK_REALTIME, SCALE_NS, fire_middle, &ordered);
    ordered.late = aio_timer_new(loop->ctx, QEMU_CLOCK_REALTIME, SCALE_NS, fire_late, &ordered);
    timer_mod(ordered.late, 3);
    timer_mod(ordered.early, 1);
    while (ordered.order->len < 3) {
        loop_pass(loop, true);
    }
    g_assert_cmpstr(ordered.order->str, ==, "eml");
    timer_free(ordered.early);
    timer_free(ordered.middle);
    timer_free(ordered.late);
    g_string_free(ordered.order, TRUE);
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    loop_test_add("in-bottom-half", test_in_bottom_half);
    loop_test_add("in-bottom-half-with-plain-ones", test_in_bottom_half_with_plain_ones);
    loop_test_add("in-handler", test_in_handler);
    loop_test_add("in-timer", test_in_timer);
    loop_test_add("in-all-kinds-together", test_all_kinds);
    loop_test_add("waits-for-a-timer", test_waits_for_a_timer);
    loop_test_add("waits-for-another-thread", test_waits_for_another_thread);
    loop_test_add("waits-for-a-descriptor", test_waits_for_a_descriptor);
    loop_test_add("waits-for-its-own-next-run", test_waits_for_its_own_next_run);
    loop_test_add("wake-up-is-not-swallowed", test_notified_inside);
    loop_test_add("ready-handlers-removed-before", test_removed_before_nested_pass);
    loop_test_add("ready-handlers-removed-inside", test_removed_in_nested_pass);
    loop_test_add("due-timers-freed-inside", test_timers_freed_in_nested_pass);
    loop_test_add("bottom-half-deleted-before", test_bottom_half_deleted_and_nested);
    loop_test_add("fifty-deep", test_deep);
    loop_test_add("timer-armed-before-one-left-over", test_timer_armed_before_one_left_over);
    return g_test_run();
}
