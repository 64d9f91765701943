/*
 * Listening unix sockets of the daemon's own making.
 */
#ifndef DAEMON_UNIX_SOCKET_H
#define DAEMON_UNIX_SOCKET_H

#include <stdbool.h>
#include <sys/types.h>
#include <glib.h>

typedef struct UnixSocket UnixSocket;

/*
 * Listen at @path, with permissions @mode and, unless that is -1, group @group. A socket there that
 * nobody listens on is replaced; one that somebody does, or a file that is no socket, is an error,
 * and left as it is. Any thread.
 */
UnixSocket *unix_socket_listen(const char *path, mode_t mode, gid_t group, GError **errp);

/* Take its descriptor, which the caller closes. Once. */
int unix_socket_take_fd(UnixSocket *socket);

/* Remove the socket from the file system, when it is still the one that was made; free @socket. It
 * must still be listened on, so that no other daemon has taken it for a dead one's. */
void unix_socket_remove(UnixSocket *socket);

#endif
