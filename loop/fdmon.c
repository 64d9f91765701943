/*
 * The choice of an fd monitor.
 */
#include "config.h"
#include "loop/aio-internal.h"

#include <errno.h>
#include <string.h>

/* The best first. */
static const FDMonOps *const monitors[] = { &fdmon_io_uring_ops, &fdmon_epoll_ops,
                                            &fdmon_poll_ops };

static const char *const names[] = {
    [AIO_FDMON_AUTO] = "auto",
    [AIO_FDMON_IO_URING] = "io_uring",
    [AIO_FDMON_EPOLL] = "epoll",
    [AIO_FDMON_POLL] = "poll",
};

const char *fdmon_name(AioFdMon fdmon)
{
    return names[fdmon];
}

/* What EVLOOP_FDMON asks for, AIO_FDMON_AUTO when it is unset, or -1 when it is no monitor. */
static int fdmon_from_environment(const char *value)
{
    for (size_t i = 0; value && i < G_N_ELEMENTS(names); i++) {
        if (strcmp(value, names[i]) == 0) {
            return (int)i;
        }
    }
    return value ? -1 : AIO_FDMON_AUTO;
}

static bool setup(AioContext *ctx, const FDMonOps *ops, GError **errp)
{
    if (!ops->setup(ctx, errp)) {
        return false;
    }
    atomic_store(&ctx->fdmon, ops);
    ctx->fdmon_first = ops;
    return true;
}

static const FDMonOps *ops_of(AioFdMon fdmon)
{
    size_t i = 0;

    while (monitors[i]->kind != fdmon) {
        i++;
    }
    return monitors[i];
}

/* Say once what this system lacks, and what is used in its place. */
static void log_fallback(const GError *error, const FDMonOps *ops)
{
    static atomic_bool logged;

    if (!atomic_exchange(&logged, true)) {
        g_message("fd monitor %s is used, for the system refuses a better one: %s", ops->name,
                  error->message);
    }
}

static bool setup_best(AioContext *ctx, GError **errp)
{
    g_autoptr(GError) first_error = NULL;

    for (size_t i = 0; i < G_N_ELEMENTS(monitors); i++) {
        g_autoptr(GError) error = NULL;

        if (setup(ctx, monitors[i], &error)) {
            if (first_error) {
                log_fallback(first_error, monitors[i]);
            }
            return true;
        }
        if (!g_error_matches(error, AIO_ERROR, AIO_ERROR_FDMON)) {
            /* The next one would fail too. */
            g_propagate_error(errp, g_steal_pointer(&error));
            return false;
        }
        if (!first_error) {
            first_error = g_steal_pointer(&error);
        }
    }
    g_propagate_error(errp, g_steal_pointer(&first_error));
    return false;
}

bool fdmon_setup(AioContext *ctx, AioFdMon fdmon, GError **errp)
{
    if (fdmon == AIO_FDMON_AUTO) {
        const char *value = g_getenv("EVLOOP_FDMON");
        int from_environment = fdmon_from_environment(value);

        if (from_environment < 0) {
            g_set_error(errp, AIO_ERROR, AIO_ERROR_FDMON,
                        "EVLOOP_FDMON is '%s', expected 'auto', 'io_uring', 'epoll' or 'poll'",
                        value);
            return false;
        }
        fdmon = (AioFdMon)from_environment;
    }

    if (fdmon != AIO_FDMON_AUTO) {
        return setup(ctx, ops_of(fdmon), errp);
    }
    return setup_best(ctx, errp);
}

void fdmon_set_error(GError **errp, const char *system_call, int error)
{
    g_set_error(errp, AIO_ERROR,
                error == EMFILE || error == ENFILE ? AIO_ERROR_SYSTEM : AIO_ERROR_FDMON, "%s: %s",
                system_call, g_strerror(error));
}

void fdmon_downgrade(AioContext *ctx, int error)
{
    g_warning("a context goes on with the slower fd monitor poll, for epoll can't: %s",
              g_strerror(error));
    /* The poll monitor's setup can't fail, and it finds the handlers in the context's table. */
    fdmon_poll_ops.setup(ctx, NULL);
    atomic_store(&ctx->fdmon, &fdmon_poll_ops);
    aio_notify(ctx);
}
