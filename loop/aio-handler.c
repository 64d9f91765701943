/*
 * The table of file descriptors of a context, and the dispatch of those that are ready.
 */
#include "config.h"
#include "loop/aio-internal.h"

#include <string.h>

short aio_handler_events(const AioHandler *handler)
{
    return (short)((handler->io_read || handler->notifier_read ? POLLIN : 0) |
                   (handler->io_write ? POLLOUT : 0));
}

/* How many nodes that were taken out may wait for the home thread's next pass, which frees them. */
#define MAX_RETIRED 64

/* Relaxed, here and below: only the home thread relies on removed, and other threads' removals
 * promise nothing about a call that is about to begin; n_retired is read as a hint. */
static void retire_locked(AioContext *ctx, AioHandler *handler)
{
    unsigned n = atomic_load_explicit(&ctx->n_retired, memory_order_relaxed) + 1;

    atomic_store_explicit(&handler->removed, true, memory_order_relaxed);
    handler->next_retired = ctx->retired;
    ctx->retired = handler;
    atomic_store_explicit(&ctx->n_retired, n, memory_order_relaxed);
    if (n % MAX_RETIRED == 0) {
        /* Other threads may do this for hours without anything that wakes the loop. */
        aio_notify(ctx);
    }
}

/*
 * Publish @handler (NULL: none) as that of @fd, in place of the one there. With ctx->lock held.
 */
static void set_handler_locked(AioContext *ctx, int fd, AioHandler *handler)
{
    AioHandler *old = g_hash_table_lookup(ctx->handlers, GINT_TO_POINTER(fd));

    if (!old && !handler) {
        return;
    }
    if (handler) {
        if (old) {
            handler->counters.calls = counter_get(&old->counters.calls);
            handler->counters.total_ns = counter_get(&old->counters.total_ns);
            handler->counters.max_ns = counter_get(&old->counters.max_ns);
        }
        g_hash_table_insert(ctx->handlers, GINT_TO_POINTER(fd), handler);
    } else {
        g_hash_table_remove(ctx->handlers, GINT_TO_POINTER(fd));
    }
    aio_polling_replace(ctx, old, handler);
    atomic_fetch_add_explicit(&ctx->generation, 1, memory_order_release);
    if (old) {
        old->successor = handler;
        retire_locked(ctx, old);
    }
    atomic_load(&ctx->fdmon)->update(ctx, old, handler);
}

static void set_handler(AioContext *ctx, int fd, AioHandler *handler)
{
    pthread_mutex_lock(&ctx->lock);
    set_handler_locked(ctx, fd, handler);
    pthread_mutex_unlock(&ctx->lock);
}

static AioHandler *handler_new(int fd, const char *name)
{
    AioHandler *handler = g_new0(AioHandler, 1);

    handler->fd = fd;
    handler->name = name;
    return handler;
}

void aio_set_fd_handler_full(AioContext *ctx, int fd, IOHandler *io_read, IOHandler *io_write,
                             AioPollFn *io_poll, IOHandler *io_poll_ready, void *opaque,
                             const char *read_name, const char *write_name)
{
    AioHandler *handler = NULL;

    if (io_read || io_write || io_poll) {
        handler = handler_new(fd, io_read || !io_write ? read_name : write_name);
        handler->io_read = io_read;
        handler->io_write = io_write;
        handler->io_poll = io_poll;
        handler->io_poll_ready = io_poll_ready;
        handler->opaque = opaque;
    }
    set_handler(ctx, fd, handler);
}

void aio_set_event_notifier_full(AioContext *ctx, EventNotifier *notifier,
                                 EventNotifierHandler *io_read, AioPollFn *io_poll,
                                 EventNotifierHandler *io_poll_ready, const char *name)
{
    AioHandler *handler = NULL;

    if (io_read || io_poll) {
        handler = handler_new(event_notifier_get_fd(notifier), name);
        handler->notifier = notifier;
        handler->notifier_read = io_read;
        handler->io_poll = io_poll;
        handler->notifier_poll_ready = io_poll_ready;
        handler->opaque = notifier;
    }
    set_handler(ctx, event_notifier_get_fd(notifier), handler);
}

static bool is_removed(AioHandler *handler)
{
    return atomic_load_explicit(&handler->removed, memory_order_relaxed);
}

void aio_handler_ready(AioContext *ctx, AioHandler *handler, uint32_t revents)
{
    handler->revents |= revents;
    if (handler->in_ready) {
        return;
    }
    handler->in_ready = true;
    handler->next_ready = NULL;
    if (ctx->ready_tail) {
        ctx->ready_tail->next_ready = handler;
    } else {
        ctx->ready_head = handler;
    }
    ctx->ready_tail = handler;
}

void aio_handler_closed(AioContext *ctx, AioHandler *handler)
{
    pthread_mutex_lock(&ctx->lock);
    /* Another thread may have removed it, and closed the descriptor, just now. */
    if (!is_removed(handler)) {
        handler->closed = true;
        atomic_fetch_add_explicit(&ctx->generation, 1, memory_order_release);
    }
    pthread_mutex_unlock(&ctx->lock);
    if (handler->closed) {
        g_warning("%s: descriptor %d was closed before its handler was removed", handler->name,
                  handler->fd);
    }
}

static AioHandler *take_ready(AioContext *ctx)
{
    AioHandler *handler = ctx->ready_head;

    if (handler) {
        ctx->ready_head = handler->next_ready;
        if (!ctx->ready_head) {
            ctx->ready_tail = NULL;
        }
        handler->in_ready = false;
    }
    return handler;
}

