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
 * The kernel keeps a registration as long as the file is open, under whatever number. When a
 * descriptor was closed before its handler was removed, the change that would take the node out of
 * the set fails, and the set may report it for ever. Such a node is stale: it is kept allocated,
 * and when it is reported, or there are many, a new set is made without them.
 *
 * epoll refuses what has no readiness (regular files, some devices). poll(2) calls those always
 * ready, and so does this monitor.
 */
#include "config.h"
#include "loop/aio-internal.h"
#include "loop/main-loop.h"

#include <errno.h>
#include <fcntl.h>
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
        fdmon_set_error(errp, "epoll_create1", errno);
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

static int control(int epoll_fd, int op, int fd, AioHandler *handler)
{
    struct epoll_event event = { .data.ptr = handler };

    if (handler) {
        event.events = (uint32_t)aio_handler_events(handler) | (handler->internal ? EPOLLET : 0);
    }
    return epoll_ctl(epoll_fd, op, fd, &event);
}

/* Add @handler, or change it when its descriptor has been registered before. */
static void add(AioContext *ctx, AioHandler *handler)
{
    int fd = handler->fd;

    if (control(ctx->epoll.fd, EPOLL_CTL_ADD, fd, handler) == 0 ||
        (errno == EEXIST && control(ctx->epoll.fd, EPOLL_CTL_MOD, fd, handler) == 0)) {
        return;
    }
    if (errno == EPERM) {
        unpollable_add(ctx, handler);
    } else if (errno == EBADF) {
        g_warning("%s: handler for descriptor %d, which is not open", handler->name, fd);
    } else {
        /* ENOSPC, ENOMEM: the user's share of epoll is used up. */
        fdmon_downgrade(ctx, errno);
    }
}

/* As many stale nodes as live ones may wait for a new set, and a few more, so that making it costs
 * each no more than a system call or two. */
#define MAX_STALE 64

/* The set may still hold @handler, whose descriptor was closed before this. If it does not, no more
 * has happened than that the node is freed late. */
static void now_stale(AioContext *ctx, AioHandler *handler)
{
    /* Relaxed: the home thread looks at it under the lock, or sees it at the next report. */
    atomic_store_explicit(&handler->stale, true, memory_order_relaxed);
    if (++ctx->epoll.n_stale >= MAX_STALE + g_hash_table_size(ctx->handlers) &&
        !atomic_load_explicit(&ctx->epoll.renew, memory_order_relaxed)) {
        /* Relaxed: the notification that follows orders it. */
        atomic_store_explicit(&ctx->epoll.renew, true, memory_order_relaxed);
        aio_notify(ctx);
    }
}

static void epoll_update(AioContext *ctx, AioHandler *old_handler, AioHandler *new_handler)
{
    bool changed = false;

    if (old_handler && unpollable_remove(ctx, old_handler)) {
        old_handler = NULL;
    }
    if (old_handler) {
        changed = control(ctx->epoll.fd, new_handler ? EPOLL_CTL_MOD : EPOLL_CTL_DEL,
                          old_handler->fd, new_handler) == 0;
        /* ENOENT, EBADF: the number is another file's now, or none's. While there are registrations
         * of stale nodes, a change that succeeds may have reached one of those. */
        if (!changed || ctx->epoll.n_stale > 0) {
            now_stale(ctx, old_handler);
        }
    }
    if (new_handler && !changed) {
        add(ctx, new_handler);
    }
}

/* Register all handlers in the set @fd, which is new; false when the system refuses. */
static bool register_all(AioContext *ctx, int fd)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, ctx->handlers);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        AioHandler *handler = value;

        /* Closed ones are left out, of which one may even have had the number of the new set.
         * EPERM: among the unpollable. */
        if (handler->fd != fd && control(fd, EPOLL_CTL_ADD, handler->fd, handler) != 0 &&
            errno != EPERM && errno != EBADF) {
            return false;
        }
    }
    return true;
}

/* Make a new set without the stale nodes. It takes the number of the old one, which a GMainContext
 * may have among those to poll. */
static void renew(AioContext *ctx)
{
    int fd;

    pthread_mutex_lock(&ctx->lock);
    atomic_store_explicit(&ctx->epoll.renew, false, memory_order_relaxed);
    ctx->epoll.n_stale = 0;
    fd = epoll_create1(EPOLL_CLOEXEC);
    if (fd >= 0 && register_all(ctx, fd) && dup3(fd, ctx->epoll.fd, O_CLOEXEC) >= 0) {
        aio_free_stale_locked(ctx);
    } else {
        fdmon_downgrade(ctx, errno);
    }
    if (fd >= 0) {
        close(fd);
    }
    pthread_mutex_unlock(&ctx->lock);
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

        if (atomic_load_explicit(&handler->stale, memory_order_relaxed)) {
            atomic_store_explicit(&ctx->epoll.renew, true, memory_order_relaxed);
        } else if (!handler->internal) {
            aio_handler_ready(ctx, handler, events[i].events);
        }
    }
    if (atomic_load_explicit(&ctx->epoll.renew, memory_order_relaxed)) {
        renew(ctx);
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
