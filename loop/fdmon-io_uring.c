/*
 * The fd monitor on io_uring(7): O(1) in the number of idle descriptors, and what is ready shows in
 * memory that the kernel shares, so that the loop can look without a system call.
 *
 * Each handler is a poll for many events on the context's ring (IORING_POLL_ADD_MULTI). Such polls
 * report changes; loop/ring-level.c makes levels of them. (The flag IORING_POLL_ADD_LEVEL, which
 * would, Linux refuses for polls.) What the loop has for itself is only there to wake it, and needs
 * no level.
 *
 * Polls for one event, made again before each wait, were what this monitor had before. The kernel
 * then looks by itself whether a descriptor is still ready, but to make a request for each event
 * costs more than to look with poll(2). In processor time, of which the work of the callbacks is
 * the greater part, an event took 1.3 times as much with them where all of 100 descriptors are
 * ready all the time, 1.15 times where 100 of 9,000 are, and 1.5 times where it is always the same
 * one.
 *
 * A poll holds its file open. So the home thread disarms the poll of a handler that it takes out at
 * once, and that of another thread as soon as it is woken. A node whose poll is armed is not freed
 * before the poll's completion has come in.
 */
#include "config.h"
#include "loop/ring.h"

#include <errno.h>

/* As large as pays: the kernel has 256 lists of polls then, and does not make more. */
#define MAX_CQ_ENTRIES 8192

void ring_poll_todo(AioRing *ring, AioHandler *handler)
{
    if (handler->in_todo) {
        return;
    }
    handler->in_todo = true;
    handler->next_todo = NULL;
    if (ring->todo_tail) {
        ring->todo_tail->next_todo = handler;
    } else {
        ring->todo_head = handler;
    }
    ring->todo_tail = handler;
    ring->n_todo++;
}

static void todo_drop_first(AioRing *ring)
{
    AioHandler *handler = ring->todo_head;

    handler->in_todo = false;
    ring->todo_head = handler->next_todo;
    if (!ring->todo_head) {
        ring->todo_tail = NULL;
    }
    ring->n_todo--;
}

static bool wants_poll(const AioHandler *handler)
{
    /* One that has only io_poll has nothing to wait for. */
    return !atomic_load_explicit(&handler->removed, memory_order_relaxed) && !handler->closed &&
           !ring_level_is_busy(handler) && aio_handler_events(handler) != 0;
}

static bool arm(AioRing *ring, AioHandler *handler)
{
    struct io_uring_sqe *sqe = ring_get_sqe(ring);

    if (!sqe) {
        return false;
    }
    io_uring_prep_poll_multishot(sqe, handler->fd, (unsigned)aio_handler_events(handler));
    sqe->user_data = (uintptr_t)handler | RING_TAG_POLL;
    handler->armed = true;
    ring->n_armed++;
    return true;
}

/* It is armed until the completion of its poll comes in. By a cancellation, for a removal of the
 * poll (IORING_OP_POLL_REMOVE) fails while an event of it is about to be reported, with EALREADY,
 * and a poll for many events then goes on. */
static bool disarm(AioRing *ring, AioHandler *handler)
{
    struct io_uring_sqe *sqe = ring_get_sqe(ring);

    if (!sqe) {
        return false;
    }
    io_uring_prep_cancel64(sqe, (uintptr_t)handler | RING_TAG_POLL, 0);
    sqe->user_data = RING_TAG_NONE;
    return true;
}

/* Make the kernel's view of @handler what it ought to be. False when it takes nothing now. */
static bool sync_handler(AioRing *ring, AioHandler *handler)
{
    bool wanted = wants_poll(handler);

    if (wanted == handler->armed) {
        return true;
    }
    return wanted ? arm(ring, handler) : disarm(ring, handler);
}

static void sync_todo(AioRing *ring)
{
    while (ring->todo_head && sync_handler(ring, ring->todo_head)) {
        todo_drop_first(ring);
    }
}

static void change_locked(AioRing *ring, AioHandler *handler)
{
    if (!handler->in_changes) {
        handler->in_changes = true;
        handler->next_change = ring->changes;
        ring->changes = handler;
        /* Relaxed: the notification that follows orders it. */
        atomic_store_explicit(&ring->has_changes, true, memory_order_relaxed);
    }
}