/* What io_poll has found. Returns false when there is no callback for just that. */
static bool call_poll_ready(AioHandler *handler)
{
    if (handler->notifier_poll_ready) {
        handler->notifier_poll_ready(handler->notifier);
        return true;
    }
    if (handler->io_poll_ready) {
        handler->io_poll_ready(handler->opaque);
        return true;
    }
    return false;
}

/* Hang-ups and errors reach both callbacks: each finds out by itself what happened. */
static void call_handler(AioHandler *handler, uint32_t revents)
{
    if (revents & AIO_HANDLER_POLLED) {
        /* What made the descriptor readable is the same work, or is reported again. */
        revents = call_poll_ready(handler) ? revents & ~(uint32_t)POLLIN : revents | POLLIN;
    }
    if ((revents & (POLLIN | POLLHUP | POLLERR)) && !is_removed(handler)) {
        if (handler->notifier_read) {
            handler->notifier_read(handler->notifier);
        } else if (handler->io_read) {
            handler->io_read(handler->opaque);
        }
    }
    if ((revents & (POLLOUT | POLLHUP | POLLERR)) && handler->io_write && !is_removed(handler)) {
        handler->io_write(handler->opaque);
    }
}

/* Count a call, for the present handler when the callback has replaced its own: the counters were
 * handed on before the call was over. */
static void count_call(AioContext *ctx, AioHandler *handler, int64_t elapsed_ns)
{
    if (is_removed(handler)) {
        pthread_mutex_lock(&ctx->lock);
        while (handler->successor) {
            handler = handler->successor;
        }
        counters_record(&handler->counters, elapsed_ns);
        pthread_mutex_unlock(&ctx->lock);
    } else {
        counters_record(&handler->counters, elapsed_ns);
    }
    counter_add(&ctx->fd_callbacks, 1);
}

/* Returns whether that was progress. */
static bool dispatch(AioContext *ctx, AioHandler *handler)
{
    uint32_t revents = handler->revents;
    ActivityScope scope;

    handler->revents = 0;
    if (is_removed(handler)) {
        return false;
    }
    if (handler->internal) {
        call_handler(handler, revents);
        return false;
    }
    activity_call_begin(ctx->activity, &scope, handler->name);
    call_handler(handler, revents);
    count_call(ctx, handler,
               activity_call_end(ctx->activity, &scope,
                                 (ActivityCall){ handler->name, AIO_TRACE_FD, handler->fd }));
    return true;
}

bool aio_dispatch_handlers(AioContext *ctx)
{
    bool progress = false;
    AioHandler *handler;

    while ((handler = take_ready(ctx))) {
        const FDMonOps *fdmon;

        progress |= dispatch(ctx, handler);
        fdmon = atomic_load_explicit(&ctx->fdmon, memory_order_relaxed);
        if (fdmon->dispatched) {
            fdmon->dispatched(ctx, handler);
        }
    }
    return progress;
}

static void free_list(AioContext *ctx, AioHandler *handler)
{
    while (handler) {
        AioHandler *next = handler->next_retired;

        aio_polling_handler_freed(ctx, handler);
        g_free(handler);
        handler = next;
    }
}

/* Return the list of retired nodes that may be freed. With ctx->lock held. */
static AioHandler *take_retired_locked(AioContext *ctx)
{
    AioHandler *handler = g_steal_pointer(&ctx->retired);
    AioHandler *unused = NULL;
    unsigned n_left = 0;

    while (handler) {
        AioHandler *next = handler->next_retired;
        AioHandler **to = &unused;

        if (aio_handler_in_use(handler)) {
            to = &ctx->retired;
            n_left++;
        } else if (atomic_load_explicit(&handler->stale, memory_order_relaxed)) {
            to = &ctx->stale;
        }
        handler->next_retired = *to;
        *to = handler;
        handler = next;
    }
    atomic_store_explicit(&ctx->n_retired, n_left, memory_order_relaxed);
    return unused;
}

void aio_free_retired(AioContext *ctx)
{
    AioHandler *list;

    if (atomic_load_explicit(&ctx->n_retired, memory_order_relaxed) == 0) {
        return;
    }
    pthread_mutex_lock(&ctx->lock);
    list = take_retired_locked(ctx);
    pthread_mutex_unlock(&ctx->lock);
    free_list(ctx, list);
}

void aio_free_stale_locked(AioContext *ctx)
{
    /* Those that were taken out since the last pass may be on the list of ready handlers. */
    for (AioHandler *handler = ctx->retired; handler; handler = handler->next_retired) {
        atomic_store_explicit(&handler->stale, false, memory_order_relaxed);
    }
    free_list(ctx, g_steal_pointer(&ctx->stale));
}

void aio_set_internal_handler(AioContext *ctx, int fd, IOHandler *io_read, void *opaque,
                              const char *name)
{
    AioHandler *handler = handler_new(fd, name);

    handler->io_read = io_read;
    handler->opaque = opaque;
    handler->internal = true;
    set_handler(ctx, fd, handler);
}

/* aio_notify() has done its work by waking the loop. */
static void clear_notifier(void *opaque)
{
    event_notifier_test_and_clear(opaque);
}

void aio_handlers_init(AioContext *ctx)
{
    aio_set_internal_handler(ctx, event_notifier_get_fd(&ctx->notifier), clear_notifier,
                             &ctx->notifier, "aio_notify");
}

void aio_handlers_cleanup(AioContext *ctx)
{
    GHashTableIter iter;
    gpointer value;

    free_list(ctx, g_steal_pointer(&ctx->retired));
    free_list(ctx, g_steal_pointer(&ctx->stale));
    g_hash_table_iter_init(&iter, ctx->handlers);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        aio_polling_handler_freed(ctx, value);
        g_free(value);
    }
    g_hash_table_unref(ctx->handlers);
}
