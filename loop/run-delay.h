/*
 * Whether a thread has to wait for a processor.
 */
#ifndef LOOP_RUN_DELAY_H
#define LOOP_RUN_DELAY_H

#include <stdint.h>

/* How long the calling thread, since it began, could have run and had no processor to run on: ns,
 * or -1 when the system does not tell. Takes a few microseconds. Any thread. */
int64_t run_delay_ns(void);

#endif
