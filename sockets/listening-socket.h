/*
 * Listening stream sockets of any family: made here, or by somebody else.
 *
 * A unix socket that has a path is made by sockets/unix-socket.h. Any thread.
 */
#ifndef SOCKETS_LISTENING_SOCKET_H
#define SOCKETS_LISTENING_SOCKET_H

#include <stdbool.h>
#include <sys/socket.h>
#include <glib.h>

/* Listen at @address, without blocking in accept(). The caller closes the descriptor; -1 and @errp,
 * which names the call that failed and not the address. */
int listening_socket_open(const struct sockaddr *address, socklen_t length, GError **errp);

/* Make @fd fit for accepting: check that it is a stream socket that listens, and have it not block,
 * and be closed on exec. On a blocking one a client that has gone again could hold the thread in
 * accept(). False and @errp, which does not name @fd. */
bool listening_socket_adopt(int fd, GError **errp);

/* A socket option of SOL_SOCKET that is a number, and never -1; that is what it is when @fd has
 * none such. */
int socket_option(int fd, int option);

#endif
