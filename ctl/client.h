/*
 * A QMP client: one connection to the daemon, one command at a time.
 *
 * The functions block until they are done, the deadline has passed or the connection is over. Their
 * errors are of CTL_ERROR (ctl/error.h) and complete sentences for the user.
 */
#ifndef CTL_CLIENT_H
#define CTL_CLIENT_H

#include <stdbool.h>
#include <stdint.h>
#include <glib.h>

#include "ctl/json.h"

G_BEGIN_DECLS

typedef struct Client Client;

/* A deadline that never comes. */
#define CLIENT_NO_DEADLINE INT64_MAX

/*
 * Connect to the unix socket @path, take the greeting and negotiate; with @oob, the capability to
 * run commands out of band as well. From then on, everything that waits gives up at @deadline (of
 * g_get_monotonic_time()). NULL and @errp when it fails. The caller owns it: client_free().
 */
Client *client_open(const char *path, bool oob, int64_t deadline, GError **errp);

/* Close the connection. */
void client_free(Client *client);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Client, client_free)

/*
 * Let every wait end with CTL_ERROR_OUTPUT as soon as nobody reads any more what is written to the
 * pipe or socket @fd. A program that prints what it waits for would otherwise learn it only at the
 * next print.
 */
void client_watch_output(Client *client, int fd);

/*
 * Run @command with @arguments (an object, or NULL for none) and wait for its answer. Events that
 * come in the meantime are dropped. @result, unless NULL, gets what the command returned; the
 * caller owns it. An answer that is an error gives CTL_ERROR_COMMAND.
 */
bool client_call(Client *client, const char *command, json_object *arguments, json_object **result,
                 GError **errp);

/* As client_call(), out of band when the connection was opened so, else in band. */
bool client_call_oob(Client *client, const char *command, json_object *arguments,
                     json_object **result, GError **errp);

/* As client_call_oob(), without arguments and a result; the descriptor @fd goes along. */
bool client_call_with_fd(Client *client, const char *command, int fd, GError **errp);

/* Wait for the next event, and hand it out as it came; the caller owns it. NULL and @errp when the
 * connection is over (CTL_ERROR_CLOSED) or broken. */
json_object *client_next_event(Client *client, GError **errp);

/* Wait until the daemon has closed the connection. */
bool client_wait_closed(Client *client, GError **errp);

G_END_DECLS

#endif