static void take_changes(AioContext *ctx)
{
    AioRing *ring = ctx->ring;

    if (!atomic_load_explicit(&ring->has_changes, memory_order_relaxed)) {
        return;
    }
    pthread_mutex_lock(&ctx->lock);
    for (AioHandler *handler = ring->changes; handler; handler = handler->next_change) {
        handler->in_changes = false;
        ring_poll_todo(ring, handler);
    }
    ring->changes = NULL;
    atomic_store_explicit(&ring->has_changes, false, memory_order_relaxed);
    pthread_mutex_unlock(&ctx->lock);
}

static void io_uring_update(AioContext *ctx, AioHandler *old_handler, AioHandler *new_handler)
{
    AioRing *ring = ctx->ring;

    if (!in_aio_context_home_thread(ctx)) {
        if (old_handler) {
            change_locked(ring, old_handler);
        }
        if (new_handler) {
            change_locked(ring, new_handler);
        }
        aio_notify(ctx);
        return;
    }
    if (new_handler) {
        ring_poll_todo(ring, new_handler);
        aio_prepare_again(ctx);
    }
    if (old_handler && old_handler->armed) {
        ring_poll_todo(ring, old_handler);
        sync_todo(ring);
        ring_enter(ring, 0);
    }
}

void ring_poll_completed(AioContext *ctx, AioHandler *handler, int res, unsigned flags)
{
    if (!(flags & IORING_CQE_F_MORE)) {
        handler->armed = false;
        ctx->ring->n_armed--;
    }
    if (atomic_load_explicit(&handler->removed, memory_order_relaxed) || handler->closed) {
        return;
    }
    if (res == -EBADF) {
        aio_handler_closed(ctx, handler);
        return;
    }
    if (res < 0 && res != -ECANCELED && res != -ENOMEM && res != -EAGAIN) {
        g_warning("%s: can't wait for descriptor %d: %s", handler->name, handler->fd,
                  g_strerror(-res));
        return;
    }
    if (!handler->armed && handler->internal) {
        /* A poll for many events that ended all the same. Nobody reads such a descriptor, so the
         * next one would complete at once, and so on. */
        handler->io_read(handler->opaque);
    }
    if (!handler->armed) {
        /* -ECANCELED: the thread that made the poll has ended. */
        ring_poll_todo(ctx->ring, handler);
    }
    if (res > 0 && handler->internal) {
        /* It is to end the wait, also one that begins only after this. The context's own notifier
         * has its mark already, or it was accepted. */
        if (handler->opaque != &ctx->notifier) {
            atomic_store(&ctx->notified, true);
        }
    } else if (res > 0) {
        ring_level_completed(ctx->ring, handler);
    }
}

/* Every node that the kernel may have a poll of, so that each can be looked at without the lock:
 * only this thread frees nodes. */
static GPtrArray *armed_handlers(AioContext *ctx)
{
    GPtrArray *armed = g_ptr_array_sized_new(ctx->ring->n_armed);
    GHashTableIter iter;
    gpointer value;

    pthread_mutex_lock(&ctx->lock);
    g_hash_table_iter_init(&iter, ctx->handlers);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        if (((AioHandler *)value)->armed) {
            g_ptr_array_add(armed, value);
        }
    }
    for (AioHandler *handler = ctx->retired; handler; handler = handler->next_retired) {
        if (handler->armed) {
            g_ptr_array_add(armed, handler);
        }
    }
    pthread_mutex_unlock(&ctx->lock);
    return armed;
}

/*
 * One by one: the kernel finds each in a list of its own. A cancellation of all at once looks at
 * those again that it has cancelled already, so that many take the square of the time.
 */
void ring_disarm_polls(AioContext *ctx)
{
    g_autoptr(GPtrArray) armed = NULL;
    AioRing *ring = ctx->ring;

    if (ring->n_armed == 0) {
        return;
    }
    armed = armed_handlers(ctx);
    for (guint i = 0; i < armed->len; i++) {
        AioHandler *handler = g_ptr_array_index(armed, i);

        if (io_uring_sq_space_left(&ring->uring) == 0) {
            /* Make room in both queues, or the completions go through the kernel's memory. */
            ring_enter(ring, 0);
            ring_reap(ctx);
        }
        if (handler->armed) {
            disarm(ring, handler);
        }
    }
}

