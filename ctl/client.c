/*
 * The upper half of the QMP client of evloopctl: opening, commands and their answers, events, and
 * what it takes to use a connection for one command after another.
 */
#include "config.h"
#include "ctl/client-internal.h"

#include <errno.h>
#include <unistd.h>

#include "ctl/connect.h"
#include "ctl/error.h"
#include "ctl/signals.h"

/* So long a connect() waits in one go while Ctrl-C is to end it. */
#define CONNECT_SLICE_MS 200

/* So long client_state() takes in what a daemon sends that does not stop. */
#define STATE_US (G_USEC_PER_SEC / 4)

/* ---- commands ---- */

static bool send_request(Client *client, const char *verb, const char *command,
                         json_object *arguments, int fd, GError **errp)
{
    g_autoptr(json_object) request = json_object_new_object();
    const char *text;
    size_t size;

    json_object_object_add(request, verb, json_object_new_string(command));
    if (arguments) {
        json_object_object_add(request, "arguments", json_object_get(arguments));
    }
    json_object_object_add(request, "id", json_object_new_int64(++client->last_id));
    text = json_object_to_json_string_length(
        request, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &size);
    client->unanswered = true;
    return client_send_all(client, text, size, fd, errp);
}

/* An error without id is ours too: the daemon could make no sense of the request, which is the only
 * one under way. */
static bool is_our_answer(Client *client, json_object *message)
{
    json_object *id = NULL;

    if (!json_object_object_get_ex(message, "id", &id)) {
        return json_object_object_get_ex(message, "error", NULL);
    }
    return json_object_is_type(id, json_type_int) && json_object_get_int64(id) == client->last_id;
}

static bool take_answer(Client *client, const char *command, json_object *message,
                        json_object **result, GError **errp)
{
    json_object *value = NULL;
    bool is_error = json_object_object_get_ex(message, "error", &value);

    if (!is_our_answer(client, message) ||
        (!is_error && !json_object_object_get_ex(message, "return", &value))) {
        g_set_error(errp, CTL_ERROR, CTL_ERROR_PROTOCOL,
                    "%s: what the daemon sent is not an answer to the command", command);
        client->broken = true;
        return false;
    }
    client->unanswered = false;
    if (is_error) {
        const char *class = json_member_string(value, "class");
        const char *desc = json_member_string(value, "desc");

        g_set_error(errp, CTL_ERROR, CTL_ERROR_COMMAND, "%s: %s: %s", command,
                    class ? class : "GenericError", desc ? desc : "the daemon does not say why");
        return false;
    }
    if (result) {
        *result = json_object_get(value);
    }
    return true;
}

/* How to ask for what client_call_oob() promises. */
static const char *oob_verb(const Client *client)
{
    return client->oob ? "exec-oob" : "execute";
}

/* The next message that is no event. */
static json_object *next_answer(Client *client, GError **errp)
{
    for (;;) {
        g_autoptr(json_object) message = client_next_message(client, errp);

        if (!message || !client_is_event(message)) {
            return g_steal_pointer(&message);
        }
        client_pass_event(client, message);
    }
}

static bool call(Client *client, const char *verb, const char *command, json_object *arguments,
                 int fd, json_object **result, GError **errp)
{
    g_autoptr(json_object) answer = NULL;
    GError *error = NULL;

    client_await(client, command);
    if (send_request(client, verb, command, arguments, fd, &error)) {
        answer = next_answer(client, &error);
    }
    client_end_await(client, error);
    if (!answer) {
        g_propagate_prefixed_error(errp, error, "%s: ", command);
        return false;
    }
    return take_answer(client, command, answer, result, errp);
}

bool client_call(Client *client, const char *command, json_object *arguments, json_object **result,
                 GError **errp)
{
    return call(client, "execute", command, arguments, -1, result, errp);
}

bool client_call_oob(Client *client, const char *command, json_object *arguments,
                     json_object **result, GError **errp)
{
    return call(client, oob_verb(client), command, arguments, -1, result, errp);
}

bool client_call_with_fd(Client *client, const char *command, int fd, GError **errp)
{
    return call(client, oob_verb(client), command, NULL, fd, NULL, errp);
}

json_object *client_next_event(Client *client, GError **errp)
{
    g_autoptr(json_object) message = NULL;

    if (client->events && client->events->length > 0) {
        return g_queue_pop_head(client->events);
    }
    message = client_next_message(client, errp);
    if (message && !client_is_event(message)) {
        g_set_error(errp, CTL_ERROR, CTL_ERROR_PROTOCOL,
                    "what the daemon sent is neither an event nor an answer to a command");
        return NULL;
    }
    return g_steal_pointer(&message);
}

bool client_wait_closed(Client *client, GError **errp)
{
    for (;;) {
        g_autoptr(GError) error = NULL;
        g_autoptr(json_object) message = client_next_message(client, &error);

        if (g_error_matches(error, CTL_ERROR, CTL_ERROR_CLOSED)) {
            return true;
        }
        if (!message) {
            g_propagate_error(errp, g_steal_pointer(&error));
            return false;
        }
    }
}

