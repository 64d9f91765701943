/*
 * Comparing what is asked for with what there is.
 */
#include "config.h"
#include "objects/configuration-difference.h"

#include <string.h>

#include "objects/object-types.h"
#include "objects/object-values.h"
#include "qmp/qmp-error.h"

/* ---- values ---- */

/* @given, and the defaults. NULL and @errp when they do not go together. */
static json_object *complete_values(const ObjectType *type, json_object *given, GError **errp)
{
    g_autofree void *properties = g_malloc0(type->properties->size);
    json_object *values = NULL;

    qmp_bind(type->properties, given, properties);
    if (!type->check || type->check(properties, errp)) {
        values = object_values(type, properties);
    }
    qmp_unbind(type->properties, properties);
    return values;
}

static json_object *value_of(json_object *values, const char *name)
{
    return json_object_object_get(values, name);
}

static bool values_differ(const DifferenceEntry *entry, const QmpMember *member)
{
    return !(member->flags & QMP_MEMBER_READ_ONLY) &&
           !json_object_equal(value_of(entry->has, member->name),
                              value_of(entry->wants, member->name));
}

/* ---- references ---- */

typedef void ReferenceFunc(const QmpMember *property, const char *id, void *opaque);

static void visit_value(const QmpMember *member, json_object *value, ReferenceFunc *func,
                        void *opaque)
{
    if (json_object_is_type(value, json_type_array)) {
        for (size_t i = 0; i < json_object_array_length(value); i++) {
            func(member, json_object_get_string(json_object_array_get_idx(value, i)), opaque);
        }
    } else if (value) {
        func(member, json_object_get_string(value), opaque);
    }
}

static void visit_references(const QmpType *type, json_object *values, const QmpMember *property,
                             ReferenceFunc *func, void *opaque)
{
    if (type->base) {
        visit_references(type->base, values, property, func, opaque);
    }
    for (const QmpMember *member = type->members; member && member->name; member++) {
        if (member->refers_to && (!property || member == property)) {
            visit_value(member, value_of(values, member->name), func, opaque);
        }
    }
}

void object_values_foreach_reference(
    const ObjectType *type, json_object *values, const QmpMember *property,
    void (*func)(const QmpMember *property, const char *id, void *opaque), void *opaque)
{
    visit_references(type->properties, values, property, func, opaque);
}

/* ---- entries ---- */

static void entry_free(DifferenceEntry *entry)
{
    g_free(entry->id);
    g_free(entry->where);
    json_object_put(entry->has);
    json_object_put(entry->wants);
    g_free(entry);
}

static DifferenceEntry *entry_new(const char *id, Object *object)
{
    DifferenceEntry *entry = g_new0(DifferenceEntry, 1);

    entry->id = g_strdup(id);
    if (object) {
        entry->former = object->type;
        entry->has = object_values(object->type, object->properties);
    }
    return entry;
}

static bool fail_at(GError **errp, const char *where, const char *format, ...) G_GNUC_PRINTF(3, 4);

static bool fail_at(GError **errp, const char *where, const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list arguments;

    va_start(arguments, format);
    text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    return qmp_error_set(errp, "%s: %s", where, text);
}

/* The first property that differs and can't be set, or NULL. */
static const QmpMember *find_unsettable(const DifferenceEntry *entry, const QmpType *type)
{
    const QmpMember *found = type->base ? find_unsettable(entry, type->base) : NULL;

    for (const QmpMember *member = type->members; !found && member && member->name; member++) {
        if ((member->flags & QMP_MEMBER_CREATE_ONLY) && values_differ(entry, member)) {
            found = member;
        }
    }
    return found;
}

static void choose_kind(DifferenceEntry *entry)
{
    if (!entry->former) {
        entry->kind = DIFFERENCE_ADD;
    } else if (entry->former != entry->type) {
        entry->kind = DIFFERENCE_REPLACE;
    } else {
        entry->property = find_unsettable(entry, entry->type->properties);
        entry->kind = entry->property ? DIFFERENCE_REPLACE : DIFFERENCE_KEEP;
    }
}

static bool add_wanted(Difference *difference, ObjectTree *tree, const ConfiguredObject *wanted,
                       GError **errp)
{
    Object *object = object_find(tree, wanted->id);
    DifferenceEntry *entry;
    json_object *wants;

    if (object && object->deleting) {
        return fail_at(errp, wanted->where, "Object '%s' is being deleted", wanted->id);
    }
    wants = complete_values(wanted->type, wanted->values, errp);
    if (!wants) {
        g_prefix_error(errp, "%s: ", wanted->where);
        return false;
    }
    entry = entry_new(wanted->id, object);
    entry->where = g_strdup(wanted->where);
    entry->type = wanted->type;
    entry->wants = wants;
    entry->adopted = object && !object->configured;
    choose_kind(entry);
    g_ptr_array_add(difference->entries, entry);
    g_hash_table_insert(difference->by_id, entry->id, entry);
    if (entry->adopted && entry->kind == DIFFERENCE_REPLACE) {
        return fail_at(errp, entry->where,
                       "There is an object '%s' that the configuration did not make; its %s "
                       "differs, so it would have to be deleted first",
                       entry->id, entry->property ? entry->property->name : "type");
    }
    return true;
}

