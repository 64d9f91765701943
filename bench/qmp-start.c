/*
 * From fork() to the first byte of the greeting: how long a server takes to serve.
 *
 *     qmp-start SOCKET COMMAND [ARGUMENT...]
 *
 * One start; whoever wants a median runs it many times. The program sleeps until the server's
 * socket appears, so it takes no processor time from the start it measures. Prints one line of
 * JSON.
 */
#include "config.h"

#include "bench/bench-server.h"
#include "bench/bench-util.h"

#include <err.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    Server server;
    int64_t greeted_ns;
    char byte;
    int fd;
    const BenchOption options[] = { { 0 } };

    server_start(&server, argv + bench_options(argc, argv, options), "qmp-start");
    fd = server_connect(&server);
    if (read(fd, &byte, 1) != 1) {
        errx(1, "no greeting");
    }
    greeted_ns = bench_now_ns();
    printf("{\"greeting_ms\": %.3f}\n", (double)(greeted_ns - server.started_ns) / 1e6);
    close(fd);
    server_stop(&server);
    return 0;
}
