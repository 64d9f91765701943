/*
 * What the kernel says about a process. See the header.
 */
#include "config.h"

#include "bench/bench-proc.h"

#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The number after @name at the start of a line of @path; false if there is none. */
static bool read_field(const char *path, const char *name, uint64_t *value)
{
    FILE *file = fopen(path, "re");
    size_t length = strlen(name);
    char line[256];
    bool found = false;

    if (!file) {
        return false;
    }
    while (!found && fgets(line, sizeof(line), file)) {
        if (strncmp(line, name, length) == 0) {
            *value = strtoull(line + length, NULL, 10);
            found = true;
        }
    }
    fclose(file);
    return found;
}

uint64_t proc_field(pid_t pid, const char *file, const char *name)
{
    char path[64];
    uint64_t value;

    snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
    if (!read_field(path, name, &value)) {
        errx(1, "%s has no field '%s'", path, name);
    }
    return value;
}

/* Read what thread @tid has done; false if it has gone. */
static bool task_activity(pid_t pid, pid_t tid, TaskActivity *task)
{
    char path[64];
    uint64_t voluntary;
    uint64_t involuntary;

    snprintf(path, sizeof(path), "/proc/%d/task/%d/status", pid, tid);
    if (!read_field(path, "voluntary_ctxt_switches:", &voluntary) ||
        !read_field(path, "nonvoluntary_ctxt_switches:", &involuntary)) {
        return false;
    }
    task->tid = tid;
    task->switches = voluntary + involuntary;
    snprintf(path, sizeof(path), "/proc/%d/task/%d/schedstat", pid, tid);
    if (!read_field(path, "", &task->cpu_ns)) {
        task->cpu_ns = 0;
    }
    return true;
}

void proc_activity(pid_t pid, Activity *activity)
{
    char path[64];
    DIR *folder;
    const struct dirent *entry;

    snprintf(path, sizeof(path), "/proc/%d/task", pid);
    folder = opendir(path);
    if (!folder) {
        err(1, "%s", path);
    }
    activity->count = 0;
    while ((entry = readdir(folder))) {
        pid_t tid = atoi(entry->d_name);

        if (activity->count == sizeof(activity->task) / sizeof(activity->task[0])) {
            errx(1, "%s: more than %zu threads", path, activity->count);
        }
        if (tid > 0 && task_activity(pid, tid, &activity->task[activity->count])) {
            activity->count++;
        }
    }
    closedir(folder);
}

/* What @activity says of @tid, or NULL. */
static const TaskActivity *find_task(const Activity *activity, pid_t tid)
{
    for (size_t i = 0; i < activity->count; i++) {
        if (activity->task[i].tid == tid) {
            return &activity->task[i];
        }
    }
    return NULL;
}

uint64_t activity_wakeups(const Activity *before, const Activity *after)
{
    uint64_t wakeups = 0;

    for (size_t i = 0; i < after->count; i++) {
        const TaskActivity *earlier = find_task(before, after->task[i].tid);

        wakeups += after->task[i].switches - (earlier ? earlier->switches : 0);
    }
    for (size_t i = 0; i < before->count; i++) {
        if (!find_task(after, before->task[i].tid)) {
            wakeups++;
        }
    }
    return wakeups;
}

uint64_t activity_cpu_ns(const Activity *before, const Activity *after)
{
    uint64_t cpu_ns = 0;

    for (size_t i = 0; i < after->count; i++) {
        const TaskActivity *earlier = find_task(before, after->task[i].tid);

        cpu_ns += after->task[i].cpu_ns - (earlier ? earlier->cpu_ns : 0);
    }
    return cpu_ns;
}

void proc_settle(pid_t pid)
{
    static Activity before;
    static Activity after;

    proc_activity(pid, &before);
    for (int i = 0; i < 10; i++) {
        /* Longer than evloopd's stall watch takes to see that nothing happens any more. */
        usleep(1200 * 1000);
        proc_activity(pid, &after);
        if (activity_wakeups(&before, &after) == 0) {
            return;
        }
        before = after;
    }
}
