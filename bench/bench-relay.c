/*
 * The relay that is measured. See the header.
 */
#include "config.h"

#include "bench/bench-relay.h"
#include "bench/bench-util.h"

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* How long a relay may take until it relays. */
#define START_NS INT64_C(10000000000)

static socklen_t parse_address(const char *text, struct sockaddr_storage *address)
{
    struct sockaddr_un *sun = (struct sockaddr_un *)address;
    struct sockaddr_in *sin = (struct sockaddr_in *)address;
    char host[64];
    unsigned port;

    memset(address, 0, sizeof(*address));
    if (strncmp(text, "unix:", 5) == 0 && strlen(text + 5) < sizeof(sun->sun_path)) {
        sun->sun_family = AF_UNIX;
        strcpy(sun->sun_path, text + 5);
        return sizeof(*sun);
    }
    if (sscanf(text, "tcp:%63[0-9.]:%u", host, &port) == 2 &&
        inet_pton(AF_INET, host, &sin->sin_addr) == 1) {
        sin->sin_family = AF_INET;
        sin->sin_port = htons((uint16_t)port);
        return sizeof(*sin);
    }
    errx(2, "%s: no address", text);
}

static void set_no_delay(int fd)
{
    static const int on = 1;

    /* Unix sockets know no delay. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static int listen_at(const char *text)
{
    static const int on = 1;
    struct sockaddr_storage address;
    socklen_t length = parse_address(text, &address);
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        err(1, "socket");
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (strncmp(text, "unix:", 5) == 0) {
        unlink(text + 5);
    }
    if (bind(fd, (struct sockaddr *)&address, length) < 0 || listen(fd, SOMAXCONN) < 0) {
        err(1, "%s", text);
    }
    return fd;
}

static void run_command(char **command)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    bench_end_with_parent();
    setpgid(0, 0);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0) {
        _exit(127);
    }
    execvp(command[0], command);
    warn("%s", command[0]);
    _exit(127);
}

static int try_connect(const RelayBench *bench)
{
    int fd = socket(bench->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        err(1, "socket");
    }
    set_no_delay(fd);
    if (connect(fd, (const struct sockaddr *)&bench->address, bench->address_length) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* One connection through the relay and its end, however long that takes. */
static void wait_until_it_relays(RelayBench *bench)
{
    int64_t deadline = bench_now_ns() + START_NS;

    while (bench_now_ns() < deadline) {
        struct pollfd accepting = { .fd = bench->listener, .events = POLLIN };
        int fd = try_connect(bench);

        if (waitpid(bench->pid, NULL, WNOHANG) == bench->pid) {
            errx(1, "the relay has ended");
        }
        if (fd >= 0 && poll(&accepting, 1, 1000) > 0) {
            close(fd);
            close(relay_accept(bench));
            return;
        }
        if (fd >= 0) {
            close(fd);
        }
        poll(NULL, 0, 10);
    }
    errx(1, "the relay does not relay");
}

void relay_start(RelayBench *bench, char **arguments, const char *usage)
{
    if (!arguments[0] || !arguments[1] || !arguments[2]) {
        errx(2, "usage: %s [OPTION...] LISTEN TARGET COMMAND [ARGUMENT...]", usage);
    }
    signal(SIGPIPE, SIG_IGN);
    bench->target = arguments[1];
    bench->address_length = parse_address(arguments[0], &bench->address);
    if (strncmp(arguments[0], "unix:", 5) == 0) {
        unlink(arguments[0] + 5);
    }
    bench->listener = listen_at(bench->target);
    bench->pid = fork();
    if (bench->pid < 0) {
        err(1, "fork");
    }
    if (bench->pid == 0) {
        run_command(arguments + 2);
    }
    wait_until_it_relays(bench);
}

int relay_connect(const RelayBench *bench)
{
    int fd = try_connect(bench);

    if (fd < 0) {
        err(1, "connect");
    }
    return fd;
}

int relay_accept(const RelayBench *bench)
{
    int fd = accept4(bench->listener, NULL, NULL, SOCK_CLOEXEC);

    if (fd < 0) {
        err(1, "accept");
    }
    set_no_delay(fd);
    return fd;
}

void relay_write(int fd, const void *data, size_t length)
{
    const char *next = data;

    while (length > 0) {
        ssize_t n = write(fd, next, length);

        if (n < 0) {
            err(1, "write");
        }
        next += n;
        length -= (size_t)n;
    }
}

void relay_read(int fd, void *data, size_t length)
{
    char *next = data;

    while (length > 0) {
        ssize_t n = read(fd, next, length);

        if (n <= 0) {
            errx(1, "read: %s", n < 0 ? strerror(errno) : "the connection has ended");
        }
        next += n;
        length -= (size_t)n;
    }
}

void relay_stop(RelayBench *bench)
{
    kill(-bench->pid, SIGTERM);
    for (int i = 0; i < 200 && waitpid(bench->pid, NULL, WNOHANG) == 0; i++) {
        poll(NULL, 0, 10);
    }
    kill(-bench->pid, SIGKILL);
    waitpid(bench->pid, NULL, 0);
    close(bench->listener);
    if (strncmp(bench->target, "unix:", 5) == 0) {
        unlink(bench->target + 5);
    }
}
