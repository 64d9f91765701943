/*
 * A clock of the tests' own, for what depends on how long a loop has waited.
 *
 * While it is in force in a program that is linked with --wrap=clock_gettime, each reading of a
 * clock takes SIM_TICK_NS, and a loop that goes to sleep sleeps until the time of the next event,
 * whatever the real time is. Only the thread that drives the loop may read a clock meanwhile.
 */
#ifndef TESTS_UNIT_TIME_FIXTURE_H
#define TESTS_UNIT_TIME_FIXTURE_H

#include "tests/unit/loop-fixture.h"

#define SIM_TICK_NS 50

/* Put it in force for the loop of @ctx, and out of force. */
void sim_begin(AioContext *ctx);
void sim_end(void);

/* How long a loop that sleeps takes to wake up, from now on; 0 at first. */
void sim_set_wake_ns(int64_t wake_ns);

/* The simulated time. */
int64_t sim_now(void);

/*
 * The next event comes in @delay_ns: call @func then, from inside the loop. Without a @func that is
 * just when a sleep ends, for a timer that is due then.
 */
void sim_event_in(int64_t delay_ns, void (*func)(void *opaque), void *opaque);

#endif
