/*
 * Where and how the kernel runs an IOThread: CPU affinity and scheduling policy.
 */
#include "config.h"
#include "iothreads/iothread-internal.h"

#include <errno.h>
#include <sched.h>
#include <unistd.h>

#include "iothreads/cpu-list.h"

bool iothread_set_cpu_affinity(IOThread *iothread, const char *cpus, GError **errp)
{
    size_t size = cpu_list_set_size();
    g_autofree cpu_set_t *set = g_malloc0(size);
    int err;

    if (*cpus == '\0') {
        /* What the process started with, or was given since, is what its main thread has. */
        if (sched_getaffinity(getpid(), size, set) != 0) {
            g_set_error(errp, AIO_ERROR, AIO_ERROR_SYSTEM, "cpu-affinity: %s", g_strerror(errno));
            return false;
        }
    } else if (!cpu_list_parse(cpus, set, errp)) {
        return false;
    }
    err = pthread_setaffinity_np(iothread->thread, size, set);
    if (err == EINVAL) {
        g_set_error(errp, AIO_ERROR, AIO_ERROR_INVALID,
                    "cpu-affinity is '%s', which names no CPU that this process may use", cpus);
    } else if (err != 0) {
        g_set_error(errp, AIO_ERROR, AIO_ERROR_SYSTEM, "cpu-affinity '%s': %s", cpus,
                    g_strerror(err));
    }
    return err == 0;
}

bool iothread_set_scheduling(IOThread *iothread, IOThreadSchedPolicy policy, int priority,
                             GError **errp)
{
    static const struct {
        const char *name;
        int value;
        bool realtime;
    } policies[] = {
        [IOTHREAD_SCHED_OTHER] = { "other", SCHED_OTHER, false },
        [IOTHREAD_SCHED_BATCH] = { "batch", SCHED_BATCH, false },
        [IOTHREAD_SCHED_IDLE] = { "idle", SCHED_IDLE, false },
        [IOTHREAD_SCHED_FIFO] = { "fifo", SCHED_FIFO, true },
        [IOTHREAD_SCHED_RR] = { "rr", SCHED_RR, true },
    };
    struct sched_param param = { .sched_priority = policies[policy].realtime ? priority : 0 };
    int err = pthread_setschedparam(iothread->thread, policies[policy].value, &param);

    if (err != 0) {
        g_set_error(errp, AIO_ERROR, err == EINVAL ? AIO_ERROR_INVALID : AIO_ERROR_SYSTEM,
                    "sched-policy '%s' with sched-priority %d: %s%s", policies[policy].name,
                    priority, g_strerror(err),
                    err == EPERM ? " (real-time policies need CAP_SYS_NICE or RLIMIT_RTPRIO)" : "");
    }
    return err == 0;
}
