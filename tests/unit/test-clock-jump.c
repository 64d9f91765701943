/*
 * Timers of QEMU_CLOCK_HOST when the wall clock jumps while the loop sleeps: it slept on until the
 * moment reckoned before the jump.
 *
 * Setting the machine's clock is not for a test, so this program has a wall clock of its own, and
 * an eventfd in place of the timerfd that the kernel would cancel.
 */
#include "config.h"

#include <sched.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/loop-fixture.h"

#define HOUR_S  3600
#define HOUR_NS (HOUR_S * INT64_C(1000000000))

static atomic_int jumped_s;
static atomic_int jump_fd = -1;

/* These three stand in for the C library's. */

int clock_gettime(clockid_t id, struct timespec *ts)
{
    int ret = (int)syscall(SYS_clock_gettime, id, ts);

    if (id == CLOCK_REALTIME) {
        ts->tv_sec += atomic_load(&jumped_s);
    }
    return ret;
}

int timerfd_create(int id, int flags)
{
    if (id != CLOCK_REALTIME) {
        return (int)syscall(SYS_timerfd_create, id, flags);
    }
    g_assert_cmpint(atomic_load(&jump_fd), ==, -1);
    atomic_store(&jump_fd, eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    return atomic_load(&jump_fd);
}

int timerfd_settime(int fd, int flags, const struct itimerspec *new_value,
                    struct itimerspec *old_value)
{
    int real = fd;

    if (fd == atomic_load(&jump_fd)) {
        /* The kernel takes this as it stands. */
        g_assert_cmpint(flags, ==, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET);
        real = (int)syscall(SYS_timerfd_create, CLOCK_REALTIME, TFD_CLOEXEC);
    }
    int ret = (int)syscall(SYS_timerfd_settime, real, flags, new_value, old_value);
    if (real != fd) {
        g_assert_cmpint(ret, ==, 0);
        close(real);
    }
    return ret;
}

static void jump(int seconds)
{
    atomic_fetch_add(&jumped_s, seconds);
    eventfd_write(atomic_load(&jump_fd), 1);
}

static void count_atomically(void *opaque)
{
    atomic_int *count = opaque;

    atomic_fetch_add(count, 1);
}

static void reset(void)
{
    atomic_store(&jumped_s, 0);
    atomic_store(&jump_fd, -1);
}

static void test_jump_forward(Loop *loop)
{
    atomic_int fires = 0;
    QEMUTimer *timer =
        aio_timer_new(loop->ctx, QEMU_CLOCK_HOST, SCALE_NS, count_atomically, &fires);

    reset();
    loop_start(loop);
    for (int i = 1; i <= 10; i++) {
        timer_mod(timer, qemu_clock_get_ns(QEMU_CLOCK_HOST) + 2 * HOUR_NS);
        loop_wait_until_idle(loop);
        jump(HOUR_S);
        loop_assert_asleep(loop);
        g_assert_cmpint(atomic_load(&fires), ==, i - 1);
        jump(HOUR_S);
        while (atomic_load(&fires) < i) { /* would hang */
            sched_yield();
        }
    }
    loop_stop(loop);
    timer_free(timer);
}

static void test_jump_back(Loop *loop)
{
    atomic_int fires = 0;
    QEMUTimer *timer =
        aio_timer_new(loop->ctx, QEMU_CLOCK_HOST, SCALE_NS, count_atomically, &fires);

    reset();
    loop_start(loop);
    timer_mod(timer, qemu_clock_get_ns(QEMU_CLOCK_HOST) + HOUR_NS);
    loop_wait_until_idle(loop);
    jump(-HOUR_S);
    loop_assert_asleep(loop);
    jump(HOUR_S + HOUR_S / 2);
    loop_assert_asleep(loop);
    g_assert_cmpint(atomic_load(&fires), ==, 0);
    jump(HOUR_S / 2);
    while (atomic_load(&fires) == 0) { /* would hang */
        sched_yield();
    }
    loop_stop(loop);
    timer_free(timer);
}

static void test_only_where_it_matters(Loop *loop)
{
    int count = 0, fds;
    QEMUTimer *host = aio_timer_new(loop->ctx, QEMU_CLOCK_HOST, SCALE_NS, test_count, &count);
    QEMUTimer *other = aio_timer_new(loop->ctx, QEMU_CLOCK_VIRTUAL, SCALE_NS, test_count, &count);

    reset();
    fds = test_count_fds();
    timer_mod(other, HOUR_NS);
    g_assert_cmpint(test_count_fds(), ==, fds);
    timer_mod(host, 0);
    g_assert_cmpint(test_count_fds(), ==, fds + 1);
    timer_mod(host, 1);
    g_assert_cmpint(test_count_fds(), ==, fds + 1);
    timer_free(host);
    timer_free(other);
}

static void test_is_no_progress(Loop *loop)
{
    int count = 0;
    QEMUTimer *timer = aio_timer_new(loop->ctx, QEMU_CLOCK_HOST, SCALE_NS, test_count, &count);

    reset();
    timer_mod(timer, qemu_clock_get_ns(QEMU_CLOCK_HOST) + 2 * HOUR_NS);
    loop_passes(loop, 3);
    jump(HOUR_S);
    g_assert_false(loop_pass(loop, true));
    g_assert_false(loop_pass(loop, false));
    g_assert_cmpint(count, ==, 0);
    timer_free(timer);
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    loop_test_add("jump-forward", test_jump_forward);
    loop_test_add("jump-back", test_jump_back);
    loop_test_add("watched-only-where-it-matters", test_only_where_it_matters);
    loop_test_add_aio_poll("jump-is-no-progress", test_is_no_progress);
    return g_test_run();
}
