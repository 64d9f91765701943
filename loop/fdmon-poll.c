/*
 * The fd monitor on ppoll(2): O(n) in the number of handlers, works for any descriptor.
 *
 * The array for ppoll() is made anew when the table of handlers has changed since.
 */
#include "config.h"
#include "loop/aio-internal.h"
#include "loop/main-loop.h"

static bool poll_setup(AioContext *ctx, GError **errp)
{
    /* Before the first generation of the table, which begins at 0. */
    ctx->poll.generation = ctx->generation - 1;
    return true;
}

static void poll_teardown(AioContext *ctx)
{
    g_clear_pointer(&ctx->poll.fds, g_free);
    g_clear_pointer(&ctx->poll.handlers, g_free);
    ctx->poll.len = 0;
}

static void poll_update(AioContext *ctx, AioHandler *old_handler, AioHandler *new_handler)
{
    aio_notify(ctx);
}

/* Nodes in the array stay allocated until the next pass at least: see aio_free_retired(). */
static void rebuild(AioContext *ctx)
{
    GHashTableIter iter;
    gpointer value;

    pthread_mutex_lock(&ctx->lock);
    if (ctx->poll.generation != ctx->generation) {
        size_t n = g_hash_table_size(ctx->handlers);

        ctx->poll.fds = g_renew(struct pollfd, ctx->poll.fds, n);
        ctx->poll.handlers = g_renew(AioHandler *, ctx->poll.handlers, n);
        ctx->poll.len = 0;
        g_hash_table_iter_init(&iter, ctx->handlers);
        while (g_hash_table_iter_next(&iter, NULL, &value)) {
            AioHandler *handler = value;
            size_t i = ctx->poll.len++;

            ctx->poll.handlers[i] = handler;
            ctx->poll.fds[i] = (struct pollfd){
                .fd = handler->closed ? -1 : handler->fd, /* -1 is left out */
                .events = aio_handler_events(handler),
            };
        }
        ctx->poll.generation = ctx->generation;
    }
    pthread_mutex_unlock(&ctx->lock);
}

static void poll_wait(AioContext *ctx, int64_t timeout_ns)
{
    int n;

    rebuild(ctx);
    n = qemu_poll_ns((GPollFD *)ctx->poll.fds, (guint)ctx->poll.len, timeout_ns);
    for (size_t i = 0; n > 0 && i < ctx->poll.len; i++) {
        short revents = ctx->poll.fds[i].revents;

        if (revents & POLLNVAL) {
            aio_handler_closed(ctx, ctx->poll.handlers[i]);
        } else if (revents) {
            aio_handler_ready(ctx, ctx->poll.handlers[i], (uint32_t)revents);
        }
        n -= revents != 0;
    }
}

static bool poll_ready_now(AioContext *ctx)
{
    return false;
}

static int poll_get_fd(AioContext *ctx)
{
    return -1;
}

const FDMonOps fdmon_poll_ops = {
    .name = "poll",
    .kind = AIO_FDMON_POLL,
    .setup = poll_setup,
    .teardown = poll_teardown,
    .update = poll_update,
    .wait = poll_wait,
    .ready_now = poll_ready_now,
    .get_fd = poll_get_fd,
};
