/*
 * A clock that a test puts forward, by so much that what really goes by is no matter.
 *
 * For programs that are linked with --wrap=clock_gettime. All clocks go forward, and whoever sleeps
 * does not notice: drive the loop without blocking.
 */
#ifndef TESTS_UNIT_CLOCK_FIXTURE_H
#define TESTS_UNIT_CLOCK_FIXTURE_H

#include <stdint.h>

/* Any thread. */
void put_clock_forward(int64_t minutes);

#endif
