/*
 * The clocks' state as JSON.
 */
#include "config.h"
#include "objects/clock-keep.h"

#include "loop/clock-state.h"
#include "loop/timer.h"
#include "objects/keep.h"

/* As far as a clock can be advanced. */
static const int64_t latest_ns = (int64_t)1 << 62;

json_object *clocks_keep(void)
{
    json_object *value = json_object_new_object();
    ClockState state;

    clock_get_state(&state);
    json_object_object_add(value, "realtime-ns", json_object_new_int64(state.realtime_ns));
    json_object_object_add(value, "virtual-ns", json_object_new_int64(state.virtual_ns));
    json_object_object_add(value, "virtual-rt-ns", json_object_new_int64(state.virtual_rt_ns));
    json_object_object_add(value, "running", json_object_new_boolean(state.running));
    return value;
}

static bool is_time(int64_t ns)
{
    return ns >= 0 && ns <= latest_ns;
}

bool clocks_restore(json_object *value)
{
    const ClockState state = {
        .realtime_ns = kept_get_int(value, "realtime-ns"),
        .virtual_ns = kept_get_int(value, "virtual-ns"),
        .virtual_rt_ns = kept_get_int(value, "virtual-rt-ns"),
        .running = kept_get_bool(value, "running"),
    };

    /* A time to come is that of another machine. */
    if (!is_time(state.realtime_ns) || !is_time(state.virtual_ns) ||
        !is_time(state.virtual_rt_ns) ||
        state.realtime_ns > qemu_clock_get_ns(QEMU_CLOCK_REALTIME)) {
        return false;
    }
    clock_set_state(&state);
    return true;
}
