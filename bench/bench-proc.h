/*
 * What the kernel says about a process: how much memory it has, how often its threads woke up.
 */
#ifndef BENCH_PROC_H
#define BENCH_PROC_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct TaskActivity {
    pid_t tid;
    uint64_t switches; /* context switches, voluntary and not */
    uint64_t cpu_ns;   /* time on a processor; 0 where the kernel does not account it */
} TaskActivity;

/* What all threads of a process have done so far. */
typedef struct Activity {
    size_t count;
    TaskActivity task[1024];
} Activity;

/*
 * The number after @name, a field such as "VmRSS:", in @file of process @pid's folder in /proc,
 * such as "status". In kB where the file says so.
 */
uint64_t proc_field(pid_t pid, const char *file, const char *name);

/* Read what the threads of @pid have done so far. */
void proc_activity(pid_t pid, Activity *activity);

/*
 * How often a thread was switched out between @before and @after, which is once for each time it
 * woke up and went to sleep again. A thread that is new counts whole, one that has gone as one.
 */
uint64_t activity_wakeups(const Activity *before, const Activity *after);

/* The processor time used between @before and @after. */
uint64_t activity_cpu_ns(const Activity *before, const Activity *after);

/* Wait until no thread of @pid has woken up for 1.2 s, for at most twelve seconds. */
void proc_settle(pid_t pid);

#endif
