/*
 * A kick of an event-notifier on an IOThread, and one back through its chain.
 *
 *     work-kick [-n COUNT] [SOCKET COMMAND [ARGUMENT...]]
 *
 * The client owns both eventfds. What it writes to the one makes the daemon's callback kick the
 * next notifier of the chain, and that is the eventfd for which the client sleeps in poll(); it is
 * placed on the main loop, which is held meanwhile, so that the daemon does not take the kick
 * itself. Without a server, a process with a bare epoll loop answers. Prints one line of JSON.
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
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    HELD_MS = 4000, /* longer than it all takes */
};

static void read_kick(int fd)
{
    uint64_t kicks;

    if (read(fd, &kicks, sizeof(kicks)) != sizeof(kicks)) {
        err(1, "read");
    }
}

/* Sleep until @fd is kicked. */
static void await_kick(int fd)
{
    struct pollfd pollfd = { .fd = fd, .events = POLLIN };

    if (poll(&pollfd, 1, HELD_MS) != 1) {
        errx(1, "no kick came back");
    }
    read_kick(fd);
}

static void kick(int fd)
{
    uint64_t one = 1;

    if (write(fd, &one, sizeof(one)) != sizeof(one)) {
        err(1, "write");
    }
}

/* Hand @fd to the session under @name. */
static void give_descriptor(QmpClient *client, int fd, const char *name)
{
    char command[128];
    char control[CMSG_SPACE(sizeof(int))] = { 0 };
    struct iovec iov = { .iov_base = command };
    struct msghdr message = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof(control),
    };
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    iov.iov_len =
        (size_t)snprintf(command, sizeof(command),
                         "{\"execute\": \"getfd\", \"arguments\": {\"fdname\": \"%s\"}}", name);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &fd, sizeof(fd));
    if (sendmsg(client->fd, &message, MSG_NOSIGNAL) != (ssize_t)iov.iov_len) {
        err(1, "sendmsg");
    }
    if (qmp_is_error(qmp_receive_reply(client))) {
        errx(1, "getfd failed");
    }
}

static void start_daemon(Server *server, char **arguments, int there, int back)
{
    static QmpClient client;
    char block[128];
    int length;

    server_start(server, arguments, "work-kick");
    qmp_client_open(&client, server_connect(server), false);
    qmp_add_iothreads(&client, "io", 1);
    give_descriptor(&client, back, "back");
    give_descriptor(&client, there, "there");
    qmp_command(&client, "{\"execute\": \"object-add\", \"arguments\": {\"qom-type\":"
                         " \"event-notifier\", \"id\": \"back\", \"fd\": \"back\"}}");
    qmp_command(&client, "{\"execute\": \"object-add\", \"arguments\": {\"qom-type\":"
                         " \"event-notifier\", \"id\": \"there\", \"fd\": \"there\","
                         " \"iothread\": \"io0\", \"chain\": [\"back\"]}}");
    length =
        snprintf(block, sizeof(block),
                 "{\"execute\": \"x-debug-block\", \"arguments\": {\"duration-ms\": %d}}", HELD_MS);
    qmp_send(&client, block, (size_t)length);
    usleep(100000); /* it is held long before that */
}

/* A bare epoll loop in a process of its own. */
static pid_t start_bare(int there, int back)
{
    pid_t child = fork();
    struct epoll_event event = { .events = EPOLLIN };
    int epoll;

    if (child < 0) {
        err(1, "fork");
    }
    if (child > 0) {
        return child;
    }
    bench_end_with_parent();
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, there, &event) < 0) {
        err(1, "epoll");
    }
    for (;;) {
        if (epoll_wait(epoll, &event, 1, -1) == 1) {
            read_kick(there);
            kick(back);
        }
    }
}

static void measure(Samples *samples, unsigned int count, int there, int back)
{
    unsigned int warm_up = count / 10 + 1;

    for (unsigned int i = 0; i < warm_up + count; i++) {
        int64_t start = bench_now_ns();

        kick(there);
        await_kick(back);
        if (i >= warm_up) {
            samples_add(samples, bench_now_ns() - start);
        }
    }
}

int main(int argc, char **argv)
{
    unsigned int count = 10000;
    const BenchOption options[] = { { 'n', &count, 1, 20000 }, { 0 } };
    int first = bench_options(argc, argv, options);
    int there = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    int back = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    Samples samples;
    Server server;
    pid_t bare = -1;

    if (there < 0 || back < 0) {
        err(1, "eventfd");
    }
    if (first < argc) {
        start_daemon(&server, argv + first, there, back);
    } else {
        bare = start_bare(there, back);
    }
    samples_init(&samples, count);
    measure(&samples, count, there, back);
    samples_print_us(&samples);
    samples_free(&samples);
    if (first < argc) {
        server_stop(&server);
    } else {
        kill(bare, SIGKILL);
        waitpid(bare, NULL, 0);
    }
    return 0;
}