/* ---- one wait for several things ---- */

bool client_begin(Client *client, const char *command, json_object *arguments, GError **errp)
{
    if (!send_request(client, oob_verb(client), command, arguments, -1, errp)) {
        g_prefix_error(errp, "%s: ", command);
        return false;
    }
    g_free(client->begun);
    client->begun = g_strdup(command);
    return true;
}

/* Take what has been read: true when it answers the command that has begun, well or with @error. */
static bool take_messages(Client *client, json_object **result, GError **error)
{
    while (client->parsed < client->input->len) {
        g_autoptr(json_object) message = NULL;
        g_autofree char *command = NULL;

        if (!client_parse_some(client, &message, error)) {
            return true;
        }
        if (!message) {
            continue;
        }
        if (client_is_event(message)) {
            client_pass_event(client, message);
            continue;
        }
        command = g_steal_pointer(&client->begun);
        take_answer(client, command ? command : "nothing", message, result, error);
        return true;
    }
    return false;
}

/* poll(), also for a signal that @signals lets in. */
static ClientWait poll_once(Client *client, int64_t until, int input_fd, const sigset_t *signals,
                            GError **errp)
{
    struct pollfd fds[3] = {
        { .fd = client->fd, .events = POLLIN },
        { .fd = client->output_fd },
        { .fd = input_fd, .events = POLLIN },
    };
    int n = client_poll_until(fds, G_N_ELEMENTS(fds), MIN(until, client->deadline),
                              signals ? signals : signals_interrupt_mask());

    if (n < 0 && errno == EINTR && !signals && signals_interrupted()) {
        client_set_interrupted(errp);
        return CLIENT_FAILED;
    }
    if (n < 0 && errno == EINTR) {
        return CLIENT_SIGNAL;
    }
    if (n < 0) {
        g_set_error(errp, CTL_ERROR, CTL_ERROR_CONNECTION, "cannot wait for the daemon: %s",
                    g_strerror(errno));
    } else if (fds[1].revents) {
        g_set_error(errp, CTL_ERROR, CTL_ERROR_OUTPUT, "nobody reads the output any more");
    } else if (client_remaining_ms(client) == 0) {
        g_set_error(errp, CTL_ERROR, CTL_ERROR_TIMEOUT, "timed out");
    } else if (fds[2].revents) {
        return CLIENT_INPUT;
    } else if (!fds[0].revents) {
        return CLIENT_TIME;
    } else if (client_read_some(client, errp)) {
        return CLIENT_ANSWERED; /* perhaps */
    }
    return CLIENT_FAILED;
}

ClientWait client_wait(Client *client, int64_t until, int input_fd, const sigset_t *signals,
                       json_object **result, GError **errp)
{
    for (;;) {
        GError *error = NULL;
        ClientWait what;

        if (take_messages(client, result, &error)) {
            if (!error) {
                return CLIENT_ANSWERED;
            }
            g_propagate_error(errp, error);
            return CLIENT_FAILED;
        }
        what = poll_once(client, until, input_fd, signals, errp);
        if (what != CLIENT_ANSWERED && (what != CLIENT_SIGNAL || signals)) {
            return what;
        }
    }
}

/* ---- opening ---- */

/* As connect_unix(). Nothing interrupts it, so it is done by and by where Ctrl-C is to. */
static int connect_by_and_by(Client *client, GError **errp)
{
    for (;;) {
        GError *error = NULL;
        int ms = client_remaining_ms(client);
        bool is_slice = signals_interrupt_mask() && (ms < 0 || ms > CONNECT_SLICE_MS);
        int fd = connect_unix(client->path, is_slice ? CONNECT_SLICE_MS : ms, &error);

        if (fd >= 0) {
            return fd;
        }
        if (!is_slice || !g_error_matches(error, CTL_ERROR, CTL_ERROR_TIMEOUT)) {
            g_propagate_error(errp, error);
            return -1;
        }
        g_error_free(error);
        if (signals_interrupted()) {
            client_set_interrupted(errp);
            return -1;
        }
    }
}

static bool offers(json_object *qmp, const char *capability)
{
    json_object *names = json_member_array(qmp, "capabilities");

    for (size_t i = 0; names && i < json_object_array_length(names); i++) {
        if (g_strcmp0(json_object_get_string(json_object_array_get_idx(names, i)), capability) ==
            0) {
            return true;
        }
    }
    return false;
}

/* A daemon that does not greet has done one of these. */
static const char refused[] =
    "; it has refused this client, or could not start: 'journalctl --unit "
    "evloopd' as root tells";

static void set_no_oob(GError **errp)
{
    g_set_error(errp, CTL_ERROR, CTL_ERROR_PROTOCOL,
                "the daemon does not offer to run commands out of band");
}