/* The polls of a ring that is no more, made by threads that drove the loop before. */
static void forget_polls(AioContext *ctx)
{
    g_autoptr(GPtrArray) armed = armed_handlers(ctx);

    for (guint i = 0; i < armed->len; i++) {
        AioHandler *handler = g_ptr_array_index(armed, i);

        handler->armed = false;
        ring_poll_todo(ctx->ring, handler);
    }
    ctx->ring->n_armed = 0;
}

/*
 * Let the ring grow with the number of polls. Its completion queue then has room for all of them;
 * and the kernel, which looks a poll up in lists whose number depends on the size of that queue,
 * takes no longer to cancel one among many. Their number has its maximum with MAX_CQ_ENTRIES.
 * Returns whether it has, and so may have handed out a notification.
 */
static bool grow_when_crowded(AioContext *ctx)
{
    AioRing *ring = ctx->ring;
    unsigned n_polls = ring->n_armed;

    if (n_polls + ring->n_todo <= ring->crowded_at || ring->cq_entries >= MAX_CQ_ENTRIES ||
        ring->in_flight) {
        return false;
    }
    for (AioHandler *handler = ring->todo_head; handler; handler = handler->next_todo) {
        n_polls += !handler->armed;
    }
    if (n_polls <= ring->crowded_at) {
        return false;
    }
    if (!ring_grow(ctx, MIN(n_polls, MAX_CQ_ENTRIES))) {
        /* Out of descriptors or memory, as a rule for a while. */
        ring->crowded_at = 2 * n_polls;
        return false;
    }
    forget_polls(ctx);
    return true;
}

static void queue_submissions(AioContext *ctx)
{
    take_changes(ctx);
    sync_todo(ctx->ring);
    ring_take_requests(ctx);
}

static void io_uring_wait(AioContext *ctx, int64_t timeout_ns)
{
    AioRing *ring = ctx->ring;

    take_changes(ctx);
    /* Here, for GLib may wait for the ring's descriptor as from prepare on. */
    if (grow_when_crowded(ctx)) {
        timeout_ns = 0;
    }
    /* Otherwise prepare has done this. What came since may be a notification, which is to end the
     * wait. */
    if (timeout_ns == 0) {
        ring_reap(ctx);
        ring_level_look(ctx);
    }
    queue_submissions(ctx);
    /* Polls are left when the kernel took nothing: it would not wake us for them. */
    ring_enter(ring,
               ring->n_completions > 0 || ring->todo_head || ctx->ready_head ? 0 : timeout_ns);
    ring_reap(ctx);
    ring_level_look(ctx);
}

static void io_uring_prepare(AioContext *ctx, bool submit)
{
    ring_reap(ctx);
    ring_level_look(ctx);
    if (!submit) {
        return;
    }
    queue_submissions(ctx);
    ring_enter(ctx->ring, 0);
    ring_reap(ctx);
    ring_level_look(ctx);
    if ((ctx->ring->todo_head && !ctx->ready_head) || io_uring_sq_ready(&ctx->ring->uring) > 0) {
        /* A poll that was cancelled has to be made again, or the kernel has not taken everything:
         * take one more turn. */
        aio_notify(ctx);
    }
}

/* What a thread has submitted would outlive it, to fail when its event comes. */
static void io_uring_leave(AioContext *ctx)
{
    ring_cancel_all(ctx);
}

static bool io_uring_ready_now(AioContext *ctx)
{
    return ring_has_completions(ctx->ring);
}

static int io_uring_get_fd(AioContext *ctx)
{
    return ctx->ring->uring.ring_fd;
}

const FDMonOps fdmon_io_uring_ops = {
    .name = "io_uring",
    .kind = AIO_FDMON_IO_URING,
    .peeks = true,
    .setup = ring_open,
    .teardown = ring_close,
    .update = io_uring_update,
    .prepare = io_uring_prepare,
    .dispatched = ring_level_dispatched,
    .leave = io_uring_leave,
    .wait = io_uring_wait,
    .ready_now = io_uring_ready_now,
    .get_fd = io_uring_get_fd,
};
