/*
 * Deleting all objects, or keeping them. Users go before what they use.
 */
#include "config.h"
#include "daemon/keeping.h"

#include <sys/resource.h>

#include "daemon/systemd.h"
#include "loop/main-loop.h"
#include "objects/clock-keep.h"
#include "objects/keep-parcel.h"
#include "objects/keep-store.h"
#include "qmp/qmp-log.h"

/* An object whose loop runs is done in much less. */
static const int64_t keep_timeout_ns = (int64_t)5000 * SCALE_MS;

/* What the next daemon needs beside what is kept, and has descriptors for. */
static const size_t reserved_fds = 64;

static void object_is_gone(void *opaque)
{
}

/* ---- deleting ---- */

static void delete_unused(Object *object, void *opaque)
{
    if (!object->deleting && object->users->len == 0) {
        object_delete(object, object_is_gone, NULL, NULL);
    }
}

void keeping_delete_all(ObjectTree *objects)
{
    unsigned count;

    while ((count = object_count(objects)) > 0) {
        object_foreach(objects, delete_unused, NULL);
        /* One that has gone at once may have been the last user of another. */
        main_loop_wait(object_count(objects) < count);
    }
}

/* ---- keeping ---- */

typedef struct Keeping {
    ObjectTree *objects;
    Keep *keep;
    const bool *hurried;
    bool late; /* time is over */
} Keeping;

static void add(Object *object, void *opaque)
{
    Keeping *self = opaque;

    if (!object->deleting) {
        keep_add_object(self->keep, object);
    }
}

static void keep_unused(Object *object, void *opaque)
{
    Keeping *self = opaque;

    if (!object->deleting && object->users->len == 0) {
        object_keep(object, self->keep, object_is_gone, NULL);
    }
}

static void time_is_over(void *opaque)
{
    Keeping *self = opaque;

    self->late = true;
}

/* Until all have gone, or there is a reason not to wait. */
static void keep_objects(Keeping *self)
{
    QEMUTimer *timer =
        aio_timer_new(qemu_get_aio_context(), QEMU_CLOCK_REALTIME, SCALE_NS, time_is_over, self);
    unsigned count;

    timer_mod_ns(timer, qemu_clock_get_ns(QEMU_CLOCK_REALTIME) + keep_timeout_ns);
    while (!self->late && !*self->hurried && (count = object_count(self->objects)) > 0) {
        object_tree_hurry_deleted(self->objects);
        object_foreach(self->objects, keep_unused, self);
        main_loop_wait(object_count(self->objects) < count);
    }
    timer_free(timer);
}

static void warn_late(Object *object, void *opaque)
{
    if (object->type->keep || !object->deleting) {
        qmp_log(QMP_LOG_RESTART_OBJECT_ANEW,
                &(QmpLogFields){ .object = object->id, .type = object->type->name },
                "restart: %s '%s' begins anew, for it can't be stopped: is its loop held?",
                object->type->name, object->id);
    }
}

static void store(Keeping *self)
{
    g_autoptr(GError) error = NULL;
    GArray *parcels = keep_pack(self->keep, &error);

    if (parcels && systemd_store(KEEPING_NAME, (const int *)parcels->data, parcels->len, &error)) {
        keep_hand_over(self->keep);
        qmp_log(QMP_LOG_RESTART_KEPT, &(QmpLogFields){ .count = keep_count_objects(self->keep) },
                "restart: kept: objects %zu, descriptors %zu", keep_count_objects(self->keep),
                keep_count_fds(self->keep));
    } else {
        qmp_log(QMP_LOG_RESTART_NOT_KEPT, &(QmpLogFields){ .reason = error->message },
                "restart: nothing is kept: %s", error->message);
    }
    if (parcels) {
        fds_free(parcels);
    }
}

/* As many as the next daemon can open, when it is run as this one. */
static size_t most_fds(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < reserved_fds) {
        return 0;
    }
    return limit.rlim_cur - reserved_fds;
}

void keeping_keep_all(ObjectTree *objects, const bool *hurried)
{
    keeping_keep_again(objects, NULL, hurried);
}

void keeping_keep_again(ObjectTree *objects, Kept *kept, const bool *hurried)
{
    Keeping self = { .objects = objects, .keep = keep_new(most_fds()), .hurried = hurried };

    if (kept) {
        keep_rest(self.keep, kept);
    }
    keep_set(self.keep, "clocks", clocks_keep());
    object_foreach(objects, add, &self);
    if (kept) {
        keep_rest_objects(self.keep, kept);
    }
    keep_objects(&self);
    if (!*hurried) {
        object_foreach(objects, warn_late, NULL);
        store(&self);
    }
    /* It is used by those that are late. */
    keeping_delete_all(objects);
    keep_free(self.keep);
}
