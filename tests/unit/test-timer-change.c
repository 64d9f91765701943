/*
 * Timers that are armed, disarmed and freed by callbacks, their own and others', and by other
 * threads, while the loop runs.
 */
#include "config.h"

#include <unistd.h>

#include "loop/aio-internal.h"
#include "tests/unit/loop-fixture.h"

#define HOUR_NS (3600 * INT64_C(1000000000))

typedef struct Acting {
    QEMUTimer *timer;
    int fires;
    void (*act)(struct Acting *acting);
    struct Acting *others;
    int n_others;
} Acting;

static void acting_cb(void *opaque)
{
    Acting *acting = opaque;

    acting->fires++;
    if (acting->act) {
        acting->act(acting);
    }
}

static void acting_init(Acting *acting, Loop *loop, void (*act)(Acting *acting))
{
    *acting = (Acting){ .act = act };
    acting->timer = aio_timer_new(loop->ctx, QEMU_CLOCK_VIRTUAL, SCALE_NS, acting_cb, acting);
}

/* ---- its own ---- */

static void arm_again(Acting *acting)
{
    g_assert_false(timer_pending(acting->timer));
    timer_mod(acting->timer, 0);
    g_assert_true(timer_pending(acting->timer));
}

static void test_armed_in_own_callback(Loop *loop)
{
    Acting acting;

    /* Due again at once, but not in the same pass. */
    acting_init(&acting, loop, arm_again);
    timer_mod(acting.timer, 0);
    for (int i = 1; i <= 5; i++) {
        loop_pass(loop, true);
        g_assert_cmpint(acting.fires, ==, i);
    }
    timer_free(acting.timer);
}

static void test_always_due_starves_nobody(Loop *loop)
{
    Acting acting;
    int fds[2], reads = 0, runs = 0, others = 0;
    QEMUTimer *other = aio_timer_new(loop->ctx, QEMU_CLOCK_REALTIME, SCALE_NS, test_count, &others);

    acting_init(&acting, loop, arm_again);
    timer_mod(acting.timer, 0);
    test_pipe(fds);
    test_write_byte(fds[1]);
    aio_set_fd_handler(loop->ctx, fds[0], test_count, NULL, NULL, NULL, &reads);
    aio_bh_schedule_oneshot(loop->ctx, test_count, &runs);
    timer_mod(other, 0);
    while (reads < 3 || runs < 1 || others < 1) {
        loop_pass(loop, true);
    }
    aio_set_fd_handler(loop->ctx, fds[0], NULL, NULL, NULL, NULL, NULL);
    test_close(fds);
    timer_free(acting.timer);
    timer_free(other);
}

static void arm_and_delete(Acting *acting)
{
    timer_del(acting->timer);
    timer_mod(acting->timer, 0);
    timer_del(acting->timer);
}

static void test_deleted_in_own_callback(Loop *loop)
{
    Acting acting;

    acting_init(&acting, loop, arm_and_delete);
    timer_mod(acting.timer, 0);
    loop_passes(loop, 4);
    g_assert_cmpint(acting.fires, ==, 1);
    timer_free(acting.timer);
}

static void free_own(Acting *acting)
{
    g_clear_pointer(&acting->timer, timer_free);
}

static void test_freed_in_own_callback(Loop *loop)
{
    Acting acting;

    acting_init(&acting, loop, free_own);
    timer_mod(acting.timer, 0);
    loop_passes(loop, 4);
    g_assert_cmpint(acting.fires, ==, 1);
    g_assert_null(acting.timer);
}

typedef struct Embedded {
    QEMUTimer timer;
    int *fires;
} Embedded;

static void deinit_and_free(void *opaque)
{
    Embedded *embedded = opaque;

    ++*embedded->fires;
    timer_mod(&embedded->timer, 0);
    timer_deinit(&embedded->timer);
    g_free(embedded);
}

static void test_deinitialised_in_own_callback(Loop *loop)
{
    Embedded *embedded = g_new0(Embedded, 1);
    int fires = 0;

    embedded->fires = &fires;
    aio_timer_init(loop->ctx, &embedded->timer, QEMU_CLOCK_HOST, SCALE_MS, deinit_and_free,
                   embedded);
    timer_mod(&embedded->timer, 0);
    loop_passes(loop, 4);
    g_assert_cmpint(fires, ==, 1);
}

