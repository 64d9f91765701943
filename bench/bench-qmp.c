/*
 * The least QMP client that can measure. See the header.
 */
#include "config.h"

#include "bench/bench-qmp.h"

#include <err.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void qmp_client_init(QmpClient *client, int fd)
{
    client->fd = fd;
    client->start = 0;
    client->end = 0;
}

void qmp_send(QmpClient *client, const char *text, size_t length)
{
    while (length > 0) {
        ssize_t sent = send(client->fd, text, length, MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent < 0) {
            err(1, "sending to the server");
        }
        text += sent;
        length -= (size_t)sent;
    }
}

static void receive_more(QmpClient *client)
{
    ssize_t got;

    if (client->start > 0) {
        memmove(client->buffer, client->buffer + client->start, client->end - client->start);
        client->end -= client->start;
        client->start = 0;
    }
    if (client->end == sizeof(client->buffer)) {
        errx(1, "a line of the server's is longer than %zu bytes", sizeof(client->buffer));
    }
    do {
        got = read(client->fd, client->buffer + client->end, sizeof(client->buffer) - client->end);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        err(1, "receiving from the server");
    }
    if (got == 0) {
        errx(1, "the server closed the connection");
    }
    client->end += (size_t)got;
}

const char *qmp_receive_line(QmpClient *client)
{
    size_t searched = 0;

    for (;;) {
        char *line = client->buffer + client->start;
        size_t length = client->end - client->start;
        char *newline = memchr(line + searched, '\n', length - searched);

        if (newline) {
            client->start = (size_t)(newline + 1 - client->buffer);
            if (newline > line && newline[-1] == '\r') {
                newline--;
            }
            *newline = '\0';
            return line;
        }
        searched = length;
        receive_more(client);
    }
}

static bool first_member_is(const char *line, const char *name)
{
    size_t length = strlen(name);

    line += strspn(line, "{ ");
    return line[0] == '"' && strncmp(line + 1, name, length) == 0 && line[1 + length] == '"';
}

bool qmp_is_error(const char *reply)
{
    return first_member_is(reply, "error");
}

const char *qmp_receive_reply(QmpClient *client)
{
    for (;;) {
        const char *line = qmp_receive_line(client);

        if (first_member_is(line, "return") || qmp_is_error(line)) {
            return line;
        }
    }
}

void qmp_command(QmpClient *client, const char *command)
{
    const char *reply;

    qmp_send(client, command, strlen(command));
    reply = qmp_receive_reply(client);
    if (qmp_is_error(reply)) {
        errx(1, "%s: %s", command, reply);
    }
}

void qmp_commandf(QmpClient *client, const char *format, ...)
{
    char command[512];
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(command, sizeof(command), format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= sizeof(command)) {
        errx(1, "a command is longer than %zu bytes", sizeof(command) - 1);
    }
    qmp_command(client, command);
}

void qmp_client_open(QmpClient *client, int fd, bool oob)
{
    const char *greeting;

    qmp_client_init(client, fd);
    greeting = qmp_receive_line(client);
    if (!first_member_is(greeting, "QMP")) {
        errx(1, "not a greeting: %s", greeting);
    }
    qmp_command(client, oob ? "{\"execute\": \"qmp_capabilities\","
                              " \"arguments\": {\"enable\": [\"oob\"]}}"
                            : "{\"execute\": \"qmp_capabilities\"}");
}

void qmp_add_iothreads(QmpClient *client, const char *prefix, unsigned int count)
{
    for (unsigned int i = 0; i < count; i++) {
        qmp_commandf(client,
                     "{\"execute\": \"object-add\","
                     " \"arguments\": {\"qom-type\": \"iothread\", \"id\": \"%s%u\"}}",
                     prefix, i);
    }
}
