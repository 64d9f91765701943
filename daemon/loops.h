/*
 * All loops of the daemon: the main loop, the monitor thread's and those of the other IOThreads.
 */
#ifndef DAEMON_LOOPS_H
#define DAEMON_LOOPS_H

#include <stdint.h>
#include <sys/types.h>

#include "loop/aio-stats.h"

/* A loop: @second is the main loop's other context, and NULL for all others. */
typedef void LoopFunc(const char *id, pid_t thread_id, AioContext *ctx, AioContext *second,
                      void *opaque);

/* Call @func for each loop, none of which can go away meanwhile: it calls nothing that waits for
 * another thread. Any thread. */
void loops_foreach(LoopFunc *func, void *opaque);

/* How long, in ns, something has held a loop that does @activity, from activity->changed_ns to
 * @now_ns; 0 when it sleeps or polls. */
int64_t loop_held_ns(const AioActivity *activity, int64_t now_ns);

/* What holds a loop, for people to read: "the callback 'NAME'". The caller frees it. */
char *loop_describe_holder(const char *source);

#endif
