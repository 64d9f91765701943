/*
 * The one connection of a shell, which its commands share, each for as long as it runs.
 *
 * A connection on which a command was given up is closed, so that the daemon drops what it has not
 * begun; the next command gets a new one. So does the first after the daemon has closed it.
 */
#ifndef CTL_CONNECTION_H
#define CTL_CONNECTION_H

#include <stdbool.h>
#include <glib.h>

#include "ctl/client.h"

G_BEGIN_DECLS

typedef struct Connection {
    char *path;
    Client *client;            /* NULL: none now */
    bool lost;                 /* the daemon has closed it, and there is no other yet */
    ClientEventFunc *on_event; /* see client_watch_events() */
    void *opaque;
} Connection;

/* Connect to @path, until @deadline. False and @errp on failure. */
bool connection_open(Connection *connection, const char *path, int64_t deadline,
                     ClientEventFunc *on_event, void *opaque, GError **errp);

void connection_close(Connection *connection);

/* The connection, as client_open() would make it; with @patience, a new one in place of one that
 * was lost is told of on stderr. NULL and @errp on failure. The caller owns a reference. */
Client *connection_lend(Connection *connection, ClientOob oob, int64_t deadline,
                        const ClientPatience *patience, GError **errp);

/* No command runs. One that can't be used any more is closed and, unless the daemon has closed it
 * itself, made anew, for its events. False when the daemon has closed it since it was last used. */
bool connection_rest(Connection *connection);

/* The daemon has closed it, or something else is wrong with it: close it. */
void connection_lose(Connection *connection);

G_END_DECLS

#endif
