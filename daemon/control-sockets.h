/*
 * The control sockets of the daemon: passed ones, and those that it makes.
 */
#ifndef DAEMON_CONTROL_SOCKETS_H
#define DAEMON_CONTROL_SOCKETS_H

#include <stdbool.h>
#include <glib.h>

#include "objects/passed-fds.h"
#include "qmp/qmp-server.h"

/* All of it in the main thread. */
typedef struct ControlSockets ControlSockets;

/* What @monitors, an array of MonitorOption that outlives it, ask for; nothing is opened yet. */
ControlSockets *control_sockets_new(const GPtrArray *monitors);

/* Take over the sockets that were passed: by socket activation, and those that options name by
 * number. What was passed for another purpose is added to @others. Before the process has opened
 * descriptors of its own. False and @errp. */
bool control_sockets_inherit(ControlSockets *sockets, PassedFds *others, GError **errp);

/* Make the others. It is an error when there is none at all. False and @errp. */
bool control_sockets_open(ControlSockets *sockets, GError **errp);

unsigned control_sockets_count(const ControlSockets *sockets);

/* Hand all of them to @server, which ends before control_sockets_free(). */
void control_sockets_serve(ControlSockets *sockets, QmpServer *server);

/* Remove those that the daemon made from the file system. While they are listened on: once they
 * were not, another daemon could replace one, by a file that may well get the same inode, and this
 * would remove that. */
void control_sockets_remove_files(ControlSockets *sockets);

/* Close what was not handed on, and free. */
void control_sockets_free(ControlSockets *sockets);

#endif
