/*
 * Placement: the way of an object from loop to loop.
 */
#include "config.h"
#include "objects/placement.h"

#include "iothreads/iothread.h"
#include "loop/main-loop.h"
#include "objects/object-types.h"
#include "qmp/qmp-error.h"

/* A loop that objects can be placed on. */
typedef struct Place {
    AioContext *ctx;
    Object *iothread; /* that runs it, and can't go while it is used; NULL: the main loop */
} Place;

/* The main thread's; while a change is under way nobody writes it, and the loops' threads read it.
 */
struct Placement {
    Place now;    /* where the object works, or goes to */
    Place former; /* where it worked before the change that is under way */
    Place chosen; /* for the next change */
    bool moving;  /* a change is under way */
};

static const QmpMember placed_members[] = {
    { .name = "iothread",
      .type = &qmp_type_str_or_null,
      .flags = QMP_MEMBER_OPTIONAL,
      .offset = offsetof(PlacedProperties, iothread),
      .refers_to = "iothread",
      .help = "the id of the IOThread to work on; null: the main loop" },
    { 0 },
};
const QmpType placed_properties = {
    .kind = QMP_KIND_OBJECT,
    .name = "PlacedProperties",
    .members = placed_members,
    .size = sizeof(PlacedProperties),
};
const QmpMember *const placement_property = &placed_members[0];

/* ---- places ---- */

static bool find_place(ObjectTree *tree, const char *id, Place *place, GError **errp)
{
    Object *iothread = id ? object_find(tree, id) : NULL;

    if (!id) {
        *place = (Place){ .ctx = qemu_get_aio_context() };
        return true;
    }
    if (!iothread || iothread->type != &iothread_type) {
        return qmp_error_set(errp,
                             "Parameter 'iothread' expects the id of an IOThread, or null for the "
                             "main loop; there is no IOThread '%s'",
                             id);
    }
    if (iothread->deleting) {
        return qmp_error_set(errp, "Parameter 'iothread': IOThread '%s' is being deleted", id);
    }
    *place = (Place){
        .ctx = iothread_get_aio_context(iothread_by_id(id)),
        .iothread = iothread,
    };
    return true;
}

static void use_place(Object *object, Place *place)
{
    if (place->iothread) {
        object_add_user(place->iothread, object);
    }
}

static void leave_place(Object *object, Place *place)
{
    if (place->iothread) {
        object_remove_user(place->iothread, object);
    }
    *place = (Place){ 0 };
}

bool placement_choose(Object *object, const void *properties, GError **errp)
{
    const PlacedProperties *placed = properties;

    return find_place(object->tree, placed->iothread, &object->placement->chosen, errp);
}

bool placement_init(Object *object, GError **errp)
{
    Place place;

    if (!find_place(object->tree, ((PlacedProperties *)object->properties)->iothread, &place,
                    errp)) {
        return false;
    }
    object->placement = g_new0(Placement, 1);
    object->placement->now = place;
    object->placement->chosen = place;
    use_place(object, &place);
    return true;
}

void placement_cleanup(Object *object)
{
    leave_place(object, &object->placement->now);
    g_clear_pointer(&object->placement, g_free);
}

bool placement_is_settled(const Object *object)
{
    return !object->placement->moving;
}

/* ---- the way ---- */

/* In the main thread: the last step of a change. */
static void object_settled(void *opaque)
{
    Object *object = opaque;

    object->placement->moving = false;
    leave_place(object, &object->placement->former);
    if (object->type->settled) {
        object->type->settled(object);
    }
    object_tell_settled(object);
}

/* In the thread of the loop that the object goes to. */
static void object_start(void *opaque)
{
    Object *object = opaque;

    object->type->start(object, object->placement->now.ctx);
    aio_bh_schedule_oneshot(qemu_get_aio_context(), object_settled, object);
}

/* In the thread of the loop that it leaves, which may be the same one. */
static void object_stop(void *opaque)
{
    Object *object = opaque;
    /* The object may have arrived, been deleted, and its IOThread with it, before
     * aio_bh_schedule_oneshot() has returned. */
    g_autoptr(AioContext) ctx = object->placement->now.ctx;

    aio_context_ref(ctx);
    object->type->stop(object);
    aio_bh_schedule_oneshot(ctx, object_start, object);
}

void placement_start(Object *object)
{
    object->placement->moving = true;
    aio_bh_schedule_oneshot(object->placement->now.ctx, object_start, object);
}

void placement_change(Object *object)
{
    Placement *placement = object->placement;

    placement->moving = true;
    placement->former = placement->now;
    placement->now = placement->chosen;
    use_place(object, &placement->now);
    aio_bh_schedule_oneshot(placement->former.ctx, object_stop, object);
}

/* ---- the end ---- */

/* In the main thread. */
static void object_ended(void *opaque)
{
    Object *object = opaque;

    placement_cleanup(object);
    object_end(object);
}

/* In the thread of its loop. */
static void object_stop_for_good(void *opaque)
{
    Object *object = opaque;

    object->type->stop(object);
    aio_bh_schedule_oneshot(qemu_get_aio_context(), object_ended, object);
}

void placement_end(Object *object)
{
    object->placement->moving = true;
    aio_bh_schedule_oneshot(object->placement->now.ctx, object_stop_for_good, object);
}
