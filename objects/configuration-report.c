/*
 * A difference as the result of commands.
 */
#include "config.h"
#include "objects/configuration-difference.h"

typedef struct ObjectName {
    char *id;
    char *qom_type;
} ObjectName;

static const QmpMember object_name_members[] = {
    { .name = "id",
      .type = &qmp_type_str,
      .offset = offsetof(ObjectName, id),
      .help = "the object's id" },
    { .name = "qom-type",
      .type = &qmp_type_str,
      .offset = offsetof(ObjectName, qom_type),
      .help = "its type" },
    { 0 },
};
static const QmpType object_name_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "ConfigurationObject",
    .members = object_name_members,
    .size = sizeof(ObjectName),
};
static const QmpType object_name_list_type = {
    .kind = QMP_KIND_ARRAY,
    .element = &object_name_type,
};

/* Of a property; the beginning of what else is told of an object. */
typedef struct PropertyDifference {
    ObjectName object;
    char *property;
    json_object *from;
    json_object *to;
} PropertyDifference;

static const QmpMember property_difference_members[] = {
    { .name = "property",
      .type = &qmp_type_str,
      .offset = offsetof(PropertyDifference, property),
      .help = "the property that differs; of one that is replaced the first that can't be set, or "
              "qom-type" },
    { .name = "from",
      .type = &qmp_type_any,
      .offset = offsetof(PropertyDifference, from),
      .help = "the value that it has" },
    { .name = "to",
      .type = &qmp_type_any,
      .offset = offsetof(PropertyDifference, to),
      .help = "the value that is asked for" },
    { 0 },
};
static const QmpType property_difference_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "ConfigurationProperty",
    .base = &object_name_type,
    .is_result = true,
    .members = property_difference_members,
    .size = sizeof(PropertyDifference),
};
static const QmpType property_difference_list_type = {
    .kind = QMP_KIND_ARRAY,
    .element = &property_difference_type,
};

typedef struct DifferenceInfo {
    json_object *added;
    json_object *removed;
    json_object *replaced;
    json_object *changed;
    json_object *adopted;
} DifferenceInfo;

static const QmpMember difference_members[] = {
    { .name = "added",
      .type = &object_name_list_type,
      .offset = offsetof(DifferenceInfo, added),
      .help = "objects that are added" },
    { .name = "removed",
      .type = &object_name_list_type,
      .offset = offsetof(DifferenceInfo, removed),
      .help = "objects that are deleted, because they are not asked for any more" },
    { .name = "replaced",
      .type = &property_difference_list_type,
      .offset = offsetof(DifferenceInfo, replaced),
      .help = "objects that are deleted and added anew, because a property that differs can't be "
              "set" },
    { .name = "changed",
      .type = &property_difference_list_type,
      .offset = offsetof(DifferenceInfo, changed),
      .help = "properties that are set" },
    { .name = "adopted",
      .type = &object_name_list_type,
      .offset = offsetof(DifferenceInfo, adopted),
      .help = "objects that were there, and are the configuration's from now on" },
    { 0 },
};
const QmpType difference_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "ConfigurationDifference",
    .members = difference_members,
    .size = sizeof(DifferenceInfo),
};

static void add_name(json_object *list, const DifferenceEntry *entry, const ObjectType *type)
{
    ObjectName name = { .id = entry->id, .qom_type = (char *)type->name };

    json_object_array_add(list, qmp_marshal(&object_name_type, &name));
}

static void add_property(json_object *list, const DifferenceEntry *entry, const char *property,
                         json_object *from, json_object *to)
{
    PropertyDifference info = {
        .object = { .id = entry->id, .qom_type = (char *)entry->type->name },
        .property = (char *)property,
        .from = from,
        .to = to,
    };

    json_object_array_add(list, qmp_marshal(&property_difference_type, &info));
}

static void add_replaced(json_object *list, const DifferenceEntry *entry)
{
    if (entry->property) {
        add_property(list, entry, entry->property->name,
                     json_object_object_get(entry->has, entry->property->name),
                     json_object_object_get(entry->wants, entry->property->name));
    } else {
        g_autoptr(json_object) from = json_object_new_string(entry->former->name);
        g_autoptr(json_object) to = json_object_new_string(entry->type->name);

        add_property(list, entry, "qom-type", from, to);
    }
}

json_object *difference_to_json(const Difference *difference)
{
    g_autoptr(GPtrArray) changes = difference_get_changes(difference);
    DifferenceInfo info = {
        .added = json_object_new_array(),
        .removed = json_object_new_array(),
        .replaced = json_object_new_array(),
        .changed = json_object_new_array(),
        .adopted = json_object_new_array(),
    };
    json_object *value;

    for (guint i = 0; i < difference->entries->len; i++) {
        const DifferenceEntry *entry = g_ptr_array_index(difference->entries, i);

        if (entry->kind == DIFFERENCE_ADD) {
            add_name(info.added, entry, entry->type);
        } else if (entry->kind == DIFFERENCE_REMOVE) {
            add_name(info.removed, entry, entry->former);
        } else if (entry->kind == DIFFERENCE_REPLACE) {
            add_replaced(info.replaced, entry);
        }
        if (entry->adopted) {
            add_name(info.adopted, entry, entry->type);
        }
    }
    for (guint i = 0; i < changes->len; i++) {
        const PropertyChange *change = g_ptr_array_index(changes, i);

        add_property(info.changed, change->entry, change->property->name, change->from, change->to);
    }
    value = qmp_marshal(&difference_type, &info);
    qmp_unbind(&difference_type, &info);
    return value;
}
