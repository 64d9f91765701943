/*
 * The context as a GSource.
 *
 * prepare announces that the thread may block and computes for how long; check withdraws that and
 * looks what there is; dispatch runs a pass. GLib skips check when prepare said yes, and for
 * sources of a lower priority than one that is ready, so nothing relies on its being called.
 *
 * GLib rounds timeouts to milliseconds. The deadline is therefore set on a timerfd, unless the main
 * loop or aio_run_g_main_loop() polls for us, which mind nanoseconds themselves. The timerfd is
 * made when it is first needed and changed only when the deadline is.
 */
#include "config.h"
#include "loop/aio-internal.h"
#include "loop/main-loop.h"

#include <sys/timerfd.h>
#include <unistd.h>

typedef struct AioGSource {
    GSource source;
    AioContext *ctx;
    GPollFD monitor;   /* the fd monitor's one descriptor; fd -1 when it has none */
    GPollFD *handlers; /* else one for each handler */
    size_t n_handlers;
    unsigned generation;  /* of the handlers in it */
    GPollFD timer;        /* the timerfd; fd -1 until there is one */
    int64_t armed_for_ns; /* what it is set to, on QEMU_CLOCK_REALTIME; -1: not */
} AioGSource;

static void remove_handlers(AioGSource *self)
{
    for (size_t i = 0; i < self->n_handlers; i++) {
        g_source_remove_poll(&self->source, &self->handlers[i]);
    }
    g_clear_pointer(&self->handlers, g_free);
    self->n_handlers = 0;
}

/* Poll every descriptor by itself, for a monitor that has no descriptor of its own. */
static void sync_handlers(AioGSource *self)
{
    AioContext *ctx = self->ctx;
    GHashTableIter iter;
    gpointer value;

    if (self->handlers && self->generation == atomic_load(&ctx->generation)) {
        return;
    }
    remove_handlers(self);
    pthread_mutex_lock(&ctx->lock);
    self->generation = atomic_load(&ctx->generation);
    self->handlers = g_new(GPollFD, g_hash_table_size(ctx->handlers));
    g_hash_table_iter_init(&iter, ctx->handlers);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        AioHandler *handler = value;

        if (!handler->closed) {
            self->handlers[self->n_handlers++] = (GPollFD){
                .fd = handler->fd,
                .events = (gushort)aio_handler_events(handler),
            };
        }
    }
    pthread_mutex_unlock(&ctx->lock);
    for (size_t i = 0; i < self->n_handlers; i++) {
        g_source_add_poll(&self->source, &self->handlers[i]);
    }
}

/* Make the poll set fit the monitor, which may have been changed for another. */
static void sync_poll_set(AioGSource *self)
{
    int fd = atomic_load(&self->ctx->fdmon)->get_fd(self->ctx);

    if (fd != self->monitor.fd) {
        if (self->monitor.fd >= 0) {
            g_source_remove_poll(&self->source, &self->monitor);
        }
        self->monitor = (GPollFD){ .fd = fd, .events = G_IO_IN };
        if (fd >= 0) {
            remove_handlers(self);
            g_source_add_poll(&self->source, &self->monitor);
        }
    }
    if (fd < 0) {
        sync_handlers(self);
    }
}

static bool timer_open(AioGSource *self)
{
    if (self->timer.fd < 0) {
        self->timer.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
        if (self->timer.fd < 0) {
            return false;
        }
        self->timer.events = G_IO_IN;
        g_source_add_poll(&self->source, &self->timer);
    }
    return true;
}

/* Set the timerfd to go off @timeout_ns from now, or not at all when that is -1. Returns the
 * timeout in ms for GLib: -1, or, when there are no descriptors left, one that is rounded up. */
static int arm_timer(AioGSource *self, int64_t timeout_ns)
{
    struct itimerspec spec = { 0 };
    int64_t deadline = -1;

    if (timeout_ns >= 0) {
        if (!timer_open(self)) {
            return (int)MIN(timeout_ns / SCALE_MS + 1, INT_MAX);
        }
        deadline = qemu_clock_get_ns(QEMU_CLOCK_REALTIME);
        deadline += MIN(timeout_ns, INT64_MAX - deadline);
        spec.it_value.tv_sec = deadline / 1000000000;
        spec.it_value.tv_nsec = deadline % 1000000000;
    }
    /* Computed from two readings of the clock, the same deadline varies a little; one that is set
     * for a microsecond too early costs one more turn. */
    if (deadline < self->armed_for_ns || deadline - self->armed_for_ns >= SCALE_US) {
        timerfd_settime(self->timer.fd, TFD_TIMER_ABSTIME, &spec, NULL);
        self->armed_for_ns = deadline;
    }
    return -1;
}

static void clear_timer(AioGSource *self)
{
    uint64_t expirations;

    if (self->timer.fd >= 0 && self->timer.revents &&
        read(self->timer.fd, &expirations, sizeof(expirations)) == sizeof(expirations)) {
        self->armed_for_ns = -1;
    }
}

