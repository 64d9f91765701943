/*
 * The state of the clocks that can be stopped, for a process that goes on where another ended.
 */
#ifndef LOOP_CLOCK_STATE_H
#define LOOP_CLOCK_STATE_H

#include <stdbool.h>
#include <stdint.h>

/* What the clocks show at one moment, in ns. */
typedef struct ClockState {
    int64_t realtime_ns;
    int64_t virtual_ns;
    int64_t virtual_rt_ns;
    bool running;
} ClockState;

/* The state now. Any thread. */
void clock_get_state(ClockState *state);

/* Go on from @state, whose realtime_ns is of this machine since it was booted: clocks that run have
 * run on since. No timer is armed on one of them. Any thread. */
void clock_set_state(const ClockState *state);

#endif
