/*
 * The least QMP client that can measure: commands go out as text, replies come back as lines. It
 * does not parse JSON, so that what is measured is the server. No command carries an id, so a
 * reply's only member, and so its first, is "return" or "error".
 */
#ifndef BENCH_QMP_H
#define BENCH_QMP_H

#include <stdbool.h>
#include <stddef.h>

typedef struct QmpClient {
    int fd;
    size_t start; /* of the first byte of buffer that no line has taken yet */
    size_t end;   /* past the last byte received */
    char buffer[256 * 1024];
} QmpClient;

/* A client on the connected socket @fd, which stays the caller's to close. */
void qmp_client_init(QmpClient *client, int fd);

/*
 * The same, and more: read the greeting and leave negotiation mode, with out-of-band commands
 * enabled when @oob.
 */
void qmp_client_open(QmpClient *client, int fd, bool oob);

/* Send @length bytes of @text as they are. */
void qmp_send(QmpClient *client, const char *text, size_t length);

/* The next line, without its end; it is valid until the next call on @client. */
const char *qmp_receive_line(QmpClient *client);

/* The next line that is a reply; events are passed over. */
const char *qmp_receive_reply(QmpClient *client);

/* Whether @reply says that its command failed. */
bool qmp_is_error(const char *reply);

/* Send @command and wait for its reply, which must not be an error. */
void qmp_command(QmpClient *client, const char *command);

/* The same for the printf-like @format. */
void qmp_commandf(QmpClient *client, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Add @count IOThreads of default properties, called @prefix and a number from 0. */
void qmp_add_iothreads(QmpClient *client, const char *prefix, unsigned int count);

#endif