static gboolean gsource_prepare(GSource *source, gint *timeout_ms)
{
    AioGSource *self = (AioGSource *)source;
    AioContext *ctx = self->ctx;
    int64_t timeout_ns;

    *timeout_ms = -1;
    sync_poll_set(self);
    timeout_ns = aio_prepare_timeout(ctx);
    if (timeout_ns == 0) {
        return TRUE;
    }
    if (!ctx->caller_keeps_time) {
        if (timeout_ns >= 0 || self->armed_for_ns >= 0) {
            *timeout_ms = arm_timer(self, timeout_ns);
        }
        counter_add(&ctx->waits, 1);
        activity_enter(ctx->activity, AIO_STATE_IDLE);
    }
    return FALSE;
}

static bool descriptors_ready(AioGSource *self)
{
    if (atomic_load(&self->ctx->fdmon)->ready_now(self->ctx)) {
        return true;
    }
    if (self->monitor.fd >= 0) {
        return self->monitor.revents;
    }
    for (size_t i = 0; i < self->n_handlers; i++) {
        if (self->handlers[i].revents) {
            return true;
        }
    }
    return false;
}

static gboolean gsource_check(GSource *source)
{
    AioGSource *self = (AioGSource *)source;
    AioContext *ctx = self->ctx;

    aio_notify_disarm(ctx, NOTIFY_ME_GSOURCE);
    if (!ctx->caller_keeps_time) {
        activity_enter(ctx->activity, AIO_STATE_LOOP);
    }
    clear_timer(self);
    return descriptors_ready(self) || aio_has_work(ctx);
}

static gboolean gsource_dispatch(GSource *source, GSourceFunc callback, gpointer user_data)
{
    AioGSource *self = (AioGSource *)source;

    /* The user may drop the last reference in a callback. */
    aio_context_ref(self->ctx);
    aio_dispatch_collected(self->ctx, descriptors_ready(self));
    aio_context_unref(self->ctx);
    return G_SOURCE_CONTINUE;
}

static void gsource_finalize(GSource *source)
{
    AioGSource *self = (AioGSource *)source;

    g_free(self->handlers);
    if (self->timer.fd >= 0) {
        close(self->timer.fd);
    }
}

static GSourceFuncs gsource_funcs = {
    .prepare = gsource_prepare,
    .check = gsource_check,
    .dispatch = gsource_dispatch,
    .finalize = gsource_finalize,
};

static GSource *gsource_new(AioContext *ctx)
{
    GSource *source = g_source_new(&gsource_funcs, sizeof(AioGSource));
    AioGSource *self = (AioGSource *)source;

    self->ctx = ctx;
    self->monitor.fd = -1;
    self->timer.fd = -1;
    self->armed_for_ns = -1;
    g_source_set_name(source, "aio-context");
    /* Passes may be nested; it also spares GLib taking our descriptors out around each dispatch. */
    g_source_set_can_recurse(source, TRUE);
    return source;
}

GSource *aio_get_g_source(AioContext *ctx)
{
    GSource *source;

    pthread_mutex_lock(&ctx->lock);
    if (!ctx->source) {
        ctx->source = gsource_new(ctx);
    }
    source = g_source_ref(ctx->source);
    pthread_mutex_unlock(&ctx->lock);
    return source;
}

/* Polls for the GMainContext of aio_run_g_main_loop(): ends the wait at the deadline of the
 * thread's context, and says whether the thread sleeps, whatever source it is that wakes it. */
static gint poll_for_thread(GPollFD *fds, guint n_fds, gint timeout_ms)
{
    AioContext *ctx = qemu_get_current_aio_context();
    int64_t timeout_ns = timeout_ms < 0 ? -1 : timeout_ms * (int64_t)SCALE_MS;
    gint n;

    if (timeout_ns != 0) {
        timeout_ns = aio_polling_run_prepared(&ctx, 1, timeout_ns);
    }
    if (timeout_ns != 0) {
        timeout_ns = soonest_timeout(timeout_ns, aio_compute_timeout(ctx));
    }
    if (timeout_ns != 0) {
        counter_add(&ctx->waits, 1);
        activity_enter(ctx->activity, AIO_STATE_IDLE);
        aio_polling_blocks(&ctx, 1);
    }
    n = qemu_poll_ns(fds, n_fds, timeout_ns);
    activity_enter(ctx->activity, AIO_STATE_LOOP);
    aio_polling_wait_over(ctx);
    return n;
}

void aio_run_g_main_loop(AioContext *ctx, GMainLoop *main_loop)
{
    GMainContext *main_context = g_main_loop_get_context(main_loop);

    g_assert(qemu_get_current_aio_context() == ctx);
    g_main_context_set_poll_func(main_context, poll_for_thread);
    ctx->caller_keeps_time = true;
    g_main_loop_run(main_loop);
    ctx->caller_keeps_time = false;
    g_main_context_set_poll_func(main_context, NULL);
}

void aio_gsource_cleanup(AioContext *ctx)
{
    if (ctx->source) {
        g_source_destroy(ctx->source);
        g_clear_pointer(&ctx->source, g_source_unref);
    }
}
