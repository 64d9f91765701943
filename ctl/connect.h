/*
 * Connecting to a unix socket, with errors that say what to do about it.
 */
#ifndef CTL_CONNECT_H
#define CTL_CONNECT_H

#include <glib.h>

G_BEGIN_DECLS

/*
 * A non-blocking socket that is connected to @path; the caller closes it. Waits at most
 * @timeout_ms, or for ever when that is -1, for a daemon that is slow to accept. -1 and @errp on
 * failure.
 */
int connect_unix(const char *path, int timeout_ms, GError **errp);

G_END_DECLS

#endif
