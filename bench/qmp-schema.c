/*
 * The longest answer there is: how fast a server gives its whole schema, by the byte.
 *
 *     qmp-schema [-n COUNT] SOCKET COMMAND [ARGUMENT...]
 *
 * query-qmp-schema is asked COUNT times, each time when the answer before has been read to its end.
 * Schemas differ in size, so the figure is bytes of answers a second. Prints one line of JSON.
 */
#include "config.h"

#include "bench/bench-qmp.h"
#include "bench/bench-server.h"
#include "bench/bench-util.h"

#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

/* Read an answer, whose length is returned: up to the newline, which is the last byte there is. */
static size_t receive_answer(const QmpClient *client)
{
    static char buffer[256 * 1024];
    size_t length = 0;

    for (;;) {
        ssize_t got = read(client->fd, buffer, sizeof(buffer));

        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            errx(1, "the server closed the connection");
        }
        length += (size_t)got;
        if (buffer[got - 1] == '\n') {
            return length;
        }
    }
}

static size_t run(QmpClient *client, unsigned int count)
{
    static const char command[] = "{\"execute\": \"query-qmp-schema\"}\r\n";
    size_t length = 0;

    for (unsigned int i = 0; i < count; i++) {
        qmp_send(client, command, sizeof(command) - 1);
        length += receive_answer(client);
    }
    return length;
}

int main(int argc, char **argv)
{
    static QmpClient client;
    unsigned int count = 500;
    const BenchOption options[] = {
        { 'n', &count, 1, 1000000 },
        { 0 },
    };
    Server server;
    int64_t start;
    size_t length;
    double seconds;

    server_start(&server, argv + bench_options(argc, argv, options), "qmp-schema");
    qmp_client_open(&client, server_connect(&server), false);
    run(&client, count / 10 + 1);
    start = bench_now_ns();
    length = run(&client, count);
    seconds = (double)(bench_now_ns() - start) / 1e9;
    printf("{\"mb_per_second\": %.1f, \"reply_kb\": %.1f}\n", (double)length / 1e6 / seconds,
           (double)length / 1e3 / count);
    close(client.fd);
    server_stop(&server);
    return 0;
}