static void init_again(Acting *acting)
{
    timer_free(acting->timer);
    acting->timer = aio_timer_new(qemu_get_current_aio_context(), QEMU_CLOCK_VIRTUAL, SCALE_NS,
                                  acting_cb, acting);
    timer_mod(acting->timer, 0);
}

static void test_replaced_in_own_callback(Loop *loop)
{
    Acting acting;

    qemu_set_current_aio_context(loop->ctx);
    acting_init(&acting, loop, init_again);
    timer_mod(acting.timer, 0);
    for (int i = 1; i <= 3; i++) {
        loop_pass(loop, true);
        g_assert_cmpint(acting.fires, ==, i);
    }
    timer_free(acting.timer);
}

/* ---- others that are due in the same pass ---- */

static void delete_others(Acting *acting)
{
    for (int i = 0; i < acting->n_others; i++) {
        timer_del(acting->others[i].timer);
    }
}

static void free_others(Acting *acting)
{
    for (int i = 0; i < acting->n_others; i++) {
        g_clear_pointer(&acting->others[i].timer, timer_free);
    }
}

static void push_others_back(Acting *acting)
{
    int64_t now = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);

    for (int i = 0; i < acting->n_others; i++) {
        g_assert_true(timer_pending(acting->others[i].timer));
        timer_mod(acting->others[i].timer, now + HOUR_NS);
    }
}

static void test_acts_on_due_ones(Loop *loop, void (*act)(Acting *acting), int fires_later)
{
    enum {
        N = 10
    };
    Acting first, others[N];

    acting_init(&first, loop, act);
    first.others = others;
    first.n_others = N;
    timer_mod(first.timer, 1);
    for (int i = 0; i < N; i++) {
        acting_init(&others[i], loop, NULL);
        timer_mod(others[i].timer, 2 + i);
    }
    loop_passes(loop, 3);
    g_assert_cmpint(first.fires, ==, 1);
    for (int i = 0; i < N; i++) {
        g_assert_cmpint(others[i].fires, ==, 0);
    }
    qemu_clock_advance_virtual_time(qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) + 2 * HOUR_NS);
    loop_passes(loop, 3);
    for (int i = 0; i < N; i++) {
        g_assert_cmpint(others[i].fires, ==, fires_later);
        timer_free(others[i].timer);
    }
    timer_free(first.timer);
}

static void test_deletes_due_ones(Loop *loop)
{
    test_acts_on_due_ones(loop, delete_others, 0);
}

static void test_frees_due_ones(Loop *loop)
{
    test_acts_on_due_ones(loop, free_others, 0);
}

static void test_pushes_due_ones_back(Loop *loop)
{
    test_acts_on_due_ones(loop, push_others_back, 1);
}

static void stop_the_clock(Acting *acting)
{
    qemu_clock_enable(QEMU_CLOCK_VIRTUAL, false);
}

static void test_stops_its_clock(Loop *loop)
{
    Acting first, second;

    acting_init(&first, loop, stop_the_clock);
    acting_init(&second, loop, NULL);
    timer_mod(first.timer, 1);
    timer_mod(second.timer, 2);
    loop_passes(loop, 3);
    g_assert_cmpint(first.fires, ==, 1);
    g_assert_cmpint(second.fires, ==, 0);
    g_assert_true(timer_pending(second.timer));
    qemu_clock_enable(QEMU_CLOCK_VIRTUAL, true);
    while (second.fires == 0) {
        loop_pass(loop, true);
    }
    timer_free(first.timer);
    timer_free(second.timer);
}

/* ---- other threads ---- */

static void test_armed_while_the_loop_sleeps(Loop *loop)
{
    int fires = 0;
    QEMUTimer *timer = aio_timer_new(loop->ctx, QEMU_CLOCK_REALTIME, SCALE_NS, test_count, &fires);
    QEMUTimer *late = aio_timer_new(loop->ctx, QEMU_CLOCK_REALTIME, SCALE_NS, test_count, &fires);

    /* First without any deadline, then with one that is far away. */
    loop_start(loop);
    for (int i = 0; i < 20; i++) {
        loop_wait_until_idle(loop);
        timer_mod_ns(timer, i % 2 ? qemu_clock_get_ns(QEMU_CLOCK_REALTIME) + 100000 : 0);
        while (timer_pending(timer)) {
            sched_yield();
        }
        if (i == 10) {
            timer_mod_ns(late, qemu_clock_get_ns(QEMU_CLOCK_REALTIME) + HOUR_NS);
        }
    }
    loop_assert_asleep(loop);
    loop_stop(loop);
    g_assert_cmpint(fires, ==, 20);
    timer_free(timer);
    timer_free(late);
}

