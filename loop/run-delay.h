/*
 * Whether a thread has to wait for a processor.
 */
#ifndef LOOP_RUN_DELAY_H
#define LOOP_RUN_DELAY_H

#include <stdint.h>

#include "loop/aio.h"

/*
 * From now on to aio_unwatch_run_delay() the calling thread drives @ctx, and no other: when it has
 * to wait for a processor for a good part of its time, the loop does not poll. That takes a
 * descriptor; without one, or where the system does not tell, it polls as any other.
 */
void aio_watch_run_delay(AioContext *ctx);

/* The end of that, for the same thread. */
void aio_unwatch_run_delay(AioContext *ctx);

/* A descriptor to ask about the calling thread; -1 when there is none. To be closed. */
int run_delay_open(void);

/* How long the thread that has opened @fd could have run up to now, since it began, and had no
 * processor to run on: ns, or -1 when the system does not tell. Any thread. */
int64_t run_delay_ns(int fd);

#endif
