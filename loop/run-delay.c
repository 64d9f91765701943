/*
 * The time a thread spent on a run queue, from procfs: /proc/PID/schedstat has the time it ran, the
 * time it waited to run, and how often it ran (Linux, Documentation/scheduler/sched-stats.rst).
 *
 * The file is opened anew each time: an open one would stay that of the thread that opened it.
 */
#include "config.h"
#include "loop/run-delay.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

int64_t run_delay_ns(void)
{
    char text[128];
    int64_t waited_ns;
    ssize_t length;
    int fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return -1;
    }
    length = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (length < 0) {
        return -1;
    }
    text[length] = '\0';
    return sscanf(text, "%*u %" SCNd64, &waited_ns) == 1 ? waited_ns : -1;
}