static bool take_greeting(Client *client, ClientOob oob, GError **errp)
{
    GError *error = NULL;
    g_autoptr(json_object) greeting = NULL;
    json_object *qmp;

    client_await(client, "greeting");
    greeting = client_next_message(client, &error);
    client_end_await(client, error);
    if (!greeting) {
        bool closed = g_error_matches(error, CTL_ERROR, CTL_ERROR_CLOSED);

        g_propagate_error(errp, error);
        g_prefix_error(errp, "greeting: ");
        if (closed && errp && *errp) {
            ctl_error_append(*errp, refused);
        }
        return false;
    }
    qmp = json_member(greeting, "QMP");
    if (!qmp) {
        g_set_error(errp, CTL_ERROR, CTL_ERROR_PROTOCOL,
                    "what the daemon sent first is not a QMP greeting");
        return false;
    }
    client->has_oob = client->oob && offers(qmp, "oob");
    if (oob == CLIENT_OOB_IF_OFFERED) {
        client->oob = client->has_oob;
    } else if (client->oob && !offers(qmp, "oob")) {
        set_no_oob(errp);
        return false;
    }
    return true;
}

static bool negotiate(Client *client, GError **errp)
{
    g_autoptr(json_object) arguments = NULL;
    json_object *names;

    if (client->oob) {
        arguments = json_object_new_object();
        names = json_object_new_array();
        json_object_array_add(names, json_object_new_string("oob"));
        json_object_object_add(arguments, "enable", names);
    }
    return client_call(client, "qmp_capabilities", arguments, NULL, errp);
}

Client *client_open(const char *path, ClientOob oob, int64_t deadline,
                    const ClientPatience *patience, GError **errp)
{
    g_autoptr(Client) client = g_new0(Client, 1);

    client->refs = 1;
    client->output_fd = -1;
    client->path = g_strdup(path);
    client->late_us = CLIENT_NO_DEADLINE;
    if (patience) {
        client->patience = *patience;
    }
    client->deadline = deadline;
    client->oob = oob != CLIENT_IN_BAND;
    client->input = g_string_new(NULL);
    client->tokener = json_tokener_new_ex(JSON_MAX_DEPTH);
    json_tokener_set_flags(client->tokener,
                           JSON_TOKENER_STRICT | JSON_TOKENER_ALLOW_TRAILING_CHARS);
    client->fd = connect_by_and_by(client, errp);
    if (client->fd < 0) {
        return NULL;
    }
    if (!take_greeting(client, oob, errp) || !negotiate(client, errp)) {
        g_prefix_error(errp, "%s: ", path);
        return NULL;
    }
    return g_steal_pointer(&client);
}

static void drop_events(Client *client)
{
    while (client->events && client->events->length > 0) {
        json_object_put(g_queue_pop_head(client->events));
    }
    g_clear_pointer(&client->events, g_queue_free);
}

Client *client_ref(Client *client)
{
    client->refs++;
    return client;
}

void client_unref(Client *client)
{
    if (--client->refs > 0) {
        return;
    }
    if (client->fd >= 0) {
        close(client->fd);
    }
    json_tokener_free(client->tokener);
    g_string_free(client->input, TRUE);
    drop_events(client);
    g_free(client->begun);
    g_free(client->path);
    g_free(client);
}

/* ---- using it again ---- */

ClientState client_state(Client *client)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(json_object) ignored = NULL;

    if (client->unanswered || client->broken) {
        return client->gone ? CLIENT_GONE : CLIENT_SPOILT;
    }
    client->deadline = g_get_monotonic_time() + STATE_US;
    client->output_fd = -1;
    if (client_wait(client, 0, -1, NULL, &ignored, &error) == CLIENT_TIME ||
        g_error_matches(error, CTL_ERROR, CTL_ERROR_TIMEOUT)) {
        return CLIENT_SOUND;
    }
    if (g_error_matches(error, CTL_ERROR, CTL_ERROR_INTERRUPTED)) {
        signals_interrupt_again();
        return CLIENT_SOUND;
    }
    return client->gone ? CLIENT_GONE : CLIENT_SPOILT;
}

bool client_renew(Client *client, ClientOob oob, int64_t deadline, const ClientPatience *patience,
                  GError **errp)
{
    if (oob == CLIENT_OOB && !client->has_oob) {
        set_no_oob(errp);
        return false;
    }
    client->oob = oob != CLIENT_IN_BAND && client->has_oob;
    client->deadline = deadline;
    client->patience = patience ? *patience : (ClientPatience){ 0 };
    client->output_fd = -1;
    drop_events(client);
    client_await(client, NULL);
    return true;
}

void client_watch_events(Client *client, ClientEventFunc *func, void *opaque)
{
    client->on_event = func;
    client->on_event_opaque = opaque;
}

/* ---- what a user of it may want ---- */

void client_keep_events(Client *client)
{
    if (!client->events) {
        client->events = g_queue_new();
    }
}

void client_watch_output(Client *client, int fd)
{
    client->output_fd = fd;
}
