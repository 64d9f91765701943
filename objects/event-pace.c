/*
 * The pace of an object's events.
 */
#include "config.h"
#include "objects/event-pace.h"

#include "objects/source-name.h"

void event_pace_init(EventPace *pace, const char *id, void (*send)(void *opaque), void *opaque)
{
    *pace = (EventPace){
        .send = send,
        .opaque = opaque,
        .name = source_name("event_pace_due", id),
    };
}

static void send_now(EventPace *pace)
{
    pace->pending = false;
    pace->next_ns = qemu_clock_get_ns(QEMU_CLOCK_REALTIME) + EVENT_PACE_NS;
    pace->send(pace->opaque);
}

static void event_pace_due(void *opaque)
{
    send_now(opaque);
}

void event_pace_start(EventPace *pace, AioContext *ctx)
{
    aio_timer_init_full(ctx, &pace->timer, QEMU_CLOCK_REALTIME, SCALE_NS, event_pace_due, pace,
                        pace->name);
    if (pace->pending) {
        timer_mod_ns(&pace->timer, pace->next_ns);
    }
}

void event_pace_stop(EventPace *pace)
{
    timer_deinit(&pace->timer);
}

void event_pace_raise(EventPace *pace)
{
    if (pace->pending) {
        return;
    }
    if (qemu_clock_get_ns(QEMU_CLOCK_REALTIME) >= pace->next_ns) {
        send_now(pace);
        return;
    }
    pace->pending = true;
    timer_mod_ns(&pace->timer, pace->next_ns);
}

void event_pace_finish(EventPace *pace)
{
    if (pace->pending) {
        send_now(pace);
    }
}
