/*
 * Sockets that whoever started the daemon has passed to it.
 */
#ifndef DAEMON_INHERITED_SOCKET_H
#define DAEMON_INHERITED_SOCKET_H

#include <stdbool.h>
#include <glib.h>

/*
 * Make the passed descriptor @fd the daemon's own: check that it is a stream socket that listens or
 * is connected (*@connected says which), and, with @needs_peers, one that tells who its peers are;
 * have it closed on exec. False and @errp. Any thread.
 */
bool inherited_socket_take(int fd, bool needs_peers, bool *connected, GError **errp);

#endif
