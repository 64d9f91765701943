/*
 * Where the log goes: to standard error, a line each, or to the journal with fields.
 *
 * Messages are GLib's: g_critical (a bug), g_warning, g_message (notice), g_info, g_debug, and
 * those of qmp/qmp-log.h, which have fields. When stderr is what JOURNAL_STREAM names they go to
 * the journal by daemon/journal.h; when that does not listen, they are written to stderr, where it
 * reads as well, with their priority before them as sd-daemon(3) defines it. Else they are written
 * to stderr with the program's name.
 */
#ifndef DAEMON_LOG_H
#define DAEMON_LOG_H

#include <stdbool.h>

/* Take over GLib's log, at level "notice". Before any other thread is started. */
void log_init(void);

/* Open what the log needs, as soon as no new descriptor can be taken for one that was passed. */
void log_open(void);

/* Give the journal a moment to take what it has not yet. Once, when no other thread is left. */
void log_finish(void);

/* Show what is at least as important as @level: "error", "warning", "notice", "info", "debug".
 * False when it is none of these. Before any other thread is started. */
bool log_set_level(const char *level);

/* Say why the daemon can't go on, whatever the level: "evloopd: MESSAGE". */
void log_failure(const char *message);

#endif
