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
    int64_t wake_ns;
    uint64_t waits;
    bool asleep;
    bool firing_in_sleep;
} sim;

static void fire(void)
{
    void (*event)(void *opaque) = sim.event;

    sim.event = NULL;
    if (event) {
        event(sim.event_opaque);
    }
}

/* Who brings the event may read the clock: it is the event's time, and time stands still. */
static void fire_in_sleep(void)
{
    int64_t now = sim.now;

    sim.now = MAX(now, sim.event_at);
    sim.firing_in_sleep = true;
    fire();
    sim.firing_in_sleep = false;
    sim.now = now;
}

/* The loop reads the clock as the last thing before it sleeps, having counted that it will. The
 * event is fired then, for the kernel wakes nobody at a simulated time; what the loop reads next is
 * the time of it, and what it takes to wake up. */
static void advance(void)
{
    AioContextStats stats;

    if (sim.firing_in_sleep) {
        return;
    }
    if (sim.asleep) {
        sim.asleep = false;
        sim.now = MAX(sim.now, sim.event_at) + sim.wake_ns;
    }
    sim.now += SIM_TICK_NS;
    aio_context_get_stats(sim.ctx, &stats);
    if (stats.waits != sim.waits) {
        sim.waits = stats.waits;
        sim.asleep = true;
        fire_in_sleep();
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
    sim.wake_ns = 0;
    sim.ctx = ctx;
}

void sim_end(void)
{
    sim.ctx = NULL;
}

void sim_set_wake_ns(int64_t wake_ns)
{
    sim.wake_ns = wake_ns;
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