static void add_unwanted(Object *object, void *opaque)
{
    Difference *difference = opaque;
    DifferenceEntry *entry;

    if (object->configured && !object->deleting &&
        !g_hash_table_contains(difference->by_id, object->id)) {
        entry = entry_new(object->id, object);
        entry->kind = DIFFERENCE_REMOVE;
        g_ptr_array_add(difference->entries, entry);
        g_hash_table_insert(difference->by_id, entry->id, entry);
    }
}

/* ---- checks ---- */

typedef struct ReferenceCheck {
    const Difference *difference;
    ObjectTree *tree;
    const DifferenceEntry *entry;
    GError *error;
} ReferenceCheck;

static void check_reference(const QmpMember *property, const char *id, void *opaque)
{
    ReferenceCheck *check = opaque;
    const DifferenceEntry *target = g_hash_table_lookup(check->difference->by_id, id);
    const Object *object = target ? NULL : object_find(check->tree, id);
    const ObjectType *type = target ? target->type : NULL;

    if (object && !object->deleting) {
        type = object->type;
    }
    if (!check->error && (!type || strcmp(type->name, property->refers_to) != 0)) {
        fail_at(&check->error, check->entry->where, "Parameter '%s': there is no %s '%s'%s",
                property->name, property->refers_to, id,
                target && !target->type ? " any more" : "");
    }
}

static bool check_references(const Difference *difference, ObjectTree *tree,
                             const DifferenceEntry *entry, GError **errp)
{
    ReferenceCheck check = { .difference = difference, .tree = tree, .entry = entry };

    object_values_foreach_reference(entry->type, entry->wants, NULL, check_reference, &check);
    if (check.error) {
        g_propagate_error(errp, check.error);
        return false;
    }
    return true;
}

/* What goes must have no user that the configuration does not know. */
static bool check_users(const Difference *difference, ObjectTree *tree,
                        const DifferenceEntry *entry, GError **errp)
{
    const Object *object = object_find(tree, entry->id);

    for (guint i = 0; i < object->users->len; i++) {
        const Object *user = g_ptr_array_index(object->users, i);

        if (!g_hash_table_contains(difference->by_id, user->id)) {
            return qmp_error_set(
                errp,
                "%s%sObject '%s' can't be deleted: it is in use by '%s', which "
                "%s",
                entry->where ? entry->where : "", entry->where ? ": " : "", entry->id, user->id,
                user->deleting ? "is still being deleted" : "the configuration did not make");
        }
    }
    return true;
}

static bool check(const Difference *difference, ObjectTree *tree, GError **errp)
{
    for (guint i = 0; i < difference->entries->len; i++) {
        const DifferenceEntry *entry = g_ptr_array_index(difference->entries, i);
        bool goes = entry->kind == DIFFERENCE_REMOVE || entry->kind == DIFFERENCE_REPLACE;

        if ((entry->type && !check_references(difference, tree, entry, errp)) ||
            (goes && !check_users(difference, tree, entry, errp))) {
            return false;
        }
    }
    return true;
}

/* ---- order ---- */

enum {
    VISIT_NONE,
    VISIT_BEGUN,
    VISIT_DONE
};

typedef struct Ordering {
    const Difference *difference;
    GPtrArray *ordered;
    DifferenceEntry *entry; /* whose references are looked at */
    GError *error;
} Ordering;

static void put_in_order(Ordering *ordering, DifferenceEntry *entry);

static void order_reference(const QmpMember *property, const char *id, void *opaque)
{
    Ordering *ordering = opaque;
    DifferenceEntry *entry = ordering->entry;
    DifferenceEntry *target = g_hash_table_lookup(ordering->difference->by_id, id);

    if (target && target->visit == VISIT_BEGUN && !ordering->error) {
        fail_at(&ordering->error, entry->where,
                "Parameter '%s': '%s' refers to itself by way of '%s'", property->name, entry->id,
                id);
    } else if (target && !ordering->error) {
        put_in_order(ordering, target);
        ordering->entry = entry;
        entry->late = entry->late || target->late;
    }
}

