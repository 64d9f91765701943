/*
 * A trace as a file, in the Trace Event Format.
 */
#ifndef DAEMON_TRACE_SAVE_H
#define DAEMON_TRACE_SAVE_H

#include <stdbool.h>
#include <glib.h>

/* Replace what is in the regular file @fd by the trace of @snapshots, of TraceSnapshot. False and
 * @errp when it can't be written. It may wait for the file, so not in the thread of a loop. */
bool trace_save(GArray *snapshots, int fd, GError **errp);

#endif
