/*
 * aio_notify(): a wait ends, nothing is lost, and nothing else happens.
 */
#include "config.h"

#include <signal.h>

#include "tests/unit/loop-fixture.h"

static void test_before_the_wait(Loop *loop)
{
    loop_passes(loop, 2);
    for (int i = 0; i < 3; i++) {
        aio_notify(loop->ctx);
        loop_pass(loop, true); /* would hang */
    }
}

static void test_before_the_first_pass(Loop *loop)
{
    aio_notify(loop->ctx);
    loop_pass(loop, true); /* would hang */
}

static void *notify_thread(void *opaque)
{
    Loop *loop = opaque;

    loop_wait_until_idle(loop);
    atomic_store(&loop->stop, true);
    aio_notify(loop->ctx);
    return NULL;
}

static void test_during_the_wait(Loop *loop)
{
    loop_passes(loop, 2);
    for (int i = 0; i < 20; i++) {
        atomic_store(&loop->stop, false);
        pthread_t thread = test_thread_start(notify_thread, loop);
        /* A wait may also end early: a ring that another test has closed interrupts it. */
        do {
            loop_pass(loop, true);
        } while (!atomic_load(&loop->stop));
        test_thread_join(thread);
    }
}

static void test_alone_is_no_progress(Loop *loop)
{
    aio_notify(loop->ctx);
    g_assert_false(loop_pass(loop, true));
    aio_notify(loop->ctx);
    g_assert_false(loop_pass(loop, false));
    g_assert_false(loop_pass(loop, false));
}

static void test_loop_sleeps_again(Loop *loop)
{
    loop_start(loop);
    for (int i = 0; i < 20; i++) {
        loop_wait_until_idle(loop);
        aio_notify(loop->ctx);
        aio_notify(loop->ctx);
    }
    loop_assert_asleep(loop);
    loop_stop(loop);
}

static void test_own_thread_notifies(Loop *loop)
{
    /* In the thread that is about to wait: nobody else would wake it. */
    qemu_set_current_aio_context(loop->ctx);
    aio_notify(loop->ctx);
    loop_pass(loop, true);
    loop_passes(loop, 2);
    aio_notify(loop->ctx);
    loop_pass(loop, true);
}

/* ---- signals ---- */

/* Empty: it is there to interrupt, and ThreadSanitizer can lock up in a handler that does more. */
static void on_signal(int signum)
{
}

static void nothing(void *opaque)
{
}

static void test_signal_during_the_wait(Loop *loop)
{
    struct sigaction action = { .sa_handler = on_signal }, before;
    int fires = 0;
    QEMUTimer *timer = aio_timer_new(loop->ctx, QEMU_CLOCK_REALTIME, SCALE_NS, test_count, &fires);
    int fds[2], reads = 0;

    sigaction(SIGUSR1, &action, &before);
    test_pipe(fds);
    aio_set_fd_handler(loop->ctx, fds[0], test_count, NULL, NULL, NULL, &reads);
    timer_mod_ns(timer, INT64_MAX);
    loop_start(loop);
    for (int i = 0; i < 20; i++) {
        loop_wait_until_idle(loop);
        pthread_kill(loop->thread, SIGUSR1);
    }
    /* No handler was called for it, and everything goes on. */
    aio_wait_bh_oneshot(loop->ctx, nothing, NULL);
    loop_assert_asleep(loop);
    loop_stop(loop);
    g_assert_cmpint(reads, ==, 0);
    g_assert_cmpint(fires, ==, 0);
    sigaction(SIGUSR1, &before, NULL);
    aio_set_fd_handler(loop->ctx, fds[0], NULL, NULL, NULL, NULL, NULL);
    test_close(fds);
    timer_free(timer);
}

/* ---- nothing is lost ---- */

typedef struct PingPong {
    Loop *loops[2];
    atomic_int rounds_left;
} PingPong;

static void pong(void *opaque);

static void ping(void *opaque)
{
    PingPong *game = opaque;

    aio_bh_schedule_oneshot(game->loops[1]->ctx, pong, game);
}

static void pong(void *opaque)
{
    PingPong *game = opaque;

    if (atomic_fetch_sub(&game->rounds_left, 1) > 1) {
        aio_bh_schedule_oneshot(game->loops[0]->ctx, ping, game);
    }
}

static void test_no_wake_up_is_lost(Loop *loop)
{
    PingPong game = { .loops = { loop, loop_new_like(loop) } };

    /* Each loop goes to sleep between the rounds: one lost wake-up and both sleep for ever. */
    atomic_store(&game.rounds_left, test_scaled(5000));
    loop_start(game.loops[0]);
    loop_start(game.loops[1]);
    aio_bh_schedule_oneshot(loop->ctx, ping, &game);
    while (atomic_load(&game.rounds_left) > 0) {
        sched_yield();
    }
    loop_stop(game.loops[0]);
    loop_stop(game.loops[1]);
    loop_free(game.loops[1]);
}

static void test_dispatched_by_hand(Loop *loop)
{
    loop_passes(loop, 2);
    aio_notify(loop->ctx);
    g_assert_true(aio_prepare(loop->ctx));
    g_assert_true(aio_pending(loop->ctx)); /* else the next line is not for us to call */
    aio_dispatch(loop->ctx);
    g_assert_false(aio_prepare(loop->ctx));
    g_assert_false(aio_pending(loop->ctx));
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    loop_test_add("before-the-wait-ends-the-next-one", test_before_the_wait);
    loop_test_add("before-the-first-pass", test_before_the_first_pass);
    loop_test_add("during-the-wait-ends-it", test_during_the_wait);
    loop_test_add_aio_poll("alone-is-no-progress", test_alone_is_no_progress);
    loop_test_add("loop-sleeps-again", test_loop_sleeps_again);
    loop_test_add("from-its-own-thread", test_own_thread_notifies);
    loop_test_add("signal-during-the-wait", test_signal_during_the_wait);
    loop_test_add("no-wake-up-is-lost", test_no_wake_up_is_lost);
    loop_test_add_aio_poll("dispatched-by-hand", test_dispatched_by_hand);
    return g_test_run();
}
