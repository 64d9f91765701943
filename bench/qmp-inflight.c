/*
 * Many commands in flight on one connection: how many a server answers in a second.
 *
 *     qmp-inflight [-d DEPTH] [-n COUNT] SOCKET COMMAND [ARGUMENT...]
 *
 * DEPTH copies of query-version are sent at once; from then on each reply is followed by the next
 * command, those of the replies that came in one read() in one write. Prints one line of JSON.
 */
#include "config.h"

#include "bench/bench-qmp.h"
#include "bench/bench-server.h"
#include "bench/bench-util.h"

#include <err.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    MAX_DEPTH = 1024,
};

static const char command[] = "{\"execute\": \"query-version\"}\r\n";

/* Send @count commands with one call. */
static void send_commands(QmpClient *client, unsigned int count)
{
    static char text[MAX_DEPTH * (sizeof(command) - 1)];
    const size_t length = sizeof(command) - 1;

    if (text[0] == '\0') {
        for (size_t i = 0; i < MAX_DEPTH; i++) {
            memcpy(text + i * length, command, length);
        }
    }
    qmp_send(client, text, count * length);
}

/* Whether a whole line has been received and not been taken yet. */
static bool has_line(const QmpClient *client)
{
    return memchr(client->buffer + client->start, '\n', client->end - client->start) != NULL;
}

/* Have @count commands answered, with up to @depth at a time waiting for their reply. */
static void run(QmpClient *client, unsigned int depth, unsigned int count)
{
    unsigned int sent = depth < count ? depth : count;
    unsigned int answered = 0;

    send_commands(client, sent);
    while (answered < count) {
        unsigned int more = 0;

        do {
            if (qmp_is_error(qmp_receive_reply(client))) {
                errx(1, "query-version failed");
            }
            answered++;
            more += sent + more < count;
        } while (has_line(client) && answered < count);
        send_commands(client, more);
        sent += more;
    }
}

int main(int argc, char **argv)
{
    static QmpClient client;
    unsigned int depth = 64;
    unsigned int count = 20000;
    const BenchOption options[] = {
        { 'd', &depth, 1, MAX_DEPTH },
        { 'n', &count, 1, 10000000 },
        { 0 },
    };
    Server server;
    int64_t start;

    server_start(&server, argv + bench_options(argc, argv, options), "qmp-inflight");
    qmp_client_open(&client, server_connect(&server), false);
    run(&client, depth, count / 10 + 1);
    start = bench_now_ns();
    run(&client, depth, count);
    printf("{\"per_second\": %.0f}\n", count * 1e9 / (double)(bench_now_ns() - start));
    close(client.fd);
    server_stop(&server);
    return 0;
}
