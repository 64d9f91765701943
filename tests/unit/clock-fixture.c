/*
 * The clock that tests put forward.
 */
#include "config.h"
#include "tests/unit/clock-fixture.h"

#include <stdatomic.h>
#include <time.h>

static _Atomic int64_t forward_s;

int __real_clock_gettime(clockid_t id, struct timespec *ts);
int __wrap_clock_gettime(clockid_t id, struct timespec *ts);

int __wrap_clock_gettime(clockid_t id, struct timespec *ts)
{
    int result = __real_clock_gettime(id, ts);

    ts->tv_sec += forward_s;
    return result;
}

void put_clock_forward(int64_t minutes)
{
    forward_s += minutes * 60;
}
