/*
 * A client of the session target; see fuzz-client.h.
 */
#include "tests/fuzz/fuzz-client.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"

/* The server answers each value and each broken one. */
static void count_value(json_object *value, GError *error, void *opaque)
{
    FuzzClient *client = opaque;

    client->expected++;
    json_object_put(value);
    g_clear_error(&error);
}

void fuzz_client_connect(FuzzClient *client, const struct sockaddr_un *address, socklen_t len,
                         const QmpJsonLimits *limits)
{
    *client = (FuzzClient){ .expected = 1 };
    client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    fuzz_assert(client->fd >= 0);
    fuzz_assert(connect(client->fd, (const struct sockaddr *)address, len) == 0);
    client->parser = qmp_json_parser_new(limits, count_value, client);
    client->unread = g_string_new(NULL);
}

/* ---- out ---- */

static void add_fd(struct msghdr *message, int fd)
{
    struct cmsghdr *cmsg;

    message->msg_controllen = CMSG_SPACE(sizeof(int));
    cmsg = CMSG_FIRSTHDR(message);
    *cmsg = (struct cmsghdr){
        .cmsg_level = SOL_SOCKET,
        .cmsg_type = SCM_RIGHTS,
        .cmsg_len = CMSG_LEN(sizeof(int)),
    };
    memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));
}

void fuzz_client_send(FuzzClient *client, const void *data, size_t len)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct iovec iov = { .iov_base = (void *)data, .iov_len = len };
    struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control };
    ssize_t n;

    if (len == 0) {
        return;
    }
    if (client->send_fd) {
        add_fd(&message, client->fd);
        client->send_fd = false;
    }
    n = sendmsg(client->fd, &message, MSG_NOSIGNAL);
    /* The inputs are shorter than what a socket takes. */
    fuzz_assert(n == (ssize_t)len || (n < 0 && errno == EPIPE && client->may_be_dropped));
    qmp_json_parser_feed(client->parser, data, len);
}

void fuzz_client_shutdown(FuzzClient *client)
{
    shutdown(client->fd, SHUT_WR);
    qmp_json_parser_finish(client->parser);
}

/* ---- in ---- */

static bool has_member(json_object *object, const char *name)
{
    return json_object_object_get_ex(object, name, NULL);
}

static void check_error(json_object *error)
{
    static const char *const classes[] = { "GenericError", "CommandNotFound", "DeviceNotFound",
                                           NULL };
    json_object *class = json_object_object_get(error, "class");

    fuzz_assert(json_object_object_length(error) == 2);
    fuzz_assert(g_strv_contains(classes, json_object_get_string(class)));
    fuzz_assert(json_object_get_string_len(json_object_object_get(error, "desc")) > 0);
}

static void check_message(FuzzClient *client, json_object *message)
{
    bool is_first = client->answers == 0;

    fuzz_assert(json_object_is_type(message, json_type_object));
    fuzz_assert(has_member(message, "QMP") == is_first);
    fuzz_assert(has_member(message, "QMP") + has_member(message, "return") +
                    has_member(message, "error") + has_member(message, "event") ==
                1);
    if (has_member(message, "event")) {
        fuzz_assert(has_member(message, "timestamp"));
    } else {
        client->answers++;
    }
    if (has_member(message, "error")) {
        check_error(json_object_object_get(message, "error"));
    }
    fuzz_assert(client->answers <= client->expected);
}

/* By another parser than the server's, so that the fuzzer sees only what the server does with ours.
 */
static void check_line(FuzzClient *client, const char *line, size_t len)
{
    json_tokener *tokener = json_tokener_new_ex(JSON_TOKENER_DEFAULT_DEPTH * 4);
    json_object *message;

    fuzz_assert(len > 2 && line[len - 2] == '\r');
    for (size_t i = 0; i < len - 2; i++) {
        fuzz_assert(line[i] >= ' ' && line[i] <= '~');
    }
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
    message = json_tokener_parse_ex(tokener, line, (int)len - 2);
    fuzz_assert(json_tokener_get_error(tokener) == json_tokener_success);
    check_message(client, message);
    json_object_put(message);
    json_tokener_free(tokener);
}

static void check_lines(FuzzClient *client)
{
    char *end;

    while ((end = memchr(client->unread->str, '\n', client->unread->len))) {
        size_t len = (size_t)(end - client->unread->str) + 1;

        check_line(client, client->unread->str, len);
        g_string_erase(client->unread, 0, (gssize)len);
    }
}

bool fuzz_client_read(FuzzClient *client)
{
    static char buffer[65536];
    bool found = false;
    ssize_t n;

    while ((n = recv(client->fd, buffer, sizeof(buffer), MSG_DONTWAIT)) > 0) {
        g_string_append_len(client->unread, buffer, n);
        check_lines(client);
        found = true;
    }
    if (n == 0 || errno == ECONNRESET) {
        found |= !client->at_end;
        client->at_end = true;
    } else {
        fuzz_assert(errno == EAGAIN);
    }
    return found;
}

void fuzz_client_check_answers(FuzzClient *client)
{
    if (client->may_be_dropped) {
        return;
    }
    fuzz_assert(client->unread->len == 0);
    if (client->answers != client->expected) {
        fuzz_fail("%u answers, not %u", client->answers, client->expected);
    }
}

void fuzz_client_close(FuzzClient *client)
{
    close(client->fd);
    client->fd = -1;
    qmp_json_parser_free(client->parser);
    g_string_free(client->unread, TRUE);
}
