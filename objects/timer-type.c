/*
 * The object type "timer": expires once or periodically, and measures how late its loop is.
 *
 * The deadline is an absolute time and goes with the object from loop to loop, so a move can make
 * an expiration late but neither lose nor double it.
 */
#include "config.h"
#include "objects/clock-commands.h"
#include "objects/event-pace.h"
#include "objects/keep.h"
#include "objects/lateness.h"
#include "objects/object-types.h"
#include "objects/placement.h"
#include "objects/source-name.h"
#include "qmp/qmp-error.h"

/* What becomes of periods that were over before their expiration could be. */
typedef enum {
    CATCH_UP_SKIP,  /* the next expiration is the next that is due; the schedule stays */
    CATCH_UP_BURST, /* each is made up for, one after another */
    CATCH_UP_DELAY, /* the schedule begins anew, with a whole period from now */
} CatchUp;

typedef struct TimerProperties {
    PlacedProperties placed;
    int clock; /* a QEMUClockType */
    int64_t period_ns;
    int64_t deadline_ns;
    bool one_shot;
    int catch_up; /* a CatchUp */
    int64_t expirations;
    int64_t missed;
    json_object *lateness;
} TimerProperties;

/* What the next start begins with. */
typedef enum {
    BEGIN_KEEP,     /* the deadline that there is */
    BEGIN_DEADLINE, /* the property, or a period from now when it has none */
    BEGIN_PERIOD,   /* a period from now */
} Begin;

typedef struct TimerObject {
    Object parent;
    Begin begin; /* main thread; start reads it */
    const char *source_name;

    /* The thread's of the loop that it works on; while it is stopped, whoever has it. */
    QEMUTimer timer;
    QEMUClockType clock;
    CatchUp catch_up;
    int64_t period_ns; /* 0: expires once */
    int64_t next_ns;   /* the deadline; -1: none any more */
    EventPace pace;
    int64_t untold;  /* expirations since the last event */
    int64_t late_ns; /* the last of them */

    /* Statistics, for any thread to read. */
    Counter expirations;
    Counter missed;
    Lateness lateness;
} TimerObject;

static const char *const catch_up_values[] = {
    [CATCH_UP_SKIP] = "skip",
    [CATCH_UP_BURST] = "burst",
    [CATCH_UP_DELAY] = "delay",
    NULL,
};
static const QmpType catch_up_enum = {
    .kind = QMP_KIND_ENUM,
    .name = "TimerCatchUp",
    .values = catch_up_values,
};

static const QmpMember timer_properties[] = {
    { .name = "clock",
      .type = &clock_enum,
      .flags = QMP_MEMBER_OPTIONAL | QMP_MEMBER_CREATE_ONLY,
      .default_str = "realtime",
      .offset = offsetof(TimerProperties, clock),
      .help = "the clock that it goes by" },
    { .name = "period-ns",
      .type = &qmp_type_int,
      .flags = QMP_MEMBER_OPTIONAL,
      .max = INT64_MAX,
      .offset = offsetof(TimerProperties, period_ns),
      .help = "time between expirations, in ns; 0: none, it expires once, at deadline-ns" },
    { .name = "deadline-ns",
      .type = &qmp_type_int,
      .flags = QMP_MEMBER_OPTIONAL,
      .max = INT64_MAX,
      .offset = offsetof(TimerProperties, deadline_ns),
      .help = "when it first expires, in ns of its clock; 0: a period from when it is added" },
    { .name = "one-shot",
      .type = &qmp_type_bool,
      .flags = QMP_MEMBER_OPTIONAL,
      .offset = offsetof(TimerProperties, one_shot),
      .help = "expire once, whatever the period" },
    { .name = "catch-up",
      .type = &catch_up_enum,
      .flags = QMP_MEMBER_OPTIONAL,
      .default_str = "skip",
      .offset = offsetof(TimerProperties, catch_up),
      .help = "missed periods: skip leaves them out, burst makes each up, delay starts anew" },
    { .name = "expirations",
      .type = &qmp_type_int,
      .flags = QMP_MEMBER_READ_ONLY,
      .offset = offsetof(TimerProperties, expirations),
      .help = "how often it has expired" },
    { .name = "missed",
      .type = &qmp_type_int,
      .flags = QMP_MEMBER_READ_ONLY,
      .offset = offsetof(TimerProperties, missed),
      .help = "periods that went by without an expiration" },
    { .name = "lateness",
      .type = &lateness_type,
      .flags = QMP_MEMBER_READ_ONLY,
      .offset = offsetof(TimerProperties, lateness),
      .help = "how late the expirations were" },
    { 0 },
};
static const QmpType timer_properties_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "TimerProperties",
    .base = &placed_properties,
    .members = timer_properties,
    .size = sizeof(TimerProperties),
};

