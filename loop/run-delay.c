/*
 * The time a thread spent on a run queue, from procfs: /proc/PID/task/TID/schedstat has the time it
 * ran, the time it waited to run, and how often it ran (Linux,
 * Documentation/scheduler/sched-stats.rst). Without CONFIG_SCHED_INFO the file is not there; while
 * the kernel does not count, the last two are 0.
 */
#include "config.h"
#include "loop/run-delay.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

int run_delay_open(void)
{
    return open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
}

int64_t run_delay_ns(int fd)
{
    char text[128];
    int64_t waited_ns;
    int64_t times;
    ssize_t length = pread(fd, text, sizeof(text) - 1, 0);

    if (length < 0) {
        return -1;
    }
    text[length] = '\0';
    /* A thread that asks runs for the first time at least. */
    if (sscanf(text, "%*u %" SCNd64 " %" SCNd64, &waited_ns, &times) != 2 || times == 0) {
        return -1;
    }
    return waited_ns;
}
