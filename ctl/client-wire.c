/*
 * The lower half of the QMP client: bytes, waiting, messages. The socket is non-blocking and poll()
 * does the waiting, so that a deadline holds everywhere, and so that a long request can't end in
 * both sides writing and neither reading: whatever arrives while a request is sent is taken in
 * first.
 *
 * The daemon ends each message with CR LF, but messages are told apart by their syntax alone:
 * several in one line or one over many lines are understood too.
 */
#include "config.h"
#include "ctl/client-internal.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ctl/error.h"
#include "ctl/signals.h"

#define READ_SIZE (64 * 1024)

/* ---- waiting ---- */

/* How long poll() may wait until @deadline: -1 for ever, 0 when it has passed. */
static int ms_until(int64_t deadline)
{
    int64_t us;

    if (deadline == CLIENT_NO_DEADLINE) {
        return -1;
    }
    us = deadline - g_get_monotonic_time();
    return us <= 0 ? 0 : (int)MIN((us + 999) / 1000, INT_MAX);
}

int client_remaining_ms(const Client *client)
{
    return ms_until(client->deadline);
}

void client_await(Client *client, const char *command)
{
    client->awaited = client->patience.late ? command : NULL;
    client->late_us = CLIENT_NO_DEADLINE;
    if (client->awaited) {
        client->late_us = g_get_monotonic_time() + client->patience.us;
    }
}

void client_end_await(Client *client, GError *error)
{
    if (client->awaited && client->late_us != CLIENT_NO_DEADLINE &&
        g_error_matches(error, CTL_ERROR, CTL_ERROR_TIMEOUT)) {
        client->patience.late(client->path, client->awaited, error);
    }
    client_await(client, NULL);
}

static void tell_when_late(Client *client)
{
    if (ms_until(client->late_us) == 0) {
        client->late_us = CLIENT_NO_DEADLINE;
        client->patience.late(client->path, client->awaited, NULL);
    }
}

int client_poll_until(struct pollfd *fds, nfds_t count, int64_t until, const sigset_t *mask)
{
    int64_t us = MAX(until - g_get_monotonic_time(), 0);
    const struct timespec timeout = { .tv_sec = us / G_USEC_PER_SEC,
                                      .tv_nsec = us % G_USEC_PER_SEC * 1000 };
    const struct timespec no_time = { 0 };

    /* What is ready goes before signals: a daemon that sends without end would keep them out. */
    if (mask && ppoll(NULL, 0, &no_time, mask) < 0) {
        return -1;
    }
    return ppoll(fds, count, until == CLIENT_NO_DEADLINE ? NULL : &timeout, mask);
}

void client_set_interrupted(GError **errp)
{
    g_set_error(errp, CTL_ERROR, CTL_ERROR_INTERRUPTED, CTL_INTERRUPTED);
}

/* Wait until the socket can be read, or also written when @events says so. Returns what it is ready
 * for, 0 and @errp on failure. */
static short wait_ready(Client *client, short events, GError **errp)
{
    struct pollfd fds[2] = {
        { .fd = client->fd, .events = events },
        { .fd = client->output_fd }, /* POLLERR alone; poll() passes over -1 */
    };

    for (;;) {
        int n = client_poll_until(fds, G_N_ELEMENTS(fds), MIN(client->deadline, client->late_us),
                                  signals_interrupt_mask());

        if (n < 0 && errno == EINTR && signals_interrupted()) {
            client_set_interrupted(errp);
            return 0;
        }
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            g_set_error(errp, CTL_ERROR, CTL_ERROR_CONNECTION, "cannot wait for the daemon: %s",
                        g_strerror(errno));
            return 0;
        }
        if (fds[1].revents) {
            g_set_error(errp, CTL_ERROR, CTL_ERROR_OUTPUT, "nobody reads the output any more");
            return 0;
        }
        if (client_remaining_ms(client) == 0) {
            g_set_error(errp, CTL_ERROR, CTL_ERROR_TIMEOUT,
                        "timed out while waiting for the daemon");
            return 0;
        }
        tell_when_late(client);
        if (fds[0].revents) {
            return fds[0].revents;
        }
    }
}

