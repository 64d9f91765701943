/*
 * Level-triggered readiness from polls that report changes.
 *
 * A poll for many events (fdmon-io_uring.c) reports that a descriptor has become ready, and says
 * nothing while it remains so. So a handler that was reported stays on a list, ring->look, until it
 * has been seen not to be ready: before each wait one poll(2) looks at all of the list whose
 * callbacks have been called. Who is still ready is called again; the others leave the list.
 *
 * A completion may be about what the callbacks have dealt with, and a handler of a blocking
 * descriptor would hang if it were called for nothing. So it is no more than a reason to look.
 *
 * A handler that one look after another finds ready needs nobody to wake the loop. After some time
 * it is busy: its poll is disarmed, so that what arrives no longer costs a completion, and it is
 * looked at only. It is armed again when a look finds it not to be ready. Arming is a look itself:
 * nothing is lost between the two.
 */
#include "config.h"
#include "loop/ring.h"

#include <errno.h>

/* How many times in a row a handler is found ready until it is busy. Disarming its poll and arming
 * it again costs about as much as three completions. */
#define BUSY_AFTER 16

bool ring_level_is_busy(const AioHandler *handler)
{
    return handler->n_still_ready == BUSY_AFTER;
}

static void list_add(AioRing *ring, AioHandler *handler)
{
    if (handler->in_look) {
        return;
    }
    if (ring->n_look == ring->max_look) {
        ring->max_look = MAX(64, 2 * ring->max_look);
        ring->look = g_renew(AioHandler *, ring->look, ring->max_look);
        ring->look_fds = g_renew(struct pollfd, ring->look_fds, ring->max_look);
    }
    handler->in_look = true;
    ring->look[ring->n_look++] = handler;
}

/* It is ready again, or still. */
static void count_ready(AioRing *ring, AioHandler *handler)
{
    if (handler->n_still_ready < BUSY_AFTER && ++handler->n_still_ready == BUSY_AFTER) {
        ring_poll_todo(ring, handler);
    }
}

static void count_not_ready(AioRing *ring, AioHandler *handler)
{
    if (ring_level_is_busy(handler)) {
        ring_poll_todo(ring, handler);
    }
    handler->n_still_ready = 0;
}

void ring_level_completed(AioRing *ring, AioHandler *handler)
{
    /* What the completion says is not minded: a thread that writes wakes the poll some time after
     * the bytes are there, when a callback may have read them, and the kernel then reports what it
     * was woken for without a look. */
    list_add(ring, handler);
    ring->to_look = true;
}

void ring_level_dispatched(AioContext *ctx, AioHandler *handler)
{
    if (handler->in_look) {
        ctx->ring->to_look = true;
        /* GLib may be about to wait: another source's prepare has run this pass. */
        aio_notify_waiting(ctx);
    }
}

/* Drop those from the list that need no look, and fill in ring->look_fds. Returns how many there
 * are to look at. */
static size_t collect(AioRing *ring)
{
    size_t n_before = ring->n_look;
    size_t n = 0;

    ring->n_look = 0;
    for (size_t i = 0; i < n_before; i++) {
        AioHandler *handler = ring->look[i];

        if (atomic_load_explicit(&handler->removed, memory_order_relaxed) || handler->closed) {
            handler->in_look = false;
            continue;
        }
        ring->look_fds[ring->n_look] = (struct pollfd){
            .fd = handler->in_ready ? -1 : handler->fd, /* -1 is left out */
            .events = aio_handler_events(handler),
        };
        ring->look[ring->n_look++] = handler;
        n += !handler->in_ready;
    }
    return n;
}

/* Look at one. What can't be looked at is called, as if it were ready: in a state as rare as a
 * limit of no descriptors at all (EINVAL) a callback for nothing is better than none for something.
 */
static void poll_one(struct pollfd *pollfd)
{
    int n;

    do {
        n = poll(pollfd, 1, 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        pollfd->revents = pollfd->events;
    }
}

/* One system call; or, if the system refuses so many at once, one for each. */
static void poll_all(struct pollfd *fds, size_t n)
{
    if (poll(fds, n, 0) >= 0) {
        return;
    }
    for (size_t i = 0; i < n; i++) {
        poll_one(&fds[i]);
    }
}

void ring_level_look(AioContext *ctx)
{
    AioRing *ring = ctx->ring;
    size_t n_before;

    /* In a nested pass, also at those whose callbacks have not returned. */
    if (!ring->to_look && ctx->depth == 0) {
        return;
    }
    ring->to_look = false;
    if (collect(ring) == 0) {
        return;
    }
    poll_all(ring->look_fds, ring->n_look);
    n_before = ring->n_look;
    ring->n_look = 0;
    for (size_t i = 0; i < n_before; i++) {
        AioHandler *handler = ring->look[i];
        const struct pollfd *pollfd = &ring->look_fds[i];

        if (pollfd->fd >= 0 && (pollfd->revents & POLLNVAL || !pollfd->revents)) {
            handler->in_look = false;
            count_not_ready(ring, handler);
            if (pollfd->revents & POLLNVAL) {
                aio_handler_closed(ctx, handler);
                ring_poll_todo(ring, handler);
            }
            continue;
        }
        if (pollfd->fd >= 0) {
            count_ready(ring, handler);
            aio_handler_ready(ctx, handler, (uint32_t)pollfd->revents);
        }
        ring->look[ring->n_look++] = handler;
    }
}
