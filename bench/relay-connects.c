/*
 * How many connections a second go through a relay: each is made, carries a byte there and one
 * back, and is closed by the client.
 *
 *     relay-connects [-c CLIENTS] [-n COUNT] LISTEN TARGET COMMAND [ARGUMENT...]
 *
 * Prints one line of JSON.
 */
#include "config.h"

#include "bench/bench-relay.h"
#include "bench/bench-util.h"

#include <err.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
    MAX_EVENTS = 64,
};

static void watch(int epoll, int fd)
{
    struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
        err(1, "epoll_ctl");
    }
}

/* The target: answers each byte, closes when the client has. */
static void *serve(void *opaque)
{
    const RelayBench *bench = opaque;
    struct epoll_event events[MAX_EVENTS];
    int epoll = epoll_create1(EPOLL_CLOEXEC);

    watch(epoll, bench->listener);
    for (;;) {
        int n = epoll_wait(epoll, events, MAX_EVENTS, -1);

        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            char byte;

            if (fd == bench->listener) {
                watch(epoll, relay_accept(bench));
            } else if (read(fd, &byte, 1) == 1) {
                relay_write(fd, &byte, 1);
            } else {
                close(fd);
            }
        }
    }
    return NULL;
}

static void begin(const RelayBench *bench, int epoll)
{
    int fd = relay_connect(bench);

    relay_write(fd, "x", 1);
    watch(epoll, fd);
}

/* Have @clients at a time make @count connections altogether. */
static void run(const RelayBench *bench, unsigned clients, unsigned count)
{
    struct epoll_event events[MAX_EVENTS];
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    unsigned begun = 0;
    unsigned ended = 0;

    while (begun < clients && begun < count) {
        begin(bench, epoll);
        begun++;
    }
    while (ended < count) {
        int n = epoll_wait(epoll, events, MAX_EVENTS, -1);

        for (int i = 0; i < n; i++) {
            char byte;

            relay_read(events[i].data.fd, &byte, 1);
            close(events[i].data.fd);
            ended++;
            if (begun < count) {
                begin(bench, epoll);
                begun++;
            }
        }
    }
    close(epoll);
}

int main(int argc, char **argv)
{
    unsigned clients = 16;
    unsigned count = 20000;
    const BenchOption options[] = {
        { 'c', &clients, 1, 10000 },
        { 'n', &count, 1, 10000000 },
        { 0 },
    };
    RelayBench bench;
    pthread_t thread;
    int64_t start;

    relay_start(&bench, argv + bench_options(argc, argv, options), "relay-connects");
    pthread_create(&thread, NULL, serve, &bench);
    run(&bench, clients, count / 10 + 1);
    start = bench_now_ns();
    run(&bench, clients, count);
    printf("{\"per_second\": %.0f}\n", count * 1e9 / (double)(bench_now_ns() - start));
    pthread_cancel(thread);
    pthread_join(thread, NULL);
    relay_stop(&bench);
    return 0;
}
