/*
 * The fd monitor on epoll(7): level-triggered, O(1) in the number of idle descriptors.
 *
 * The kernel's set is changed by whoever changes a handler, at once: epoll_ctl() reaches a thread
 * that is blocked in epoll_wait(), so that needs no notification. What a wait has already returned
 * for a node that is taken out meanwhile is harmless, for the node stays allocated until the end of
 * the pass.
 *
 * The context's own notifier is registered edge-triggered: each aio_notify() is reported once, and
 * nothing has to be read to make it silent again.
 *
 * epoll refuses what has no readiness (regular files, some devices). poll(2) calls those always
 * ready, and so does this monitor.
 */
#include "config.h"
#include "loop/aio-internal.h"
#include "loop/main-loop.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

/* How many events one system call takes over; more than these wait for the next pass. */
#define MAX_EVENTS 128

/* By number, for C libraries older than the kernel; glibc has it since 2.35. */
static int syscall_epoll_pwait2(int fd, struct epoll_event *events, int max,
                                const struct timespec *timeout)
{
    return (int)syscall(SYS_epoll_pwait2, fd, events, max, timeout, NULL, 0);
}

/* poll(2) and epoll(7) give the bits that we use the same values. */
G_STATIC_ASSERT(EPOLLIN == POLLIN && EPOLLOUT == POLLOUT && EPOLLERR == POLLERR &&
                EPOLLHUP == POLLHUP);

static bool epoll_setup(AioContext *ctx, GError **errp)
{
    ctx->epoll.fd = epoll_create1(EPOLL_CLOEXEC);
    if (ctx->epoll.fd < 0) {
        g_set_error(errp, AIO_ERROR, AIO_ERROR_SYSTEM, "epoll_create1: %s", g_strerror(errno));
        return false;
    }
    return true;
}

static void epoll_teardown(AioContext *ctx)
{
    close(ctx->epoll.fd);
    ctx->epoll.fd = -1;
}

static void unpollable_add(AioContext *ctx, AioHandler *handler)
{
    handler->next_unpollable = ctx->epoll.unpollable;
    ctx->epoll.unpollable = handler;
    /* Relaxed: the notification that follows orders it. */
    atomic_store_explicit(&ctx->epoll.has_unpollable, true, memory_order_relaxed);
    aio_notify(ctx);
}

/* Returns whether @handler was among them. */
static bool unpollable_remove(AioContext *ctx, AioHandler *handler)
{
    for (AioHandler **link = &ctx->epoll.unpollable; *link; link = &(*link)->next_unpollable) {
        if (*link == handler) {
            *link = handler->next_unpollable;
            atomic_store_explicit(&ctx->epoll.has_unpollable, ctx->epoll.unpollable != NULL,
                                  memory_order_relaxed);
            return true;
        }
    }
    return false;
}

static int control(AioContext *ctx, int op, int fd, AioHandler *handler)
{
    struct epoll_event event = { .data.ptr = handler };

    if (handler) {
        event.events = (uint32_t)aio_handler_events(handler) | (handler->internal ? EPOLLET : 0);
    }
    return epoll_ctl(ctx->epoll.fd, op, fd, &event);
}

/* Add @handler, or change it when its descriptor has been registered before. */
static void add(AioContext *ctx, AioHandler *handler)
{
    int fd = handler->fd;

    if (control(ctx, EPOLL_CTL_ADD, fd, handler) == 0 ||
        (errno == EEXIST && control(ctx, EPOLL_CTL_MOD, fd, handler) == 0)) {
        return;
    }
    if (errno == EPERM) {
        unpollable_add(ctx, handler);
    } else if (errno == EBADF) {
        g_warning("%s: handler for descriptor %d, which is not open", handler->name, fd);
    } else {
        /* ENOSPC, ENOMEM: the user's share of epoll is used up. */
        fdmon_downgrade(ctx);
    }
}

static void epoll_update(AioContext *ctx, AioHandler *old_handler, AioHandler *new_handler)
{
    if (old_handler && unpollable_remove(ctx, old_handler)) {
        old_handler = NULL;
    }
    if (!new_handler) {
        if (old_handler) {
            /* ENOENT, EBADF: it was closed before it was removed; the kernel has forgotten it. */
            control(ctx, EPOLL_CTL_DEL, old_handler->fd, NULL);
        }
    } else if (!old_handler || control(ctx, EPOLL_CTL_MOD, new_handler->fd, new_handler) != 0) {
        add(ctx, new_handler);
    }
}

static void report_unpollable(AioContext *ctx)
{
    pthread_mutex_lock(&ctx->lock);
    for (AioHandler *handler = ctx->epoll.unpollable; handler; handler = handler->next_unpollable) {
        aio_handler_ready(ctx, handler, (uint32_t)aio_handler_events(handler));
    }
    pthread_mutex_unlock(&ctx->lock);
}

/*
 * Sleep for a time in ns. epoll_pwait2() does that; where the kernel or the C library has none,
 * ppoll() waits first until the set is readable.
 */
static int sleep_ns(AioContext *ctx, struct epoll_event *events, int64_t timeout_ns)
{
    static atomic_bool no_pwait2;
    GPollFD pollfd = { .fd = ctx->epoll.fd, .events = G_IO_IN };
    struct timespec ts = {
        .tv_sec = timeout_ns / 1000000000,
        .tv_nsec = timeout_ns % 1000000000,
    };

    if (!atomic_load_explicit(&no_pwait2, memory_order_relaxed)) {
        int n = syscall_epoll_pwait2(ctx->epoll.fd, events, MAX_EVENTS, &ts);

        if (n >= 0 || errno != ENOSYS) {
            return n;
        }
        atomic_store_explicit(&no_pwait2, true, memory_order_relaxed);
    }
    if (qemu_poll_ns(&pollfd, 1, timeout_ns) <= 0) {
        return 0;
    }
    return epoll_wait(ctx->epoll.fd, events, MAX_EVENTS, 0);
}

static bool epoll_ready_now(AioContext *ctx)
{
    return atomic_load_explicit(&ctx->epoll.has_unpollable, memory_order_relaxed);
}

static void epoll_wait_ready(AioContext *ctx, int64_t timeout_ns)
{
    struct epoll_event events[MAX_EVENTS];
    int n;

    if (epoll_ready_now(ctx)) {
        report_unpollable(ctx);
        timeout_ns = 0;
    }
    if (timeout_ns > 0) {
        n = sleep_ns(ctx, events, timeout_ns);
    } else {
        n = epoll_wait(ctx->epoll.fd, events, MAX_EVENTS, timeout_ns < 0 ? -1 : 0);
    }
    atomic_load_explicit(&ctx->generation, memory_order_acquire);
    /* Negative with EINTR only: the loop then takes one more turn. */
    for (int i = 0; i < n; i++) {
        AioHandler *handler = events[i].data.ptr;

        if (!handler->internal) {
            aio_handler_ready(ctx, handler, events[i].events);
        }
    }
}

static int epoll_get_fd(AioContext *ctx)
{
    return ctx->epoll.fd;
}

const FDMonOps fdmon_epoll_ops = {
    .name = "epoll",
    .kind = AIO_FDMON_EPOLL,
    .setup = epoll_setup,
    .teardown = epoll_teardown,
    .update = epoll_update,
    .wait = epoll_wait_ready,
    .ready_now = epoll_ready_now,
    .get_fd = epoll_get_fd,
};
