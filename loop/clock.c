/*
 * The clocks, and the contexts that must hear of it when one is changed by hand.
 */
#include "config.h"
#include "loop/aio-internal.h"
#include "loop/clock-state.h"

#include <time.h>

/*
 * A clock that can be stopped. While it runs its time is that of CLOCK_MONOTONIC plus @base, while
 * it stands it is @base. Writers hold clocks_lock; readers retry while @seq is odd or has changed.
 * All accesses are sequentially consistent: these run once a pass, and need no finer argument.
 */
typedef struct StoppableClock {
    _Atomic unsigned seq;
    atomic_bool running;
    _Atomic int64_t base;
} StoppableClock;

static StoppableClock virtual_clock = { .running = true };
static StoppableClock virtual_rt_clock = { .running = true };
static atomic_bool clock_enabled[QEMU_CLOCK_MAX] = { true, true, true, true };

/* Guards writing to the clocks, and the list of contexts. A leaf lock. */
static pthread_mutex_t clocks_lock = PTHREAD_MUTEX_INITIALIZER;
static GPtrArray *contexts;

static int64_t read_clock(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int64_t stoppable_now(StoppableClock *clock)
{
    for (;;) {
        unsigned seq = clock->seq;
        bool running = clock->running;
        int64_t base = clock->base;
        int64_t monotonic = read_clock(CLOCK_MONOTONIC);

        /* The reading counts only when the clock was not stopped or set before it was taken. */
        if (!(seq & 1) && clock->seq == seq) {
            return running ? monotonic + base : base;
        }
    }
}

/* What @clock shows at @monotonic. With clocks_lock held. */
static int64_t stoppable_at(const StoppableClock *clock, int64_t monotonic)
{
    return clock->running ? monotonic + clock->base : clock->base;
}

/* Stop @clock or let it run, and make it show @at_least. Returns what it shows from here on. With
 * clocks_lock held. */
static int64_t stoppable_set(StoppableClock *clock, int64_t at_least, bool running)
{
    int64_t monotonic;
    int64_t now;

    clock->seq++;
    monotonic = read_clock(CLOCK_MONOTONIC);
    now = MAX(stoppable_at(clock, monotonic), at_least);
    clock->base = running ? now - monotonic : now;
    clock->running = running;
    clock->seq++;
    return now;
}

int64_t qemu_clock_get_ns(QEMUClockType type)
{
    switch (type) {
    case QEMU_CLOCK_REALTIME:
        return read_clock(CLOCK_MONOTONIC);
    case QEMU_CLOCK_HOST:
        return read_clock(CLOCK_REALTIME);
    case QEMU_CLOCK_VIRTUAL:
        return stoppable_now(&virtual_clock);
    case QEMU_CLOCK_VIRTUAL_RT:
        return stoppable_now(&virtual_rt_clock);
    }
    g_assert_not_reached();
}

/* Deadlines have changed everywhere. With clocks_lock held, so that no context goes away. */
static void notify_all_contexts(void)
{
    for (guint i = 0; contexts && i < contexts->len; i++) {
        aio_notify(g_ptr_array_index(contexts, i));
    }
}

void qemu_clock_enable(QEMUClockType type, bool enabled)
{
    bool stoppable = type == QEMU_CLOCK_VIRTUAL || type == QEMU_CLOCK_VIRTUAL_RT;

    pthread_mutex_lock(&clocks_lock);
    if (atomic_exchange(&clock_enabled[type], enabled) != enabled) {
        if (stoppable) {
            atomic_store(&clock_enabled[QEMU_CLOCK_VIRTUAL], enabled);
            atomic_store(&clock_enabled[QEMU_CLOCK_VIRTUAL_RT], enabled);
            stoppable_set(&virtual_clock, INT64_MIN, enabled);
            stoppable_set(&virtual_rt_clock, INT64_MIN, enabled);
        }
        notify_all_contexts();
    }
    pthread_mutex_unlock(&clocks_lock);
}

bool qemu_clock_is_enabled(QEMUClockType type)
{
    return atomic_load(&clock_enabled[type]);
}

int64_t qemu_clock_advance_virtual_time(int64_t dest)
{
    int64_t now;

    pthread_mutex_lock(&clocks_lock);
    now = stoppable_now(&virtual_clock);
    if (dest > now) {
        now = stoppable_set(&virtual_clock, dest, virtual_clock.running);
        notify_all_contexts();
    }
    pthread_mutex_unlock(&clocks_lock);
    return now;
}

void clock_get_state(ClockState *state)
{
    int64_t monotonic;

    pthread_mutex_lock(&clocks_lock);
    monotonic = read_clock(CLOCK_MONOTONIC);
    *state = (ClockState){
        .realtime_ns = monotonic,
        .virtual_ns = stoppable_at(&virtual_clock, monotonic),
        .virtual_rt_ns = stoppable_at(&virtual_rt_clock, monotonic),
        .running = virtual_clock.running,
    };
    pthread_mutex_unlock(&clocks_lock);
}

/* With clocks_lock held. */
static void stoppable_load(StoppableClock *clock, int64_t base, bool running)
{
    clock->seq++;
    clock->base = base;
    clock->running = running;
    clock->seq++;
}

void clock_set_state(const ClockState *state)
{
    int64_t less = state->running ? state->realtime_ns : 0;

    pthread_mutex_lock(&clocks_lock);
    atomic_store(&clock_enabled[QEMU_CLOCK_VIRTUAL], state->running);
    atomic_store(&clock_enabled[QEMU_CLOCK_VIRTUAL_RT], state->running);
    stoppable_load(&virtual_clock, state->virtual_ns - less, state->running);
    stoppable_load(&virtual_rt_clock, state->virtual_rt_ns - less, state->running);
    notify_all_contexts();
    pthread_mutex_unlock(&clocks_lock);
}

void clock_register_context(AioContext *ctx)
{
    pthread_mutex_lock(&clocks_lock);
    if (!contexts) {
        contexts = g_ptr_array_new();
    }
    g_ptr_array_add(contexts, ctx);
    pthread_mutex_unlock(&clocks_lock);
}

void clock_unregister_context(AioContext *ctx)
{
    pthread_mutex_lock(&clocks_lock);
    g_ptr_array_remove_fast(contexts, ctx);
    if (contexts->len == 0) {
        g_clear_pointer(&contexts, g_ptr_array_unref);
    }
    pthread_mutex_unlock(&clocks_lock);
}
