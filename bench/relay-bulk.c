/*
 * How fast many bytes go through a relay: one connection, from the client to the target.
 *
 *     relay-bulk [-m MEGABYTES] LISTEN TARGET COMMAND [ARGUMENT...]
 *
 * Prints one line of JSON.
 */
#include "config.h"

#include "bench/bench-relay.h"
#include "bench/bench-util.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    CHUNK = 131072,
};

typedef struct Sender {
    int fd;
    uint64_t length;
} Sender;

static void *send_all(void *opaque)
{
    Sender *sender = opaque;
    char *data = malloc(CHUNK);

    memset(data, 'x', CHUNK);
    for (uint64_t sent = 0; sent < sender->length; sent += CHUNK) {
        relay_write(sender->fd, data, CHUNK);
    }
    free(data);
    return NULL;
}

static void receive(int fd, uint64_t length)
{
    char *data = malloc(CHUNK);

    for (uint64_t received = 0; received < length; received += CHUNK) {
        relay_read(fd, data, CHUNK);
    }
    free(data);
}

int main(int argc, char **argv)
{
    unsigned megabytes = 4000;
    const BenchOption options[] = { { 'm', &megabytes, 1, 1000000 }, { 0 } };
    RelayBench bench;
    Sender sender;
    pthread_t thread;
    int64_t start;
    int fd;

    relay_start(&bench, argv + bench_options(argc, argv, options), "relay-bulk");
    sender.fd = relay_connect(&bench);
    sender.length = (uint64_t)megabytes * 8 * CHUNK;
    fd = relay_accept(&bench);
    start = bench_now_ns();
    pthread_create(&thread, NULL, send_all, &sender);
    receive(fd, sender.length);
    printf("{\"mb_per_second\": %.1f}\n",
           (double)sender.length * 1000 / (double)(bench_now_ns() - start));
    pthread_join(thread, NULL);
    close(sender.fd);
    close(fd);
    relay_stop(&bench);
    return 0;
}
