/*
 * Accepting clients on a listening socket.
 */
#include "config.h"
#include "sockets/acceptor.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

/* Descriptors are freed elsewhere, without a word. */
static const int64_t rest_ns = 100 * SCALE_MS;

static void acceptor_readable(void *opaque);

static void watch(Acceptor *acceptor)
{
    aio_set_fd_handler_full(acceptor->ctx, acceptor->fd, acceptor_readable, NULL, NULL, NULL,
                            acceptor, acceptor->name, NULL);
}

static void unwatch(Acceptor *acceptor)
{
    aio_set_fd_handler(acceptor->ctx, acceptor->fd, NULL, NULL, NULL, NULL, NULL);
}

/* ---- resting ---- */

static void acceptor_rest_is_over(void *opaque)
{
    watch(opaque);
}

static void rest(Acceptor *acceptor, int error)
{
    bool begins = !acceptor->failing;

    acceptor->failing = true;
    unwatch(acceptor);
    timer_mod_ns(&acceptor->timer, qemu_clock_get_ns(QEMU_CLOCK_REALTIME) + rest_ns);
    if (acceptor->ops->failed) {
        acceptor->ops->failed(acceptor->opaque, error, begins);
    }
}

void acceptor_wake(Acceptor *acceptor)
{
    if (acceptor->ctx && timer_pending(&acceptor->timer)) {
        timer_del(&acceptor->timer);
        watch(acceptor);
    }
}

/* ---- accepting ---- */

/* Whether the socket has been shut down: then it is readable for good, with nobody to accept. */
static bool is_shut_down(const Acceptor *acceptor)
{
    struct pollfd pollfd = { .fd = acceptor->fd };

    return poll(&pollfd, 1, 0) == 1 && (pollfd.revents & POLLHUP);
}

/* Give up a socket that has been shut down; returns whether it was. */
static bool give_up(Acceptor *acceptor)
{
    bool gone = is_shut_down(acceptor);

    if (gone) {
        acceptor_stop(acceptor);
        acceptor->ops->shut_down(acceptor->opaque);
    }
    return gone;
}

/* Nobody was accepted; returns whether to try again now. */
static bool fail(Acceptor *acceptor, int error)
{
    switch (error) {
    case ECONNABORTED:
    case EINTR:
    case EPROTO:
        /* That client has gone again. */
        if (acceptor->ops->failed) {
            acceptor->ops->failed(acceptor->opaque, error, false);
        }
        return true;
    default:
        if (!give_up(acceptor)) {
            rest(acceptor, error);
        }
        return false;
    }
}

static void acceptor_readable(void *opaque)
{
    Acceptor *acceptor = opaque;

    for (unsigned i = 0; acceptor->ctx && i < acceptor->ops->max_accepts; i++) {
        int fd = accept4(acceptor->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            acceptor->failing = false;
            acceptor->ops->accepted(acceptor->opaque, fd);
        } else if (errno == EAGAIN) {
            /* That is also what a unix socket says which was shut down. */
            if (i == 0) {
                give_up(acceptor);
            }
            return;
        } else if (!fail(acceptor, errno)) {
            return;
        }
    }
}

/* ---- life ---- */

void acceptor_init(Acceptor *acceptor, int fd, const AcceptorOps *ops, void *opaque)
{
    *acceptor = (Acceptor){ .ops = ops, .opaque = opaque, .name = ops->name, .fd = fd };
}

void acceptor_start(Acceptor *acceptor, AioContext *ctx)
{
    acceptor->ctx = ctx;
    aio_timer_init(ctx, &acceptor->timer, QEMU_CLOCK_REALTIME, SCALE_NS, acceptor_rest_is_over,
                   acceptor);
    watch(acceptor);
}

void acceptor_stop(Acceptor *acceptor)
{
    if (acceptor->ctx) {
        unwatch(acceptor);
        timer_deinit(&acceptor->timer);
        acceptor->ctx = NULL;
    }
}
