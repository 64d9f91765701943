/*
 * Where another thread of the process is just now: backtrace.c, or backtrace-none.c where configure
 * was told so, or found that the system can't say.
 */
#ifndef DAEMON_BACKTRACE_H
#define DAEMON_BACKTRACE_H

#include <stdint.h>
#include <sys/types.h>
#include <json-c/json.h>

/* Get ready, once, before any IOThread is created. Main thread. */
void backtrace_init(void);

/*
 * Where the thread @thread_id is, as a list of strings, innermost first. NULL when it does not
 * answer within @timeout_ns: it blocks signals, or the kernel keeps it. The caller owns the
 * reference. One thread at a time.
 */
json_object *backtrace_of_thread(pid_t thread_id, int64_t timeout_ns);

#endif
