/*
 * Wake-ups of an idle server that has one connected, silent client.
 *
 *     qmp-idle [-t IOTHREADS] [-s SECONDS] SOCKET COMMAND [ARGUMENT...]
 *
 * Two looks, one after the other, SECONDS each: the context switches of all threads (and the
 * processor time they used, which would show a thread that spins and so never switches), and the
 * system calls that strace sees begin. Where strace is missing or may not attach, the latter is
 * null. Prints one line of JSON.
 */
#include "config.h"

#include "bench/bench-proc.h"
#include "bench/bench-qmp.h"
#include "bench/bench-server.h"
#include "bench/bench-util.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    NO_FIGURE = -1,
};

static double wall_clock(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Start a strace of all threads of @pid, which writes to @path. */
static pid_t start_strace(pid_t pid, const char *path)
{
    pid_t tracer = fork();

    if (tracer < 0) {
        err(1, "fork");
    }
    if (tracer == 0) {
        char number[16];
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        bench_end_with_parent();
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        snprintf(number, sizeof(number), "%d", pid);
        execlp("strace", "strace", "-f", "-ttt", "-o", path, "-p", number, (char *)NULL);
        _exit(127);
    }
    return tracer;
}

/* How many lines of strace's output in @path carry a time in [@from, @to); NO_FIGURE if none can.
 */
static int count_calls(const char *path, double from, double to)
{
    FILE *file = fopen(path, "re");
    char *line = NULL;
    size_t room = 0;
    int calls = 0;
    int lines = 0;

    if (!file) {
        return NO_FIGURE;
    }
    while (getline(&line, &room, file) > 0) {
        double at;

        if (sscanf(line, "%*d %lf", &at) == 1) {
            lines++;
            calls += at >= from && at < to;
        }
    }
    free(line);
    fclose(file);
    return lines > 0 ? calls : NO_FIGURE;
}

/*
 * The system calls that begin within @seconds. Attaching interrupts the calls that threads are
 * blocked in, so a second passes before counting starts.
 */
static int trace_calls(const Server *server, unsigned int seconds)
{
    char path[4096];
    pid_t tracer;
    double from;
    double to;
    int calls;

    snprintf(path, sizeof(path), "%s.strace", server->socket);
    tracer = start_strace(server->pid, path);
    sleep(1);
    from = wall_clock();
    sleep(seconds);
    to = wall_clock();
    kill(tracer, SIGTERM);
    waitpid(tracer, NULL, 0);
    calls = count_calls(path, from, to);
    unlink(path);
    return calls;
}

int main(int argc, char **argv)
{
    static QmpClient client;
    static Activity before;
    static Activity after;
    unsigned int iothreads = 0;
    unsigned int seconds = 5;
    const BenchOption options[] = {
        { 't', &iothreads, 0, 1000 },
        { 's', &seconds, 1, 3600 },
        { 0 },
    };
    Server server;
    int calls;

    server_start(&server, argv + bench_options(argc, argv, options), "qmp-idle");
    qmp_client_open(&client, server_connect(&server), false);
    qmp_add_iothreads(&client, "idle", iothreads);
    proc_settle(server.pid);
    proc_activity(server.pid, &before);
    sleep(seconds);
    proc_activity(server.pid, &after);
    calls = trace_calls(&server, seconds);
    printf("{\"threads\": %zu, \"wakeups\": %llu, \"cpu_us\": %.0f, \"system_calls\": ",
           after.count, (unsigned long long)activity_wakeups(&before, &after),
           (double)activity_cpu_ns(&before, &after) / 1e3);
    if (calls == NO_FIGURE) {
        puts("null}");
    } else {
        printf("%d}\n", calls);
    }
    close(client.fd);
    server_stop(&server);
    return 0;
}
