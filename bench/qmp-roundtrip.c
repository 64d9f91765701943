/*
 * One command and its reply, one at a time: how long a client waits.
 *
 *     qmp-roundtrip [-o] [-n COUNT] SOCKET COMMAND [ARGUMENT...]
 *
 * The command is query-version, which does nothing. With -o it is sent out-of-band (exec-oob); a
 * server that refuses that is "n/a", printed as null. Prints one line of JSON.
 */
#include "config.h"

#include "bench/bench-qmp.h"
#include "bench/bench-server.h"
#include "bench/bench-util.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Time @count round trips of @command. False when the server refuses it. */
static bool measure(QmpClient *client, const char *command, unsigned int count, Samples *samples)
{
    size_t length = strlen(command);
    unsigned int warm_up = count / 10 + 1;

    for (unsigned int i = 0; i < warm_up + count; i++) {
        int64_t start = bench_now_ns();

        qmp_send(client, command, length);
        if (qmp_is_error(qmp_receive_reply(client))) {
            return false;
        }
        if (i >= warm_up) {
            samples_add(samples, bench_now_ns() - start);
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    static QmpClient client;
    const char *command;
    unsigned int count = 5000;
    bool oob = false;
    const BenchOption options[] = {
        { 'o', .flag = &oob },
        { 'n', &count, 1, 10000000 },
        { 0 },
    };
    Samples samples;
    Server server;

    server_start(&server, argv + bench_options(argc, argv, options), "qmp-roundtrip");
    qmp_client_open(&client, server_connect(&server), oob);
    command = oob ? "{\"exec-oob\": \"query-version\"}" : "{\"execute\": \"query-version\"}";
    samples_init(&samples, count);
    if (measure(&client, command, count, &samples)) {
        samples_print_us(&samples);
    } else {
        puts("{\"median_us\": null, \"p99_us\": null}");
    }
    samples_free(&samples);
    close(client.fd);
    server_stop(&server);
    return 0;
}
