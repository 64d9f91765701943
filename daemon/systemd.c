/*
 * systemd: notification, watchdog and socket activation, by libsystemd.
 */
#include "config.h"
#include "daemon/systemd.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

#include "loop/main-loop.h"
#include "qmp/qmp-log.h"

static int n_passed; /* descriptors, from SD_LISTEN_FDS_START on */
G_STATIC_ASSERT(SYSTEMD_FIRST_FD == SD_LISTEN_FDS_START);

static QEMUTimer *watchdog_timer;
static int64_t watchdog_period_ns;
static SystemdIsWellFunc *watchdog_is_well;

/* Whatever the manager asks for, the main loop has other things to do as well. */
static const int64_t least_watchdog_period_ns = 1 * SCALE_MS;

char **systemd_take_fds(GError **errp)
{
    char **names = NULL;
    char **copy;
    int n = sd_listen_fds_with_names(1, &names);

    if (n < 0) {
        g_set_error(errp, AIO_ERROR, AIO_ERROR_INVALID, "socket activation: %s", g_strerror(-n));
        return NULL;
    }
    n_passed = n;
    copy = g_new0(char *, (gsize)n + 1);
    for (int i = 0; i < n; i++) {
        copy[i] = g_strdup(names[i]);
        free(names[i]);
    }
    free(names);
    return copy;
}

int systemd_find_socket(const char *path)
{
    for (int fd = SD_LISTEN_FDS_START; fd < SD_LISTEN_FDS_START + n_passed; fd++) {
        if (sd_is_socket_unix(fd, SOCK_STREAM, 1, path, 0) > 0) {
            return fd;
        }
    }
    return -1;
}

/* Errors are the manager's: there is nobody else to tell, and the daemon works without it. */
static void notify(const char *state)
{
    int r = sd_notify(0, state);

    if (r < 0) {
        qmp_log(QMP_LOG_MANAGER_UNREACHABLE, &(QmpLogFields){ .reason = g_strerror(-r) },
                "can't notify the service manager: %s", g_strerror(-r));
    }
}

void systemd_notify_ready(const char *status)
{
    g_autofree char *line = g_strdup(status);
    g_autofree char *state = NULL;

    /* A line end in a file's name would begin another assignment. */
    for (char *p = line; *p; p++) {
        *p = g_ascii_iscntrl(*p) ? ' ' : *p;
    }
    state = g_strdup_printf("READY=1\nSTATUS=%s", line);
    notify(state);
}

/* The time is how a manager that has sent the signal knows that this is about that one. */
void systemd_notify_reloading(void)
{
    g_autofree char *state = g_strdup_printf("RELOADING=1\nMONOTONIC_USEC=%" G_GINT64_FORMAT
                                             "\nSTATUS=Reloading the configuration",
                                             g_get_monotonic_time());

    notify(state);
}

void systemd_notify_stopping(void)
{
    notify("STOPPING=1\nSTATUS=Stopping");
}

bool systemd_is_there(void)
{
    return g_getenv("NOTIFY_SOCKET") != NULL;
}

/* Longer than a manager takes that works. */
static const uint64_t barrier_timeout_us = 5000000;

/* The most that a message takes. */
static const unsigned message_fds = 253;

/* Once more when it is interrupted, which a ring that is taken apart does. */
static int store(const char *state, const int *fds, unsigned n)
{
    unsigned done = 0;
    int r = 0;

    while (done < n && (r >= 0 || r == -EINTR)) {
        unsigned some = MIN(n - done, message_fds);

        r = sd_pid_notify_with_fds(0, 0, state, fds + done, some);
        done += r >= 0 ? some : 0;
    }
    return r;
}

static int wait_for_manager(void)
{
    int r;

    do {
        r = sd_notify_barrier(0, barrier_timeout_us);
    } while (r == -EINTR);
    return r;
}

bool systemd_store(const char *name, const int *fds, unsigned n, GError **errp)
{
    /* It would drop those that hang up, as all do. */
    g_autofree char *state = g_strdup_printf("FDSTORE=1\nFDNAME=%s\nFDPOLL=0", name);
    int r = store(state, fds, n);

    /* What it has not read yet it would not take from a process that has ended. */
    if (r >= 0) {
        r = wait_for_manager();
    }
    if (r < 0) {
        g_set_error(errp, AIO_ERROR, AIO_ERROR_SYSTEM, "%s", g_strerror(-r));
        return false;
    }
    return true;
}

void systemd_forget(const char *name)
{
    g_autofree char *state = g_strdup_printf("FDSTOREREMOVE=1\nFDNAME=%s", name);

    notify(state);
}

static void watchdog_tick(void *opaque)
{
    int64_t next_ns = watchdog_period_ns;

    if (watchdog_is_well(watchdog_period_ns, opaque)) {
        notify("WATCHDOG=1");
    } else {
        /* Sooner, or what goes on just before the manager's time is over would be too late. */
        next_ns = MAX(watchdog_period_ns / 8, least_watchdog_period_ns);
    }
    timer_mod_ns(watchdog_timer, qemu_clock_get_ns(QEMU_CLOCK_REALTIME) + next_ns);
}

void systemd_watchdog_start(SystemdIsWellFunc *is_well, void *opaque)
{
    uint64_t timeout_us;

    if (sd_watchdog_enabled(1, &timeout_us) <= 0) {
        return;
    }
    /* Twice in each period, as sd_watchdog_enabled(3) advises. */
    watchdog_period_ns = MAX((int64_t)(timeout_us / 2) * SCALE_US, least_watchdog_period_ns);
    watchdog_timer =
        aio_timer_new(qemu_get_aio_context(), QEMU_CLOCK_REALTIME, SCALE_NS, watchdog_tick, opaque);
    watchdog_is_well = is_well;
    watchdog_tick(opaque);
}

void systemd_watchdog_stop(void)
{
    g_clear_pointer(&watchdog_timer, timer_free);
}
