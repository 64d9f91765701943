/*
 * A QMP client: one connection to the daemon, one command at a time.
 *
 * The functions block until they are done, the deadline has passed, the connection is over or, in
 * the shell, Ctrl-C is pressed. Their errors are of CTL_ERROR (ctl/error.h) and complete sentences
 * for the user.
 */
#ifndef CTL_CLIENT_H
#define CTL_CLIENT_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <glib.h>

#include "ctl/json.h"

G_BEGIN_DECLS

typedef struct Client Client;

/* Whether a connection is for out-of-band commands as well. */
typedef enum {
    CLIENT_IN_BAND,
    CLIENT_OOB,            /* a daemon that does not offer them is an error */
    CLIENT_OOB_IF_OFFERED, /* else in band */
} ClientOob;

/* A deadline that never comes. */
#define CLIENT_NO_DEADLINE INT64_MAX

/* The daemon has not answered @command yet, and is waited for (@error is NULL), or not any more. */
typedef void ClientLateFunc(const char *path, const char *command, GError *error);

/* What is done when an answer is late. */
typedef struct ClientPatience {
    int64_t us; /* for so long nothing is */
    ClientLateFunc *late;
} ClientPatience;

/*
 * Connect to the unix socket @path, take the greeting and negotiate, with @oob the capability to
 * run commands out of band as well. From then on, everything that waits gives up at @deadline (of
 * g_get_monotonic_time()). @patience, if not NULL, is for the greeting and for client_call() and
 * its like. NULL and @errp when it fails. The caller owns it: client_unref().
 */
Client *client_open(const char *path, ClientOob oob, int64_t deadline,
                    const ClientPatience *patience, GError **errp);

/* One more owner of @client, which is returned. */
Client *client_ref(Client *client);

/* The last owner's closes the connection. */
void client_unref(Client *client);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Client, client_unref)

/* ---- a connection that outlives a command ---- */

/* How far a connection can be used for another command. */
typedef enum {
    CLIENT_SOUND,
    CLIENT_SPOILT, /* an answer is still to come, or something has come that is not QMP */
    CLIENT_GONE,   /* the daemon has closed it */
} ClientState;

/* Takes in what has come. */
ClientState client_state(Client *client);

/* Make a sound connection as client_open() would, for these. It must have been opened with
 * CLIENT_OOB_IF_OFFERED. False and @errp when it can't be for @oob. */
bool client_renew(Client *client, ClientOob oob, int64_t deadline, const ClientPatience *patience,
                  GError **errp);

/* An event that came while something else was waited for. */
typedef void ClientEventFunc(json_object *event, void *opaque);

/* Have @func called with events that would be dropped. */
void client_watch_events(Client *client, ClientEventFunc *func, void *opaque);

/* ---- waiting and calling ---- */

/*
 * Let every wait end with CTL_ERROR_OUTPUT as soon as nobody reads any more what is written to the
 * pipe or socket @fd. A program that prints what it waits for would otherwise learn it only at the
 * next print.
 */
void client_watch_output(Client *client, int fd);

/* From now on, keep events that come while an answer is waited for, for client_next_event(). */
void client_keep_events(Client *client);

/*
 * Run @command with @arguments (an object, or NULL for none) and wait for its answer. Events that
 * come in the meantime are dropped, unless they are kept. @result, unless NULL, gets what the
 * command returned; the caller owns it. An answer that is an error gives CTL_ERROR_COMMAND.
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

/*
 * Send @command, as client_call_oob() does, and leave the waiting for its answer to client_wait().
 * There is one command at a time. False and @errp on failure.
 */
bool client_begin(Client *client, const char *command, json_object *arguments, GError **errp);

/* What client_wait() came back for. */
typedef enum {
    CLIENT_FAILED,   /* see @errp */
    CLIENT_ANSWERED, /* the command of client_begin() has been, and @result is the caller's */
    CLIENT_INPUT,    /* the other descriptor can be read, or is at its end */
    CLIENT_SIGNAL,   /* a signal came */
    CLIENT_TIME,     /* the time is over */
} ClientWait;

/*
 * Wait for the first of these: the answer to client_begin(), if there is one to come; that the
 * descriptor @input_fd can be read (-1: none); a signal that is blocked but not in @signals (NULL:
 * none); the time @until, of g_get_monotonic_time(). Events are dropped, and the end of the
 * connection is an error, also when no answer is to come.
 */
ClientWait client_wait(Client *client, int64_t until, int input_fd, const sigset_t *signals,
                       json_object **result, GError **errp);

/* Wait until the daemon has closed the connection. */
bool client_wait_closed(Client *client, GError **errp);

G_END_DECLS

#endif
