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
    const char *command = "{\"execute\": \"query-version\"}";
    unsigned int count = 5000;
    bool oob = false;
    Samples samples;
    Server server;
    int option;

    bench_end_with_parent();
    while ((option = getopt(argc, argv, "+on:")) != -1) {
        switch (option) {
        case 'o':
            oob = true;
            command = "{\"exec-oob\": \"query-version\"}";
            break;
        case 'n':
            count = bench_number('n', optarg, 1, 10000000);
            break;
        default:
            return 2;
        }
    }
    server_start(&server, argv + optind, "qmp-roundtrip");
    qmp_client_open(&client, server_connect(&server), oob);
    samples_init(&samples, count);
    if (measure(&client, command, count, &samples)) {
        printf("{\"median_us\": %.2f, \"p99_us\": %.2f}\n",
               (double)samples_percentile(&samples, 50) / 1e3,
               (double)samples_percentile(&samples, 99) / 1e3);
    } else {
        puts("{\"median_us\": null, \"p99_us\": null}");
    }
    samples_free(&samples);
    close(client.fd);
    server_stop(&server);
    return 0;
}