/* ---- the event ---- */

typedef struct TimerExpired {
    char *id;
    int64_t expirations;
    int64_t lateness_ns;
} TimerExpired;

static const QmpMember timer_expired_members[] = {
    { .name = "id",
      .type = &qmp_type_str,
      .offset = offsetof(TimerExpired, id),
      .help = "the timer's id" },
    { .name = "expirations",
      .type = &qmp_type_int,
      .offset = offsetof(TimerExpired, expirations),
      .help = "how often it has expired since the event before" },
    { .name = "lateness-ns",
      .type = &qmp_type_int,
      .offset = offsetof(TimerExpired, lateness_ns),
      .help = "how late the last of these was, in ns" },
    { 0 },
};
static const QmpType timer_expired_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "TimerExpiredEvent",
    .members = timer_expired_members,
    .size = sizeof(TimerExpired),
};

static const QmpEvent timer_events[] = {
    { .name = "TIMER_EXPIRED",
      .data = &timer_expired_type,
      .help = "a timer has expired",
      .limit_ms = QMP_EVENT_LIMIT_MS,
      .limit_by = "id",
      .adds_up = true },
    { 0 },
};

static void send_timer_expired(void *opaque)
{
    TimerObject *self = opaque;
    TimerExpired data = {
        .id = self->parent.id,
        .expirations = self->untold,
        .lateness_ns = self->late_ns,
    };

    self->untold = 0;
    object_emit(&self->parent, &timer_events[0], &data);
}

/* ---- at work: in the thread of its loop ---- */

