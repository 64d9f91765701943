/*
 * Waking a loop when the wall clock jumps.
 *
 * How long a loop may sleep for a timer of QEMU_CLOCK_HOST it reckons by that clock before it
 * sleeps; when the clock is set meanwhile, that is wrong. The kernel cancels a timerfd of that
 * clock then (TFD_TIMER_CANCEL_ON_SET), which makes it readable: the loop wakes up and reckons
 * anew. A context gets one, which never expires, with the first such timer that is armed.
 */
#include "config.h"
#include "loop/aio-internal.h"

#include <sys/timerfd.h>
#include <unistd.h>

/* Having woken the loop is all; what is read is the error ECANCELED. Unread, it tells of the next
 * jump as well. */
static void clear_jump(void *opaque)
{
    AioContext *ctx = opaque;
    uint64_t expirations;

    while (read(ctx->clock_jump_fd, &expirations, sizeof(expirations)) > 0) {
    }
}

static int open_jump_timer(void)
{
    const struct itimerspec never = { .it_value.tv_sec = INT64_MAX / 1000000000 };
    int fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);

    if (fd >= 0 &&
        timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

void aio_watch_clock_jumps(AioContext *ctx)
{
    int fd;

    /* Relaxed: who finds it set has nothing to do, and reads nothing that depends on it. */
    if (atomic_load_explicit(&ctx->watches_clock_jumps, memory_order_relaxed) ||
        atomic_exchange(&ctx->watches_clock_jumps, true)) {
        return;
    }
    fd = open_jump_timer();
    if (fd < 0) {
        /* Out of descriptors: the next timer tries again. */
        atomic_store(&ctx->watches_clock_jumps, false);
        return;
    }
    ctx->clock_jump_fd = fd;
    aio_set_internal_handler(ctx, fd, clear_jump, ctx, "clock-jump");
}

void aio_clock_jump_cleanup(AioContext *ctx)
{
    if (atomic_load(&ctx->watches_clock_jumps)) {
        close(ctx->clock_jump_fd);
    }
}
