/*
 * Listening unix sockets that have a path, which they keep to themselves.
 */
#ifndef SOCKETS_UNIX_SOCKET_H
#define SOCKETS_UNIX_SOCKET_H

#include <stdbool.h>
#include <sys/types.h>
#include <glib.h>

typedef struct UnixSocket UnixSocket;

/* A socket in the file system: where, and which file that is. */
typedef struct UnixSocketFile {
    char *path;
    dev_t device;
    ino_t inode;
} UnixSocketFile;

/* Permissions as the umask leaves them, and the group that the process has. */
#define UNIX_SOCKET_ANY_MODE  ((mode_t)-1)
#define UNIX_SOCKET_ANY_GROUP ((gid_t)-1)

/*
 * Listen at @path, with permissions @mode and group @group. A socket there that nobody listens on
 * is replaced; one that somebody does, or a file that is no socket, is an error, and left as it is.
 *
 * It may wait: a moment for somebody who listens there, a second for one who has been killed and
 * may be on the way out of the kernel, and two for another who is making a socket in the same
 * directory. NULL and @errp, which does not name @path. Any thread.
 */
UnixSocket *unix_socket_listen(const char *path, mode_t mode, gid_t group, GError **errp);

/* Take its descriptor, which the caller closes. Once. */
int unix_socket_take_fd(UnixSocket *socket);

/* Which file it is, valid while @socket is. */
const UnixSocketFile *unix_socket_get_file(const UnixSocket *socket);

/* Free @socket, and leave the file to another process, which has its descriptor too. */
void unix_socket_leave(UnixSocket *socket);

/* Take up a socket that another process has left, whose descriptor the caller has: it is to be
 * removed by unix_socket_remove(). NULL when there is something else at its path by now, or
 * nothing. */
UnixSocket *unix_socket_take_up(const UnixSocketFile *file);

/* Remove the socket from the file system, when it is still the one that was made; free @socket. It
 * must still be listened on, so that nobody has taken it for a dead one. */
void unix_socket_remove(UnixSocket *socket);

#endif
