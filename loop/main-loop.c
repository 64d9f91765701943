/*
 * The main loop: the default GMainContext, iohandler_ctx and qemu_aio_context in one wait.
 *
 * Both contexts are attached to the default GMainContext as GSources, so whoever runs that (even
 * g_main_loop_run()) drives all three. main_loop_wait() does one iteration of it by hand, because
 * only then the wait can end at a deadline to the nanosecond without a timerfd.
 */
#include "config.h"
#include "loop/main-loop.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "loop/aio-internal.h"

static AioContext *qemu_aio_context;
static AioContext *iohandler_ctx;
static GArray *poll_fds; /* of GPollFD: what GLib asks to poll; main thread */

/* Set in the thread that initialised the main loop. */
static _Thread_local bool is_main_thread;

static void attach(AioContext *ctx, const char *name)
{
    g_autoptr(GSource) source = aio_get_g_source(ctx);

    g_source_set_name(source, name);
    g_source_attach(source, NULL);
}

/* GLib ends the process when there is no descriptor left for its context's wake-up, so look first.
 */
static bool has_descriptor_for_glib(GError **errp)
{
    int fd = eventfd(0, EFD_CLOEXEC);

    if (fd < 0) {
        g_set_error(errp, AIO_ERROR, AIO_ERROR_SYSTEM, "eventfd: %s", g_strerror(errno));
        return false;
    }
    close(fd);
    return true;
}

bool qemu_init_main_loop(GError **errp)
{
    g_autoptr(AioContext) first = aio_context_new(errp);
    g_autoptr(AioContext) second = first ? aio_context_new(errp) : NULL;

    if (!second || !has_descriptor_for_glib(errp)) {
        return false;
    }
    qemu_aio_context = g_steal_pointer(&first);
    iohandler_ctx = g_steal_pointer(&second);
    /* One thread, one thing it does at a time. */
    iohandler_ctx->activity = qemu_aio_context->activity;
    is_main_thread = true;
    aio_context_take_home(qemu_aio_context);
    aio_context_take_home(iohandler_ctx);
    attach(qemu_aio_context, "qemu_aio_context");
    attach(iohandler_ctx, "iohandler_ctx");
    poll_fds = g_array_new(FALSE, FALSE, sizeof(GPollFD));
    return true;
}

void qemu_cleanup_main_loop(void)
{
    /* iohandler_ctx publishes in the other's activity, so it goes first. */
    g_clear_pointer(&iohandler_ctx, aio_context_unref);
    g_clear_pointer(&qemu_aio_context, aio_context_unref);
    g_clear_pointer(&poll_fds, g_array_unref);
    is_main_thread = false;
}

AioContext *qemu_get_aio_context(void)
{
    return qemu_aio_context;
}

AioContext *iohandler_get_aio_context(void)
{
    return iohandler_ctx;
}

AioContext *main_loop_context_of_thread(void)
{
    return is_main_thread ? qemu_aio_context : NULL;
}

void qemu_set_fd_handler_full(int fd, IOHandler *fd_read, IOHandler *fd_write, void *opaque,
                              const char *read_name, const char *write_name)
{
    aio_set_fd_handler_full(iohandler_ctx, fd, fd_read, fd_write, NULL, NULL, opaque, read_name,
                            write_name);
}

void qemu_notify_event(void)
{
    aio_notify(qemu_aio_context);
}

/* Ask GLib what to poll, and for how long; returns the timeout in ns. */
static int64_t query(GMainContext *context, gint max_priority)
{
    gint timeout_ms;
    gint n;

    while ((n = g_main_context_query(context, max_priority, &timeout_ms, (GPollFD *)poll_fds->data,
                                     (gint)poll_fds->len)) > (gint)poll_fds->len) {
        g_array_set_size(poll_fds, (guint)n);
    }
    g_array_set_size(poll_fds, (guint)n);
    return timeout_ms < 0 ? -1 : timeout_ms * (int64_t)SCALE_MS;
}

static void wait_for_events(int64_t timeout_ns)
{
    AioContext *const contexts[] = { qemu_aio_context, iohandler_ctx };

    if (timeout_ns != 0) {
        counter_add(&qemu_aio_context->waits, 1);
        activity_enter(qemu_aio_context->activity, AIO_STATE_IDLE);
        aio_polling_blocks(contexts, G_N_ELEMENTS(contexts));
    }
    /* An error is EINTR; the descriptors say nothing then. */
    if (qemu_poll_ns((GPollFD *)poll_fds->data, poll_fds->len, timeout_ns) < 0) {
        for (guint i = 0; i < poll_fds->len; i++) {
            g_array_index(poll_fds, GPollFD, i).revents = 0;
        }
    }
    activity_enter(qemu_aio_context->activity, AIO_STATE_LOOP);
    aio_polling_wait_over(qemu_aio_context);
    aio_polling_wait_over(iohandler_ctx);
}

static void os_host_main_loop_wait(bool nonblocking)
{
    AioContext *const contexts[] = { qemu_aio_context, iohandler_ctx };
    GMainContext *context = g_main_context_default();
    int64_t timeout_ns;
    gint max_priority;
    bool ready;

    g_main_context_acquire(context);
    qemu_aio_context->caller_keeps_time = iohandler_ctx->caller_keeps_time = true;
    g_main_context_prepare(context, &max_priority);
    timeout_ns = query(context, max_priority);
    if (nonblocking) {
        timeout_ns = 0;
    } else if (timeout_ns != 0) {
        timeout_ns = aio_polling_run_prepared(contexts, G_N_ELEMENTS(contexts), timeout_ns);
        timeout_ns = soonest_timeout(timeout_ns, aio_compute_timeout(qemu_aio_context));
        timeout_ns = soonest_timeout(timeout_ns, aio_compute_timeout(iohandler_ctx));
    }
    wait_for_events(timeout_ns);
    ready =
        g_main_context_check(context, max_priority, (GPollFD *)poll_fds->data, (gint)poll_fds->len);
    /* Not beyond here: a callback may run a nested GMainLoop, in which nobody does. */
    qemu_aio_context->caller_keeps_time = iohandler_ctx->caller_keeps_time = false;
    if (ready) {
        g_main_context_dispatch(context);
    }
    g_main_context_release(context);
}

void main_loop_wait(int nonblocking)
{
    os_host_main_loop_wait(nonblocking != 0);
}
