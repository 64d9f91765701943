/*
 * The choice of an fd monitor.
 */
#include "config.h"
#include "loop/aio-internal.h"

#include <string.h>

/* The best first. */
static const FDMonOps *const monitors[] = { &fdmon_epoll_ops, &fdmon_poll_ops };

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

bool fdmon_setup(AioContext *ctx, AioFdMon fdmon, GError **errp)
{
    if (fdmon == AIO_FDMON_AUTO) {
        const char *value = g_getenv("EVLOOP_FDMON");
        int from_environment = fdmon_from_environment(value);

        if (from_environment < 0) {
            g_set_error(errp, AIO_ERROR, AIO_ERROR_FDMON,
                        "EVLOOP_FDMON is '%s', expected 'auto', 'epoll' or 'poll'", value);
            return false;
        }
        fdmon = (AioFdMon)from_environment;
    }

    for (size_t i = 0; i < G_N_ELEMENTS(monitors); i++) {
        g_autoptr(GError) error = NULL;

        if (fdmon != AIO_FDMON_AUTO && fdmon != monitors[i]->kind) {
            continue;
        }
        if (setup(ctx, monitors[i], &error)) {
            return true;
        }
        if (fdmon != AIO_FDMON_AUTO || i == G_N_ELEMENTS(monitors) - 1) {
            g_propagate_error(errp, g_steal_pointer(&error));
            return false;
        }
    }
    g_set_error(errp, AIO_ERROR, AIO_ERROR_FDMON,
                "fd monitor '%s' is not available, expected 'auto', 'epoll' or 'poll'",
                names[fdmon]);
    return false;
}

void fdmon_downgrade(AioContext *ctx)
{
    /* The poll monitor's setup can't fail, and it finds the handlers in the context's table. */
    fdmon_poll_ops.setup(ctx, NULL);
    atomic_store(&ctx->fdmon, &fdmon_poll_ops);
    aio_notify(ctx);
}
