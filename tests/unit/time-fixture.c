/*
 * The tests' own clock.
 */
#include "config.h"
#include "tests/unit/time-fixture.h"

#include <time.h>

static struct {
    AioContext *ctx; /* NULL: not in force */
    int64_t now;
    int64_t event_at;
    void (*event)(void *opaque);
    void *event_opaque;
    uint64_t waits;
    bool asleep;
} sim;

static void fire(void)
{
    void (*event)(void *opaque) = sim.event;

    sim.event = NULL;
    if (event) {
        event(sim.event_opaque);
    }
}

/* The loop reads the clock as the last thing before it sleeps, having counted that it will. The
 * event is fired then, for the kernel wakes nobody at a simulated time; what the loop reads next is
 * the time of it. */
static void advance(void)
{
    AioContextStats stats;

    if (sim.asleep) {
        sim.asleep = false;
        sim.now = MAX(sim.now, sim.event_at);
    }
    sim.now += SIM_TICK_NS;
    aio_context_get_stats(sim.ctx, &stats);
    if (stats.waits != sim.waits) {
        sim.waits = stats.waits;
        sim.asleep = true;
        fire();
    } else if (sim.now >= sim.event_at) {
        fire();
    }
}

int __real_clock_gettime(clockid_t id, struct timespec *ts);
int __wrap_clock_gettime(clockid_t id, struct timespec *ts);

int __wrap_clock_gettime(clockid_t id, struct timespec *ts)
{
    if (!sim.ctx) {
        return __real_clock_gettime(id, ts);
    }
    advance();
    ts->tv_sec = sim.now / 1000000000;
    ts->tv_nsec = sim.now % 1000000000;
    return 0;
}

void sim_begin(AioContext *ctx)
{
    AioContextStats stats;

    aio_context_get_stats(ctx, &stats);
    sim.now = qemu_clock_get_ns(QEMU_CLOCK_REALTIME);
    sim.event_at = sim.now;
    sim.waits = stats.waits;
    sim.ctx = ctx;
}

void sim_end(void)
{
    sim.ctx = NULL;
}

int64_t sim_now(void)
{
    return sim.now;
}

void sim_event_in(int64_t delay_ns, void (*func)(void *opaque), void *opaque)
{
    sim.event_at = sim.now + delay_ns;
    sim.event = func;
    sim.event_opaque = opaque;
}
