/*
 * From the difference to the steps.
 */
#include "config.h"
#include "objects/configuration-plan.h"

typedef struct Plan {
    const Difference *difference;
    GQueue *steps; /* of each phase */
    void *owner;
} Plan;

static Step *step_new(Plan *self, Phase phase, const DifferenceEntry *entry)
{
    Step *step = g_new0(Step, 1);

    step->owner = self->owner;
    step->phase = phase;
    step->entry = entry;
    return step;
}

void step_free(Step *step)
{
    if (step->change) {
        property_change_free(step->change);
    }
    g_free(step);
}

static void plan_step(Plan *self, Phase phase, const DifferenceEntry *entry)
{
    g_queue_push_tail(&self->steps[phase], step_new(self, phase, entry));
}

/* Takes @change over. */
static void plan_set(Plan *self, Phase phase, PropertyChange *change)
{
    Step *step = step_new(self, phase, change->entry);

    step->change = change;
    g_queue_push_tail(&self->steps[phase], step);
}

typedef struct Search {
    const Difference *difference;
    bool late; /* one of the ids is added late */
    bool goes; /* one of them goes, even if it comes back */
} Search;

static void look_at(const QmpMember *property, const char *id, void *opaque)
{
    Search *search = opaque;
    const DifferenceEntry *entry = g_hash_table_lookup(search->difference->by_id, id);

    search->late = search->late || (entry && entry->late);
    search->goes =
        search->goes ||
        (entry && (entry->kind == DIFFERENCE_REPLACE || entry->kind == DIFFERENCE_REMOVE));
}

/* @value of @property without the ids of what goes. */
static json_object *without_gone(Plan *self, const QmpMember *property, json_object *value)
{
    json_object *left;

    if (!json_object_is_type(value, json_type_array)) {
        return NULL;
    }
    left = json_object_new_array();
    for (size_t i = 0; i < json_object_array_length(value); i++) {
        json_object *id = json_object_array_get_idx(value, i);
        Search search = { .difference = self->difference };

        look_at(property, json_object_get_string(id), &search);
        if (!search.goes) {
            json_object_array_add(left, json_object_get(id));
        }
    }
    return left;
}

static PropertyChange *change_new(const DifferenceEntry *entry, const QmpMember *property,
                                  json_object *from, json_object *to, bool for_now)
{
    PropertyChange *change = g_new(PropertyChange, 1);

    *change = (PropertyChange){
        .entry = entry,
        .property = property,
        .from = json_object_get(from),
        .to = json_object_get(to),
        .for_now = for_now,
    };
    return change;
}

static void plan_property(Plan *self, const DifferenceEntry *entry, const QmpMember *property)
{
    json_object *from = json_object_object_get(entry->has, property->name);
    json_object *to = json_object_object_get(entry->wants, property->name);
    Search before = { .difference = self->difference };
    Search after = { .difference = self->difference };

    if (property->refers_to) {
        object_values_foreach_reference(entry->type, entry->has, property, look_at, &before);
        object_values_foreach_reference(entry->type, entry->wants, property, look_at, &after);
    }
    if (after.late && before.goes) {
        /* It must let go of the one before there is the other. */
        g_autoptr(json_object) meanwhile = without_gone(self, property, from);

        plan_set(self, PHASE_SET, change_new(entry, property, from, meanwhile, true));
        plan_set(self, PHASE_SET_LATE, change_new(entry, property, meanwhile, to, false));
    } else if (!json_object_equal(from, to)) {
        plan_set(self, after.late ? PHASE_SET_LATE : PHASE_SET,
                 change_new(entry, property, from, to, false));
    }
}

static void plan_properties(Plan *self, const DifferenceEntry *entry, const QmpType *type)
{
    if (type->base) {
        plan_properties(self, entry, type->base);
    }
    for (const QmpMember *member = type->members; member && member->name; member++) {
        if (!(member->flags & (QMP_MEMBER_READ_ONLY | QMP_MEMBER_CREATE_ONLY))) {
            plan_property(self, entry, member);
        }
    }
}

void configuration_plan(const Difference *difference, GQueue steps[PHASE_END], void *owner)
{
    Plan plan = { .difference = difference, .steps = steps, .owner = owner };
    const GPtrArray *entries = difference->entries;

    for (guint i = 0; i < entries->len; i++) {
        const DifferenceEntry *entry = g_ptr_array_index(entries, i);

        if (entry->kind == DIFFERENCE_KEEP) {
            plan_properties(&plan, entry, entry->type->properties);
        }
        if (entry->kind == DIFFERENCE_REMOVE || entry->kind == DIFFERENCE_REPLACE) {
            plan_step(&plan, PHASE_DELETE, entry);
        }
        if (entry->kind == DIFFERENCE_ADD || entry->kind == DIFFERENCE_REPLACE) {
            plan_step(&plan, entry->late ? PHASE_ADD_LATE : PHASE_ADD, entry);
        }
    }
}
