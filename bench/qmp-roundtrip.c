/*
 * One command and its reply, one at a time: how long a client waits.
 *
 *     qmp-roundtrip [-o] [-b] [-f] [-n COUNT] SOCKET COMMAND [ARGUMENT...]
 *
 * The command is query-version, which does nothing. With -o it is sent out-of-band (exec-oob); a
 * server that refuses that is "n/a", printed as null. With -b a command of another client, which
 * evloopd offers with --debug-commands, holds the main loop meanwhile; with -f another client keeps
 * 64 in-band commands in flight. Prints one line of JSON.
 */
#include "config.h"

#include "bench/bench-qmp.h"
#include "bench/bench-server.h"
#include "bench/bench-util.h"

#include <err.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Hold the main loop for four seconds; returns the connection that is then answered. */
static int hold_main_loop(Server *server)
{
    static QmpClient client;
    static const char block[] =
        "{\"execute\": \"x-debug-block\", \"arguments\": {\"duration-ms\": 4000}}";

    qmp_client_open(&client, server_connect(server), false);
    qmp_send(&client, block, sizeof(block) - 1);
    usleep(100000); /* it is held long before that */
    return client.fd;
}

static void check_still_held(int fd)
{
    struct pollfd pollfd = { .fd = fd, .events = POLLIN };

    if (poll(&pollfd, 1, 0) != 0) {
        errx(1, "the main loop was not held to the end");
    }
}

/* A process that keeps 64 in-band commands in flight. */
static pid_t start_flood(Server *server)
{
    static const char command[] = "{\"execute\": \"query-version\"}\r\n";
    static QmpClient client;
    pid_t child = fork();

    if (child < 0) {
        err(1, "fork");
    }
    if (child > 0) {
        return child;
    }
    bench_end_with_parent();
    qmp_client_open(&client, server_connect(server), false);
    for (int i = 0; i < 64; i++) {
        qmp_send(&client, command, sizeof(command) - 1);
    }
    for (;;) {
        qmp_receive_reply(&client);
        qmp_send(&client, command, sizeof(command) - 1);
    }
}

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
    bool block = false;
    bool flood = false;
    const BenchOption options[] = {
        { 'o', .flag = &oob },
        { 'b', .flag = &block },
        { 'f', .flag = &flood },
        { 'n', &count, 1, 10000000 },
        { 0 },
    };
    Samples samples;
    Server server;
    pid_t flooding = -1;
    int held = -1;

    server_start(&server, argv + bench_options(argc, argv, options), "qmp-roundtrip");
    qmp_client_open(&client, server_connect(&server), oob);
    command = oob ? "{\"exec-oob\": \"query-version\"}" : "{\"execute\": \"query-version\"}";
    samples_init(&samples, count);
    if (block) {
        held = hold_main_loop(&server);
    }
    if (flood) {
        flooding = start_flood(&server);
        usleep(100000); /* it is at full speed long before that */
    }
    if (measure(&client, command, count, &samples)) {
        samples_print_us(&samples);
    } else {
        puts("{\"median_us\": null, \"p99_us\": null}");
    }
    samples_free(&samples);
    if (block) {
        check_still_held(held);
        close(held);
    }
    if (flood) {
        kill(flooding, SIGTERM);
        waitpid(flooding, NULL, 0);
    }
    close(client.fd);
    server_stop(&server);
    return 0;
}
