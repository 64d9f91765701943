/*
 * How commands get to the daemon: by a connection each, or by the one of the shell that they run
 * in.
 */
#include "ctl/connection.h"

#include <stdio.h>

#include "ctl/command.h"
#include "ctl/silence.h"

/* How long the user waits at most for a prompt because of a connection that is made anew. */
#define ANEW_US G_USEC_PER_SEC

static const ClientPatience usual_patience = { .us = SILENCE_US, .late = silence_report };

/* ---- the one of a shell ---- */

static bool connect_client(Connection *connection, int64_t deadline, const ClientPatience *patience,
                           GError **errp)
{
    connection->client =
        client_open(connection->path, CLIENT_OOB_IF_OFFERED, deadline, patience, errp);
    if (!connection->client) {
        return false;
    }
    client_watch_events(connection->client, connection->on_event, connection->opaque);
    return true;
}

bool connection_open(Connection *connection, const char *path, int64_t deadline,
                     ClientEventFunc *on_event, void *opaque, GError **errp)
{
    *connection = (Connection){ .path = g_strdup(path), .on_event = on_event, .opaque = opaque };
    return connect_client(connection, deadline, &usual_patience, errp);
}

void connection_close(Connection *connection)
{
    g_clear_pointer(&connection->client, client_unref);
    g_clear_pointer(&connection->path, g_free);
}

void connection_lose(Connection *connection)
{
    g_clear_pointer(&connection->client, client_unref);
    connection->lost = true;
}

/* Whether it can be used; one that can't is closed. */
static bool check(Connection *connection)
{
    switch (connection->client ? client_state(connection->client) : CLIENT_SPOILT) {
    case CLIENT_SOUND:
        return true;
    case CLIENT_SPOILT:
        g_clear_pointer(&connection->client, client_unref);
        break;
    case CLIENT_GONE:
        connection_lose(connection);
        break;
    }
    return false;
}

Client *connection_lend(Connection *connection, ClientOob oob, int64_t deadline,
                        const ClientPatience *patience, GError **errp)
{
    if (!check(connection) && !connect_client(connection, deadline, patience, errp)) {
        return NULL;
    }
    if (connection->lost && patience) {
        fprintf(stderr, "evloopctl: the daemon had closed the connection; connected again\n");
        connection->lost = false;
    }
    if (!client_renew(connection->client, oob, deadline, patience, errp)) {
        return NULL;
    }
    return client_ref(connection->client);
}

bool connection_rest(Connection *connection)
{
    bool was_lost = connection->lost;

    if (!check(connection) && !connection->lost) {
        connect_client(connection, g_get_monotonic_time() + ANEW_US, NULL, NULL);
    }
    if (connection->client) {
        client_renew(connection->client, CLIENT_IN_BAND, CLIENT_NO_DEADLINE, NULL, NULL);
    }
    return was_lost || !connection->lost;
}

/* ---- whichever a command has ---- */

char *ctl_socket_path(const Ctl *ctl)
{
    const char *variable = g_getenv("EVLOOPD_SOCKET");
    const char *runtime_dir = g_getenv("XDG_RUNTIME_DIR");

    if (ctl->socket_path) {
        return g_strdup(ctl->socket_path);
    }
    if (variable && *variable) {
        return g_strdup(variable);
    }
    if (runtime_dir && *runtime_dir) {
        g_autofree char *path = g_build_filename(runtime_dir, "evloopd.sock", NULL);

        if (g_file_test(path, G_FILE_TEST_EXISTS)) {
            return g_steal_pointer(&path);
        }
    }
    return g_strdup("/run/evloopd/qmp.sock");
}

int64_t ctl_deadline(const Ctl *ctl)
{
    if (ctl->timeout > 0) {
        return g_get_monotonic_time() + (int64_t)(ctl->timeout * G_USEC_PER_SEC);
    }
    return CLIENT_NO_DEADLINE;
}

Client *ctl_connect(const Ctl *ctl, ClientOob oob, GError **errp)
{
    /* What completes a command line says nothing. */
    const ClientPatience *shown = ctl->completion ? NULL : &usual_patience;
    g_autofree char *path = ctl_socket_path(ctl);

    if (ctl->connection && g_str_equal(path, ctl->connection->path)) {
        return connection_lend(ctl->connection, oob, ctl_deadline(ctl), shown, errp);
    }
    return client_open(path, oob, ctl_deadline(ctl), shown, errp);
}