static void test_anticipated_while_the_loop_sleeps(Loop *loop)
{
    int fires = 0;
    QEMUTimer *timer = aio_timer_new(loop->ctx, QEMU_CLOCK_REALTIME, SCALE_NS, test_count, &fires);

    timer_mod_ns(timer, qemu_clock_get_ns(QEMU_CLOCK_REALTIME) + HOUR_NS);
    loop_start(loop);
    loop_assert_asleep(loop);
    timer_mod_anticipate_ns(timer, qemu_clock_get_ns(QEMU_CLOCK_REALTIME) + 1000000);
    while (timer_pending(timer)) {
        sched_yield();
    }
    loop_stop(loop);
    g_assert_cmpint(fires, ==, 1);
    timer_free(timer);
}

static void test_pushed_back_one_wakes_once(Loop *loop)
{
    int fires = 0;
    QEMUTimer *timer = aio_timer_new(loop->ctx, QEMU_CLOCK_VIRTUAL, SCALE_NS, test_count, &fires);
    int64_t start = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);

    /* The old deadline comes up, is put right, and the loop sleeps again. */
    timer_mod(timer, start + HOUR_NS);
    timer_mod(timer, start + 3 * HOUR_NS);
    loop_start(loop);
    loop_assert_asleep(loop);
    qemu_clock_advance_virtual_time(start + 2 * HOUR_NS);
    loop_assert_asleep(loop);
    g_assert_true(timer_pending(timer));
    qemu_clock_advance_virtual_time(start + 3 * HOUR_NS);
    while (timer_pending(timer)) {
        sched_yield();
    }
    loop_stop(loop);
    g_assert_cmpint(fires, ==, 1);
    timer_free(timer);
}

/* Pushes its timer back again and again just when it comes due. */
typedef struct Pusher {
    Acting acting;
    int64_t last; /* ns, what it is pushed back to */
    pthread_t thread;
} Pusher;

static void *push_back_when_due(void *opaque)
{
    Pusher *pusher = opaque;
    QEMUTimer *timer = pusher->acting.timer;

    for (int i = 0; i < 50000; i++) {
        timer_mod(timer, qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) + 20 * (i % 64));
        timer_mod(timer, pusher->last);
        g_assert_cmpint(timer_expire_time_ns(timer), ==, pusher->last);
    }
    return NULL;
}

static void test_pushed_back_when_due(Loop *loop)
{
    enum {
        N = 3
    };
    int64_t last = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) + HOUR_NS;
    Pusher pushers[N];

    for (int i = 0; i < N; i++) {
        pushers[i].last = last;
        acting_init(&pushers[i].acting, loop, NULL);
    }
    loop_start(loop);
    for (int i = 0; i < N; i++) {
        pthread_create(&pushers[i].thread, NULL, push_back_when_due, &pushers[i]);
    }
    for (int i = 0; i < N; i++) {
        pthread_join(pushers[i].thread, NULL);
    }
    loop_stop(loop);
    for (int i = 0; i < N; i++) {
        pushers[i].acting.fires = 0;
    }
    qemu_clock_advance_virtual_time(last);
    loop_passes(loop, 3);
    for (int i = 0; i < N; i++) {
        g_assert_cmpint(pushers[i].acting.fires, ==, 1);
        timer_free(pushers[i].acting.timer);
    }
}

/* ---- against a plain model ---- */

