/*
 * What evloopd has to do with systemd. Without systemd all of it does nothing.
 */
#ifndef DAEMON_SYSTEMD_H
#define DAEMON_SYSTEMD_H

#include <stdbool.h>
#include <stdint.h>
#include <glib.h>

/* The number of the first descriptor that is passed. */
#define SYSTEMD_FIRST_FD 3

/* The names of the descriptors that were passed by socket activation (sd_listen_fds(3)), one after
 * another from the first on, ended by NULL; the caller frees them, and closes the descriptors. One
 * that was passed without is called "unknown". NULL and @errp. Main thread, once. */
char **systemd_take_fds(GError **errp);

/* The one of these that is a unix socket and listens at @path; -1: none does. Main thread, before
 * they are closed. */
int systemd_find_socket(const char *path);

/* Tell the manager that the daemon is up, with a line of status, or that it reloads its
 * configuration, until it is up again, or that it ends. */
void systemd_notify_ready(const char *status);
void systemd_notify_reloading(void);
void systemd_notify_stopping(void);

/* Whether there is a manager to be told. */
bool systemd_is_there(void);

/* Leave copies of the @n descriptors at @fds with the manager, all as @name: it passes them to the
 * next start of the unit. Returns when it has them, or a few seconds later. False and @errp. */
bool systemd_store(const char *name, const int *fds, unsigned n, GError **errp);

/* Have the manager forget those as @name. */
void systemd_forget(const char *name);

/* Whether the daemon is well: nothing has held a loop for longer than @limit_ns. */
typedef bool SystemdIsWellFunc(int64_t limit_ns, void *opaque);

/* Feed the manager's watchdog from the main loop, when it asks for that: twice in its time, and
 * only when @is_well says so, with that period as the limit. systemd_watchdog_stop() ends it. Main
 * thread. */
void systemd_watchdog_start(SystemdIsWellFunc *is_well, void *opaque);
void systemd_watchdog_stop(void);

#endif
