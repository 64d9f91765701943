/*
 * The server that is measured. See the header.
 */
#include "config.h"

#include "bench/bench-server.h"
#include "bench/bench-util.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    START_MS = 10000, /* how long a server may take until it listens */
    STOP_MS = 5000,   /* how long it may take to end */
};

/* Report what appears in the folder of @path from now on. */
static int watch_folder(const char *path)
{
    char *copy = strdup(path);
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

    if (!copy || fd < 0) {
        err(1, "inotify");
    }
    if (inotify_add_watch(fd, dirname(copy), IN_CREATE | IN_MOVED_TO) < 0) {
        err(1, "%s", copy);
    }
    free(copy);
    return fd;
}

static void run_command(char **command)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    bench_end_with_parent();
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) {
        _exit(127);
    }
    execvp(command[0], command);
    warn("%s", command[0]);
    _exit(127);
}

void server_start(Server *server, char **arguments, const char *usage)
{
    if (!arguments[0] || !arguments[1]) {
        errx(2, "usage: %s [OPTION...] SOCKET COMMAND [ARGUMENT...]", usage);
    }
    server->socket = arguments[0];
    if (unlink(server->socket) < 0 && errno != ENOENT) {
        err(1, "%s", server->socket);
    }
    server->inotify = watch_folder(server->socket);
    server->started_ns = bench_now_ns();
    server->pid = fork();
    if (server->pid < 0) {
        err(1, "fork");
    }
    if (server->pid == 0) {
        run_command(arguments + 1);
    }
    server->pidfd = (int)syscall(SYS_pidfd_open, server->pid, 0);
    if (server->pidfd < 0) {
        err(1, "pidfd_open");
    }
}

/* Whether the server's process ends within @timeout_ms. */
static bool has_ended(const Server *server, int timeout_ms)
{
    struct pollfd ended = { .fd = server->pidfd, .events = POLLIN };

    return poll(&ended, 1, timeout_ms) > 0;
}

/* Sleep until something appears beside the socket, or the server ends. */
static void wait_for_folder(const Server *server)
{
    struct pollfd fds[] = {
        { .fd = server->inotify, .events = POLLIN },
        { .fd = server->pidfd, .events = POLLIN },
    };
    char events[4096];

    poll(fds, 2, START_MS);
    while (read(server->inotify, events, sizeof(events)) > 0) {
    }
}

int server_connect(Server *server)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int64_t deadline = bench_now_ns() + START_MS * INT64_C(1000000);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        err(1, "socket");
    }
    if (strlen(server->socket) >= sizeof(address.sun_path)) {
        errx(1, "%s: too long for a socket's address", server->socket);
    }
    strcpy(address.sun_path, server->socket);
    while (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        bool is_absent = errno == ENOENT;

        if (!is_absent && errno != ECONNREFUSED) {
            err(1, "%s", server->socket);
        }
        if (has_ended(server, 0)) {
            errx(1, "the server ended before it listened at %s", server->socket);
        }
        if (bench_now_ns() > deadline) {
            errx(1, "nobody listens at %s", server->socket);
        }
        if (is_absent) {
            wait_for_folder(server);
        } else {
            sched_yield(); /* bound, and about to listen */
        }
    }
    return fd;
}

void server_stop(Server *server)
{
    kill(server->pid, SIGTERM);
    if (!has_ended(server, STOP_MS)) {
        warnx("the server did not end on SIGTERM");
        kill(server->pid, SIGKILL);
    }
    waitpid(server->pid, NULL, 0);
    close(server->pidfd);
    close(server->inotify);
    unlink(server->socket);
}
