/*
 * Restoring objects, each after those that it refers to.
 */
#include "config.h"
#include "daemon/restoring.h"

#include "daemon/keeping.h"
#include "daemon/startup.h"
#include "daemon/systemd.h"
#include "objects/clock-keep.h"
#include "objects/configuration-difference.h"
#include "objects/keep-parcel.h"
#include "objects/keep-store.h"
#include "objects/object-types.h"
#include "objects/passed-fds.h"
#include "qmp/qmp-log.h"

/* ---- what there is ---- */

static Kept *open_kept(const GArray *parcels)
{
    g_autoptr(GError) error = NULL;
    Kept *kept = kept_new((const int *)parcels->data, parcels->len, &error);

    if (!kept) {
        qmp_log(QMP_LOG_RESTART_UNUSABLE, &(QmpLogFields){ .reason = error->message },
                "restart: what the daemon before has left can't be used: %s", error->message);
    }
    return kept;
}

Kept *restoring_begin(PassedFds *passed, ObjectTree *objects)
{
    GArray *parcels = passed_fds_take(passed, KEEPING_NAME);
    Kept *kept = NULL;

    if (parcels->len > 0) {
        kept = open_kept(parcels);
        /* They are empty now: even if this daemon does not come so far, there is nothing to be used
         * twice. */
        systemd_forget(KEEPING_NAME);
    }
    fds_free(parcels);
    if (kept && !clocks_restore(kept_get(kept, "clocks"))) {
        qmp_log(QMP_LOG_RESTART_CLOCKS_ANEW, NULL,
                "restart: the clocks begin anew: their state can't be used");
    }
    object_tree_set_kept(objects, kept);
    return kept;
}

/* ---- objects ---- */

typedef struct Restoring {
    Kept *kept;
    ObjectTree *objects;
    const QmpRegistry *registry;
    bool has_configuration;
    guint going_on; /* objects */
} Restoring;

/* Whether who asked for it would have done so again. */
static bool is_dropped(const Restoring *self, const KeptObject *kept)
{
    switch (kept->asked_by) {
    case ASKED_BY_CLIENT:
        return false;
    case ASKED_BY_START:
        return true;
    case ASKED_BY_CONFIGURATION:
        return self->has_configuration;
    }
    g_assert_not_reached();
}

static bool create(const Restoring *self, const KeptObject *kept, GError **errp)
{
    json_object *arguments = NULL;
    Object *object;

    json_object_deep_copy(kept->properties, &arguments, NULL);
    json_object_object_add(arguments, "qom-type", json_object_new_string(kept->type->name));
    json_object_object_add(arguments, "id", json_object_new_string(kept->id));
    if (!startup_add_object(self->registry, arguments, errp)) {
        return false;
    }
    object = object_find(self->objects, kept->id);
    object->configured = kept->asked_by == ASKED_BY_CONFIGURATION;
    object->from_start = false;
    return true;
}

static void restore(Restoring *self, KeptObject *kept)
{
    g_autoptr(GError) error = NULL;

    if (create(self, kept, &error)) {
        self->going_on++;
    } else {
        qmp_log(QMP_LOG_RESTART_OBJECT_LOST,
                &(QmpLogFields){
                    .object = kept->id, .type = kept->type->name, .reason = error->message },
                "restart: %s '%s' is lost: %s", kept->type->name, kept->id, error->message);
    }
    kept->used = true;
}

/* Those that have been created, and those that will not be. */
static void sort_out(Restoring *self, KeptObject *kept)
{
    if (kept->used) {
        self->going_on++;
    } else if (is_dropped(self, kept)) {
        qmp_log(QMP_LOG_RESTART_OBJECT_DROPPED,
                &(QmpLogFields){ .object = kept->id, .type = kept->type->name },
                "restart: %s '%s' is dropped, for nothing asks for it any more", kept->type->name,
                kept->id);
        kept->used = true;
    }
}

typedef struct ReferenceSearch {
    Kept *kept;
    bool found; /* one that is not there yet */
} ReferenceSearch;

static void note_reference(const QmpMember *property, const char *id, void *opaque)
{
    ReferenceSearch *search = opaque;

    search->found =
        search->found || kept_find(search->kept, object_type_find(property->refers_to), id);
}

static bool has_to_wait(const Restoring *self, const KeptObject *kept)
{
    ReferenceSearch search = { .kept = self->kept };

    object_values_foreach_reference(kept->type, kept->properties, NULL, note_reference, &search);
    return search.found;
}

/* Restore those that need not wait for another; how many these were. */
static guint restore_some(Restoring *self, bool whatever)
{
    const GPtrArray *objects = kept_get_objects(self->kept);
    guint count = 0;

    for (guint i = 0; i < objects->len; i++) {
        KeptObject *kept = g_ptr_array_index(objects, i);

        if (!kept->used && (whatever || !has_to_wait(self, kept))) {
            restore(self, kept);
            count++;
        }
    }
    return count;
}

void restoring_end(Kept *kept, ObjectTree *objects, const QmpRegistry *registry,
                   bool has_configuration)
{
    Restoring self = {
        .kept = kept,
        .objects = objects,
        .registry = registry,
        .has_configuration = has_configuration,
    };
    const GPtrArray *all = kept_get_objects(kept);

    for (guint i = 0; i < all->len; i++) {
        sort_out(&self, g_ptr_array_index(all, i));
    }
    while (restore_some(&self, false) > 0) {
    }
    /* Those that wait for each other, which no daemon has left so. */
    restore_some(&self, true);
    qmp_log(QMP_LOG_RESTART_DONE, &(QmpLogFields){ .count = self.going_on },
            "restart: objects that go on: %u", self.going_on);
    object_tree_set_kept(objects, NULL);
    kept_free(kept);
}