static void test_many_changes(Loop *loop)
{
    enum {
        N = 64,
        ROUNDS = 3000
    };
    int64_t start = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) + HOUR_NS;
    Acting all[N];
    int64_t deadlines[N]; /* -1: not pending */
    int expected[N] = { 0 };
    int64_t now = start;
    uint32_t seed = 3;

    for (int i = 0; i < N; i++) {
        acting_init(&all[i], loop, NULL);
        deadlines[i] = -1;
    }
    /* Steps of an hour: real time that passes meanwhile makes no difference. */
    for (int round = 0; round < ROUNDS; round++) {
        int i = test_random(&seed) % N;
        int64_t deadline = now + (1 + test_random(&seed) % 50) * HOUR_NS;

        switch (test_random(&seed) % 5) {
        case 0:
            timer_del(all[i].timer);
            deadlines[i] = -1;
            break;
        case 1:
            timer_mod_anticipate_ns(all[i].timer, deadline);
            if (deadlines[i] < 0 || deadline < deadlines[i]) {
                deadlines[i] = deadline;
            }
            break;
        case 2:
            now += HOUR_NS;
            qemu_clock_advance_virtual_time(now + HOUR_NS / 2);
            loop_passes(loop, 2);
            for (int j = 0; j < N; j++) {
                if (deadlines[j] >= 0 && deadlines[j] <= now) {
                    deadlines[j] = -1;
                    expected[j]++;
                }
            }
            break;
        default:
            timer_mod(all[i].timer, deadline);
            deadlines[i] = deadline;
        }
        for (int j = 0; j < N; j++) {
            g_assert_cmpint(all[j].fires, ==, expected[j]);
            g_assert_cmpint(timer_expire_time_ns(all[j].timer), ==, deadlines[j]);
        }
    }
    for (int i = 0; i < N; i++) {
        timer_free(all[i].timer);
    }
}

/* The loop once woke up for the old deadline of a timer that had been pushed back behind another.
 */
static void test_pushed_back_behind_one_deleted(Loop *loop)
{
    int64_t now = qemu_clock_get_ns(QEMU_CLOCK_REALTIME);
    int count = 0;
    QEMUTimer *first = aio_timer_new(loop->ctx, QEMU_CLOCK_REALTIME, SCALE_NS, test_count, &count);
    QEMUTimer *second = aio_timer_new(loop->ctx, QEMU_CLOCK_REALTIME, SCALE_NS, test_count, &count);

    timer_mod(first, now + HOUR_NS);
    timer_mod(second, now + 2 * HOUR_NS);
    timer_mod(second, now + 10 * HOUR_NS);
    timer_del(first);
    g_assert_cmpint(aio_timers_timeout_ns(loop->ctx), >, 5 * HOUR_NS);
    timer_free(first);
    timer_free(second);
}

static void test_armed_by_the_home_thread(Loop *loop)
{
    int count = 0;
    QEMUTimer *timer = aio_timer_new(loop->ctx, QEMU_CLOCK_REALTIME, SCALE_NS, test_count, &count);

    loop_passes(loop, 2);
    timer_mod(timer, qemu_clock_get_ns(QEMU_CLOCK_REALTIME) + HOUR_NS);
    g_assert_false(aio_prepare(loop->ctx));
    aio_pending(loop->ctx);
    timer_free(timer);
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    loop_test_add("armed-in-own-callback-fires-in-a-later-pass", test_armed_in_own_callback);
    loop_test_add("always-due-one-starves-nobody", test_always_due_starves_nobody);
    loop_test_add("deleted-in-own-callback", test_deleted_in_own_callback);
    loop_test_add("freed-in-own-callback", test_freed_in_own_callback);
    loop_test_add("deinitialised-in-own-callback", test_deinitialised_in_own_callback);
    loop_test_add("replaced-in-own-callback", test_replaced_in_own_callback);
    loop_test_add("deletes-others-that-are-due", test_deletes_due_ones);
    loop_test_add("frees-others-that-are-due", test_frees_due_ones);
    loop_test_add("pushes-others-that-are-due-back", test_pushes_due_ones_back);
    loop_test_add("stops-its-clock", test_stops_its_clock);
    loop_test_add("armed-while-the-loop-sleeps", test_armed_while_the_loop_sleeps);
    loop_test_add("anticipated-while-the-loop-sleeps", test_anticipated_while_the_loop_sleeps);
    loop_test_add("pushed-back-one-lets-the-loop-sleep", test_pushed_back_one_wakes_once);
    loop_test_add("pushed-back-by-another-thread-when-due", test_pushed_back_when_due);
    loop_test_add("many-changes-against-a-model", test_many_changes);
    loop_test_add("pushed-back-behind-one-deleted", test_pushed_back_behind_one_deleted);
    loop_test_add_aio_poll("armed-by-the-home-thread-costs-no-pass", test_armed_by_the_home_thread);
    return g_test_run();
}
