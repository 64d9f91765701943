/*
 * Logging to stderr, one line a message.
 *
 * Messages are GLib's: g_critical (a bug), g_warning, g_message (notice), g_info, g_debug. Under
 * journald (stderr is what JOURNAL_STREAM names) a line begins with its priority as sd-daemon(3)
 * defines it, else with the program's name.
 */
#ifndef DAEMON_LOG_H
#define DAEMON_LOG_H

#include <stdbool.h>
#include <glib.h>

/* Take over GLib's log, at level "notice". Before any other thread is started. */
void log_init(void);

/* Show what is at least as important as @level: "error", "warning", "notice", "info", "debug".
 * False when it is none of these. Before any other thread is started. */
bool log_set_level(const char *level);

/* Whether messages of @level are shown. */
bool log_shows(GLogLevelFlags level);

/* Say why the daemon can't go on, whatever the level: "evloopd: MESSAGE". */
void log_failure(const char *message);

#endif
