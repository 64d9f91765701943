/*
 * Listening vsocks: between a virtual machine and its host.
 */
#ifndef DAEMON_VSOCK_SOCKET_H
#define DAEMON_VSOCK_SOCKET_H

#include <glib.h>

/* Listen on @port of the machine's address @cid, or of all for VMADDR_CID_ANY. The caller closes
 * the descriptor; -1 and @errp. Any thread. */
int vsock_socket_listen(unsigned cid, unsigned port, GError **errp);

#endif
