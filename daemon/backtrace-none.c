/*
 * No backtraces: built with --disable-backtrace, or on a system that has none.
 */
#include "config.h"
#include "daemon/backtrace.h"

#include <stddef.h>

void backtrace_init(void)
{
}

json_object *backtrace_of_thread(pid_t thread_id, int64_t timeout_ns)
{
    return NULL;
}
