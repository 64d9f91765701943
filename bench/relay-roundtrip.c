/*
 * 64 bytes through a relay and back, one after another: how long a client waits.
 *
 *     relay-roundtrip [-n COUNT] LISTEN TARGET COMMAND [ARGUMENT...]
 *
 * Prints one line of JSON.
 */
#include "config.h"

#include "bench/bench-relay.h"
#include "bench/bench-util.h"

#include <pthread.h>
#include <unistd.h>

enum {
    LENGTH = 64,
};

static void *echo(void *opaque)
{
    int fd = *(int *)opaque;
    char data[LENGTH];
    ssize_t n;

    while ((n = read(fd, data, sizeof(data))) > 0) {
        relay_write(fd, data, (size_t)n);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    unsigned count = 20000;
    const BenchOption options[] = { { 'n', &count, 1, 10000000 }, { 0 } };
    char data[LENGTH] = { 0 };
    unsigned warm_up;
    RelayBench bench;
    Samples samples;
    pthread_t thread;
    int client;
    int target;

    relay_start(&bench, argv + bench_options(argc, argv, options), "relay-roundtrip");
    warm_up = count / 10 + 1;
    client = relay_connect(&bench);
    target = relay_accept(&bench);
    pthread_create(&thread, NULL, echo, &target);
    samples_init(&samples, count);
    for (unsigned i = 0; i < warm_up + count; i++) {
        int64_t start = bench_now_ns();

        relay_write(client, data, LENGTH);
        relay_read(client, data, LENGTH);
        if (i >= warm_up) {
            samples_add(&samples, bench_now_ns() - start);
        }
    }
    samples_print_us(&samples);
    samples_free(&samples);
    close(client);
    pthread_join(thread, NULL);
    close(target);
    relay_stop(&bench);
    return 0;
}
