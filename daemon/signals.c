/*
 * Signals, by signalfd(2) on iohandler_ctx, so that nested waits leave them alone.
 */
#include "config.h"
#include "daemon/signals.h"

#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "loop/main-loop.h"
#include "qmp/qmp-log.h"

static int signal_fd = -1;
static void (*end_func)(void *opaque);
static void (*reload_func)(void *opaque);

static void signal_readable(void *opaque)
{
    struct signalfd_siginfo info;

    while (read(signal_fd, &info, sizeof(info)) == sizeof(info)) {
        if (info.ssi_signo == SIGHUP) {
            reload_func(opaque);
        } else {
            qmp_log(QMP_LOG_ENDING, NULL, "ending on signal %s", g_strsignal((int)info.ssi_signo));
            end_func(opaque);
        }
    }
}

bool signals_init(void (*end)(void *opaque), void (*reload)(void *opaque), void *opaque,
                  GError **errp)
{
    sigset_t set;

    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (signal_fd < 0) {
        g_set_error(errp, AIO_ERROR, AIO_ERROR_SYSTEM, "signalfd: %s", g_strerror(errno));
        return false;
    }
    end_func = end;
    reload_func = reload;
    qemu_set_fd_handler(signal_fd, signal_readable, NULL, opaque);
    return true;
}

void signals_cleanup(void)
{
    if (signal_fd >= 0) {
        qemu_set_fd_handler(signal_fd, NULL, NULL, NULL);
        close(signal_fd);
        signal_fd = -1;
    }
}