/* Put @entry behind all that it refers to. */
static void put_in_order(Ordering *ordering, DifferenceEntry *entry)
{
    if (entry->visit != VISIT_NONE) {
        return;
    }
    entry->visit = VISIT_BEGUN;
    if (entry->type) {
        ordering->entry = entry;
        object_values_foreach_reference(entry->type, entry->wants, NULL, order_reference, ordering);
    }
    entry->visit = VISIT_DONE;
    /* What stays is there all the time. */
    entry->late =
        entry->kind == DIFFERENCE_REPLACE || (entry->kind == DIFFERENCE_ADD && entry->late);
    g_ptr_array_add(ordering->ordered, entry);
}

static bool order(Difference *difference, GError **errp)
{
    Ordering ordering = {
        .difference = difference,
        .ordered = g_ptr_array_new_with_free_func((GDestroyNotify)entry_free),
    };

    for (guint i = 0; i < difference->entries->len; i++) {
        put_in_order(&ordering, g_ptr_array_index(difference->entries, i));
    }
    g_ptr_array_set_free_func(difference->entries, NULL);
    g_ptr_array_unref(difference->entries);
    difference->entries = ordering.ordered;
    if (ordering.error) {
        g_propagate_error(errp, ordering.error);
        return false;
    }
    return true;
}

/* Whether both are given the same by a string that can only be given once, such as an address. */
static bool share_something(const DifferenceEntry *entry, const DifferenceEntry *gone)
{
    const QmpMember *member = entry->type == gone->former ? entry->type->properties->members : NULL;

    for (; member && member->name; member++) {
        json_object *value = value_of(entry->wants, member->name);

        if ((member->flags & QMP_MEMBER_CREATE_ONLY) && member->type->kind == QMP_KIND_STR &&
            value && json_object_equal(value, value_of(gone->has, member->name))) {
            return true;
        }
    }
    return false;
}

/* An object to be added may need what one that goes still has. */
static void find_conflicts(Difference *difference)
{
    g_autoptr(GPtrArray) gone = g_ptr_array_new();

    for (guint i = 0; i < difference->entries->len; i++) {
        DifferenceEntry *entry = g_ptr_array_index(difference->entries, i);

        if (entry->kind == DIFFERENCE_REMOVE || entry->kind == DIFFERENCE_REPLACE) {
            g_ptr_array_add(gone, entry);
        }
    }
    for (guint i = 0; i < difference->entries->len; i++) {
        DifferenceEntry *entry = g_ptr_array_index(difference->entries, i);

        for (guint j = 0; entry->kind == DIFFERENCE_ADD && !entry->late && j < gone->len; j++) {
            entry->late = share_something(entry, g_ptr_array_index(gone, j));
        }
    }
}

/* ---- all of it ---- */

Difference *difference_new(ObjectTree *tree, const Configuration *configuration, GError **errp)
{
    g_autoptr(Difference) difference = g_new(Difference, 1);

    difference->entries = g_ptr_array_new_with_free_func((GDestroyNotify)entry_free);
    difference->by_id = g_hash_table_new(g_str_hash, g_str_equal);
    for (guint i = 0; i < configuration->objects->len; i++) {
        if (!add_wanted(difference, tree, g_ptr_array_index(configuration->objects, i), errp)) {
            return NULL;
        }
    }
    object_foreach(tree, add_unwanted, difference);
    if (!check(difference, tree, errp)) {
        return NULL;
    }
    find_conflicts(difference);
    return order(difference, errp) ? g_steal_pointer(&difference) : NULL;
}

void difference_free(Difference *difference)
{
    g_hash_table_unref(difference->by_id);
    g_ptr_array_unref(difference->entries);
    g_free(difference);
}

void property_change_free(PropertyChange *change)
{
    json_object_put(change->from);
    json_object_put(change->to);
    g_free(change);
}

static void add_changes(const DifferenceEntry *entry, const QmpType *type, GPtrArray *changes)
{
    if (type->base) {
        add_changes(entry, type->base, changes);
    }
    for (const QmpMember *member = type->members; member && member->name; member++) {
        if (values_differ(entry, member)) {
            PropertyChange *change = g_new(PropertyChange, 1);

            *change = (PropertyChange){
                .entry = entry,
                .property = member,
                .from = json_object_get(value_of(entry->has, member->name)),
                .to = json_object_get(value_of(entry->wants, member->name)),
            };
            g_ptr_array_add(changes, change);
        }
    }
}

GPtrArray *difference_get_changes(const Difference *difference)
{
    GPtrArray *changes = g_ptr_array_new_with_free_func((GDestroyNotify)property_change_free);

    for (guint i = 0; i < difference->entries->len; i++) {
        const DifferenceEntry *entry = g_ptr_array_index(difference->entries, i);

        if (entry->kind == DIFFERENCE_KEEP) {
            add_changes(entry, entry->type->properties, changes);
        }
    }
    return changes;
}
