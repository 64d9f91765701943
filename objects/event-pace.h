/*
 * An object's event that could flood: at most one each second, the first at once.
 *
 * What happens meanwhile is the object's to add up; the next event tells it. The pace belongs to
 * the thread of the loop that its object works on, and goes with it from loop to loop. While it is
 * stopped it belongs to whoever has the object.
 */
#ifndef OBJECTS_EVENT_PACE_H
#define OBJECTS_EVENT_PACE_H

#include <stdbool.h>

#include "loop/aio.h"

#define EVENT_PACE_NS ((int64_t)1000 * SCALE_MS)

typedef struct EventPace {
    void (*send)(void *opaque);
    void *opaque;
    const char *name; /* of the timer, for good */
    QEMUTimer timer;  /* until the next may be sent */
    bool pending;     /* there is something to send */
    int64_t next_ns;  /* when it may be, on QEMU_CLOCK_REALTIME */
} EventPace;

/* Call @send with @opaque for each event of the object @id. */
void event_pace_init(EventPace *pace, const char *id, void (*send)(void *opaque), void *opaque);

/* Work on @ctx, in its home thread; and end that there. */
void event_pace_start(EventPace *pace, AioContext *ctx);
void event_pace_stop(EventPace *pace);

/* There is something to tell: send it now, or as soon as may be. */
void event_pace_raise(EventPace *pace);

/* There will be no more: when something is pending, send it now. It is stopped. */
void event_pace_finish(EventPace *pace);

#endif