static int64_t add_time(int64_t a, int64_t b)
{
    int64_t sum;

    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

/* Choose the deadline after the one that was due at @now or before. */
static void choose_next(TimerObject *self, int64_t now)
{
    int64_t over = 0; /* periods that are over beside the one that has just expired */

    if (self->period_ns == 0) {
        self->next_ns = -1;
        return;
    }
    if (self->catch_up != CATCH_UP_BURST && now > self->next_ns) {
        over = (now - self->next_ns) / self->period_ns;
        counter_increase(&self->missed, over);
    }
    if (self->catch_up == CATCH_UP_DELAY) {
        self->next_ns = add_time(now, self->period_ns);
    } else {
        self->next_ns = add_time(self->next_ns + over * self->period_ns, self->period_ns);
    }
}

static void timer_expired(void *opaque)
{
    TimerObject *self = opaque;
    int64_t now = qemu_clock_get_ns(self->clock);

    self->late_ns = MAX(now - self->next_ns, 0);
    self->untold++;
    lateness_record(&self->lateness, self->late_ns);
    choose_next(self, now);
    counter_increase(&self->expirations, 1);
    if (self->next_ns >= 0) {
        timer_mod_ns(&self->timer, self->next_ns);
    }
    event_pace_raise(&self->pace);
}

/* The first deadline under new properties. */
static int64_t first_deadline(TimerObject *self, const TimerProperties *p)
{
    bool ended = self->next_ns < 0 && self->period_ns > 0;

    if (self->begin == BEGIN_DEADLINE && p->deadline_ns > 0) {
        return p->deadline_ns;
    }
    /* What has expired for good begins again when it has become periodic. */
    if (p->period_ns > 0 && (self->begin != BEGIN_KEEP || ended)) {
        return add_time(qemu_clock_get_ns(self->clock), p->period_ns);
    }
    return self->next_ns;
}

static void timer_type_start(Object *object, AioContext *ctx)
{
    TimerObject *self = (TimerObject *)object;
    const TimerProperties *p = object->properties;

    self->clock = (QEMUClockType)p->clock;
    self->catch_up = (CatchUp)p->catch_up;
    self->period_ns = p->one_shot ? 0 : p->period_ns;
    self->next_ns = first_deadline(self, p);
    aio_timer_init_full(ctx, &self->timer, self->clock, SCALE_NS, timer_expired, self,
                        self->source_name);
    event_pace_start(&self->pace, ctx);
    if (self->next_ns >= 0) {
        timer_mod_ns(&self->timer, self->next_ns);
    }
}

static void timer_type_stop(Object *object)
{
    TimerObject *self = (TimerObject *)object;

    timer_deinit(&self->timer);
    event_pace_stop(&self->pace);
}

/* ---- in the main thread ---- */

static bool check_properties(const TimerProperties *p, const char *name, GError **errp)
{
    if (p->period_ns == 0 && p->deadline_ns == 0) {
        return qmp_error_set(
            errp, "Parameter '%s': a timer needs 'period-ns' or 'deadline-ns', or both", name);
    }
    return true;
}

static bool timer_type_check(const void *properties, GError **errp)
{
    return check_properties(properties, "period-ns", errp);
}

/* What makes a deadline: a timer of another clock or period has no use for it. */
static json_object *schedule_of(const TimerProperties *p)
{
    json_object *schedule = json_object_new_object();

    json_object_object_add(schedule, "clock", json_object_new_int(p->clock));
    json_object_object_add(schedule, "period-ns", json_object_new_int64(p->period_ns));
    json_object_object_add(schedule, "deadline-ns", json_object_new_int64(p->deadline_ns));
    json_object_object_add(schedule, "one-shot", json_object_new_boolean(p->one_shot));
    return schedule;
}

static void timer_type_keep(Object *object, Keep *keep, json_object *state)
{
    TimerObject *self = (TimerObject *)object;

    event_pace_finish(&self->pace);
    json_object_object_add(state, "schedule", schedule_of(object->properties));
    if (self->next_ns >= 0) {
        json_object_object_add(state, "next-ns", json_object_new_int64(self->next_ns));
    }
    json_object_object_add(state, "expirations",
                           json_object_new_int64(counter_read(&self->expirations)));
    json_object_object_add(state, "missed", json_object_new_int64(counter_read(&self->missed)));
    json_object_object_add(state, "lateness", lateness_keep(&self->lateness));
    object_finish_delete(object);
}

static void go_on(TimerObject *self, json_object *state)
{
    json_object *schedule = schedule_of(self->parent.properties);

    if (json_object_equal(kept_get_object(state, "schedule"), schedule)) {
        self->begin = BEGIN_KEEP;
        self->next_ns = kept_get_int(state, "next-ns");
    }
    json_object_put(schedule);
    counter_restore(&self->expirations, kept_get_int(state, "expirations"));
    counter_restore(&self->missed, kept_get_int(state, "missed"));
    lateness_restore(&self->lateness, kept_get_object(state, "lateness"));
}

static bool timer_type_create(Object *object, GError **errp)
{
    TimerObject *self = (TimerObject *)object;

    if (!timer_type_check(object->properties, errp)) {
        return false;
    }
    self->begin = BEGIN_DEADLINE;
    self->next_ns = -1;
    self->source_name = source_name("timer_expired", object->id);
    event_pace_init(&self->pace, object->id, send_timer_expired, self);
    if (object->kept_state) {
        go_on(self, object->kept_state);
    }
    return true;
}

static bool timer_type_apply(Object *object, const QmpMember *changed, const void *properties,
                             GError **errp)
{
    TimerObject *self = (TimerObject *)object;

    if (!check_properties(properties, changed->name, errp)) {
        return false;
    }
    if (changed->offset == offsetof(TimerProperties, period_ns)) {
        self->begin = BEGIN_PERIOD;
    } else if (changed->offset == offsetof(TimerProperties, deadline_ns)) {
        self->begin = BEGIN_DEADLINE;
    }
    return true;
}

static void timer_type_settled(Object *object)
{
    ((TimerObject *)object)->begin = BEGIN_KEEP;
}

static void timer_type_refresh(Object *object)
{
    TimerObject *self = (TimerObject *)object;
    TimerProperties *p = object->properties;

    p->expirations = counter_read(&self->expirations);
    p->missed = counter_read(&self->missed);
    json_object_put(p->lateness);
    p->lateness = lateness_to_json(&self->lateness);
}

static void timer_type_delete(Object *object)
{
    event_pace_finish(&((TimerObject *)object)->pace);
    object_finish_delete(object);
}

const ObjectType timer_type = {
    .name = "timer",
    .help = "expires once or periodically, and measures how late its loop is",
    .properties = &timer_properties_type,
    .size = sizeof(TimerObject),
    .commands = clock_commands,
    .events = timer_events,
    .check = timer_type_check,
    .create = timer_type_create,
    .apply = timer_type_apply,
    .delete = timer_type_delete,
    .keep = timer_type_keep,
    .refresh = timer_type_refresh,
    .start = timer_type_start,
    .stop = timer_type_stop,
    .settled = timer_type_settled,
};