bool client_read_some(Client *client, GError **errp)
{
    size_t used = client->input->len;
    ssize_t n;
    int err;

    g_string_set_size(client->input, used + READ_SIZE);
    n = read(client->fd, client->input->str + used, READ_SIZE);
    err = errno;
    g_string_set_size(client->input, used + (size_t)MAX(n, 0));

    if (n > 0 || (n < 0 && (err == EAGAIN || err == EINTR))) {
        return true;
    }
    client->gone = n == 0 || err == ECONNRESET;
    if (n < 0 && err != ECONNRESET) {
        g_set_error(errp, CTL_ERROR, CTL_ERROR_CONNECTION, "cannot read from the daemon: %s",
                    g_strerror(err));
    } else if (client->in_message) {
        g_set_error(errp, CTL_ERROR, CTL_ERROR_PROTOCOL,
                    "the daemon closed the connection in the middle of a message");
    } else {
        g_set_error(errp, CTL_ERROR, CTL_ERROR_CLOSED, "the daemon closed the connection");
    }
    return false;
}

/* As send(), with the descriptor @fd along unless it is -1. */
static ssize_t send_with_fd(Client *client, const char *data, size_t size, int fd)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = { .bytes = { 0 } };
    struct iovec part = { .iov_base = (char *)data, .iov_len = size };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

    if (fd >= 0) {
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(&control.header), &fd, sizeof(int));
        message.msg_control = &control;
        message.msg_controllen = sizeof(control);
    }
    return sendmsg(client->fd, &message, MSG_NOSIGNAL);
}

bool client_send_all(Client *client, const char *data, size_t size, int fd, GError **errp)
{
    while (size > 0) {
        short ready = wait_ready(client, POLLIN | POLLOUT, errp);
        ssize_t n;

        if (!ready) {
            return false;
        }
        if ((ready & POLLIN) && !client_read_some(client, errp)) {
            return false;
        }
        n = send_with_fd(client, data, size, fd);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            client->gone = errno == EPIPE || errno == ECONNRESET;
            g_set_error(errp, CTL_ERROR, CTL_ERROR_CONNECTION, "cannot send to the daemon: %s",
                        g_strerror(errno));
            return false;
        }
        if (n > 0) {
            data += n;
            size -= (size_t)n;
            fd = -1;
        }
    }
    return true;
}

/* ---- messages ---- */

static void skip_white_space(Client *client)
{
    while (client->parsed < client->input->len &&
           g_ascii_isspace(client->input->str[client->parsed])) {
        client->parsed++;
    }
}

bool client_parse_some(Client *client, json_object **message, GError **errp)
{
    g_autoptr(json_object) value = NULL;
    enum json_tokener_error error;
    size_t size;

    if (!client->in_message) {
        skip_white_space(client);
    }
    size = MIN(client->input->len - client->parsed, INT_MAX);
    if (size > 0) {
        client->in_message = true;
        value =
            json_tokener_parse_ex(client->tokener, client->input->str + client->parsed, (int)size);
        error = json_tokener_get_error(client->tokener);
        client->parsed += json_tokener_get_parse_end(client->tokener);
        if (error == json_tokener_success && json_object_is_type(value, json_type_object)) {
            *message = g_steal_pointer(&value);
            client->in_message = false;
        } else if (error == json_tokener_success) {
            g_set_error(errp, CTL_ERROR, CTL_ERROR_PROTOCOL,
                        "what the daemon sent is not QMP: a message is not a JSON object");
            client->broken = true;
            return false;
        } else if (error != json_tokener_continue) {
            g_set_error(errp, CTL_ERROR, CTL_ERROR_PROTOCOL, "what the daemon sent is not QMP: %s",
                        json_tokener_error_desc(error));
            client->broken = true;
            return false;
        }
    }
    if (client->parsed == client->input->len) {
        g_string_truncate(client->input, 0);
        client->parsed = 0;
    }
    return true;
}

json_object *client_next_message(Client *client, GError **errp)
{
    json_object *message = NULL;

    for (;;) {
        if (!client_parse_some(client, &message, errp)) {
            return NULL;
        }
        if (message) {
            return message;
        }
        if (client->parsed == client->input->len &&
            (!wait_ready(client, POLLIN, errp) || !client_read_some(client, errp))) {
            return NULL;
        }
    }
}

bool client_is_event(json_object *message)
{
    return json_member_string(message, "event") != NULL;
}

void client_pass_event(Client *client, json_object *event)
{
    if (client->events) {
        g_queue_push_tail(client->events, json_object_get(event));
    } else if (client->on_event) {
        client->on_event(event, client->on_event_opaque);
    }
}
