/*
 * What evloopd has to do with systemd. Without systemd all of it does nothing.
 */
#ifndef DAEMON_SYSTEMD_H
#define DAEMON_SYSTEMD_H

#include <stdbool.h>
#include <stdint.h>
#include <glib.h>

/*
 * The listening sockets that were passed by socket activation (sd_listen_fds(3)), appended to
 * @fds, an array of int; the caller closes them. False and @errp when one is no unix stream
 * socket that listens. Main thread, once.
 */
bool systemd_take_sockets(GArray *fds, GError **errp);

/* The one of these sockets that listens at @path; -1: none does. Main thread, before they are
 * closed. */
int systemd_find_socket(const char *path);

/* Tell the manager that the daemon is up, with a line of status; or that it ends. */
void systemd_notify_ready(const char *status);
void systemd_notify_stopping(void);

/* Whether the daemon is well: nothing has held a loop for longer than @limit_ns. */
typedef bool SystemdIsWellFunc(int64_t limit_ns, void *opaque);

/* Feed the manager's watchdog from the main loop, when it asks for that: twice in its time, and
 * only when @is_well says so, with that period as the limit. systemd_watchdog_stop() ends it. Main
 * thread. */
void systemd_watchdog_start(SystemdIsWellFunc *is_well, void *opaque);
void systemd_watchdog_stop(void);

#endif
