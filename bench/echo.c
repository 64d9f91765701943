/*
 * A bare echo between two processes over a unix socket: the limit for one hop.
 *
 *     echo [-p] [-t] [-n COUNT]
 *
 * The far process is an epoll loop that writes back what it reads; this one sends the bytes of a
 * small command and waits for them. On more than one processor each has one of its own: that is
 * the way of a request to a daemon, and leaves no luck of the scheduler in the figure. With -p the
 * far process never sleeps: the limit for a server that polls. With -t it reads in one thread and
 * writes in another, woken by an eventfd, and nobody is tied to a processor: the limit for a server
 * that does not run commands where it reads them. Prints one line of JSON.
 */
#include "config.h"

#include "bench/bench-qmp.h"
#include "bench/bench-util.h"

#include <err.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Write back what comes in on @fd. Never sleeps when @polling. Ends the process at its end. */
_Noreturn static void echo_loop(int fd, bool polling)
{
    struct epoll_event event = { .events = EPOLLIN };
    int epoll = epoll_create1(EPOLL_CLOEXEC);

    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
        err(1, "epoll");
    }
    for (;;) {
        char buffer[4096];
        ssize_t got;

        if (epoll_wait(epoll, &event, 1, polling ? 0 : -1) != 1) {
            continue;
        }
        got = read(fd, buffer, sizeof(buffer));
        if (got <= 0 || write(fd, buffer, (size_t)got) != got) {
            _exit(0);
        }
    }
}

/* What the two threads of the far process have between them: one message at a time. */
typedef struct Hop {
    int fd;
    int event;
    char buffer[4096];
    ssize_t length;
} Hop;

static void *answer(void *opaque)
{
    Hop *hop = opaque;
    uint64_t count;

    /* The eventfd orders the buffer: written before it is set, read after it was. */
    while (read(hop->event, &count, sizeof(count)) == sizeof(count)) {
        if (write(hop->fd, hop->buffer, (size_t)hop->length) != hop->length) {
            break;
        }
    }
    _exit(0);
}

/* As echo_loop(), with a second thread that writes. */
_Noreturn static void echo_hop(int fd)
{
    struct epoll_event event = { .events = EPOLLIN };
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    Hop hop = { .fd = fd, .event = eventfd(0, EFD_CLOEXEC) };
    pthread_t thread;

    if (epoll < 0 || hop.event < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
        err(1, "epoll");
    }
    errno = pthread_create(&thread, NULL, answer, &hop);
    if (errno != 0) {
        err(1, "pthread_create");
    }
    for (;;) {
        const uint64_t one = 1;

        if (epoll_wait(epoll, &event, 1, -1) != 1) {
            continue;
        }
        hop.length = read(fd, hop.buffer, sizeof(hop.buffer));
        if (hop.length <= 0 || write(hop.event, &one, sizeof(one)) != sizeof(one)) {
            _exit(0);
        }
    }
}

int main(int argc, char **argv)
{
    static QmpClient client;
    static const char text[] = "{\"execute\": \"query-version\"}\r\n";
    unsigned int count = 20000;
    bool polling = false;
    bool hop = false;
    const BenchOption options[] = {
        { 'p', .flag = &polling },
        { 't', .flag = &hop },
        { 'n', &count, 1, 10000000 },
        { 0 },
    };
    unsigned int warm_up;
    Samples samples;
    int sockets[2];
    pid_t child;

    bench_options(argc, argv, options);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0) {
        err(1, "socketpair");
    }
    child = fork();
    if (child < 0) {
        err(1, "fork");
    }
    if (child == 0) {
        bench_end_with_parent();
        close(sockets[0]);
        if (hop) {
            echo_hop(sockets[1]);
        }
        bench_pin(1);
        echo_loop(sockets[1], polling);
    }
    close(sockets[1]);
    if (!hop) {
        bench_pin(0);
    }
    qmp_client_init(&client, sockets[0]);
    samples_init(&samples, count);
    warm_up = count / 10 + 1;
    for (unsigned int i = 0; i < warm_up + count; i++) {
        int64_t start = bench_now_ns();

        qmp_send(&client, text, sizeof(text) - 1);
        qmp_receive_line(&client);
        if (i >= warm_up) {
            samples_add(&samples, bench_now_ns() - start);
        }
    }
    samples_print_us(&samples);
    samples_free(&samples);
    close(sockets[0]);
    waitpid(child, NULL, 0);
    return 0;
}
