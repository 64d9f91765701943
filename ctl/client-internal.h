/*
 * The two halves of the QMP client: ctl/client-wire.c has the bytes and messages, ctl/client.c what
 * they mean.
 */
#ifndef CTL_CLIENT_INTERNAL_H
#define CTL_CLIENT_INTERNAL_H

#include <poll.h>
#include <signal.h>

#include "ctl/client.h"

G_BEGIN_DECLS

struct Client {
    guint refs;
    int fd;
    int output_fd; /* see client_watch_output(); -1 for none */
    int64_t deadline;
    char *path;
    ClientPatience patience;
    const char *awaited;       /* the command whose answer is waited for; NULL: none */
    int64_t late_us;           /* when that is late, unless it has been told */
    bool oob;                  /* whether commands may go out of band */
    bool has_oob;              /* whether the connection was negotiated for that */
    bool unanswered;           /* whether an answer is to come */
    bool gone;                 /* whether the daemon has closed it */
    bool broken;               /* whether something came that is not QMP */
    ClientEventFunc *on_event; /* called with events that would be dropped; NULL: none */
    void *on_event_opaque;
    GQueue *events;        /* kept, see client_keep_events(); NULL: they are not */
    int64_t last_id;       /* of the last request */
    char *begun;           /* the command of client_begin() that has no answer yet, or NULL */
    json_tokener *tokener; /* holds the first part of a message that is not complete yet */
    bool in_message;       /* whether there is such a part */
    GString *input;        /* what was read, and not yet given to the tokener from @parsed on */
    size_t parsed;
};

/* How long poll() may wait until the client's deadline: -1 for ever, 0 when it has passed. */
int client_remaining_ms(const Client *client);

/* An answer to @command, which outlives the wait, is waited for from now on; NULL: no more. */
void client_await(Client *client, const char *command);

/* The wait is over, with @error unless it was for nothing. */
void client_end_await(Client *client, GError *error);

/* As poll(), until the time @until. Signals that only @mask lets in end it; NULL: none. */
int client_poll_until(struct pollfd *fds, nfds_t count, int64_t until, const sigset_t *mask);

void client_set_interrupted(GError **errp);

/* Take in what the socket holds now. False and @errp when the connection is over. */
bool client_read_some(Client *client, GError **errp);

/* Send it all, the descriptor @fd (-1: none) with the first byte. */
bool client_send_all(Client *client, const char *data, size_t size, int fd, GError **errp);

/* Parse on in what was read. @message stays NULL when it does not hold the end of a message. */
bool client_parse_some(Client *client, json_object **message, GError **errp);

/* Wait for the next message; the caller owns it. NULL and @errp on failure. */
json_object *client_next_message(Client *client, GError **errp);

bool client_is_event(json_object *message);

/* Nobody waits for @event now: keep it, or hand it to who wants such. */
void client_pass_event(Client *client, json_object *event);

G_END_DECLS

#endif
