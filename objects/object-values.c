/*
 * The values of an object's properties.
 */
#include "config.h"
#include "objects/object-values.h"

static void add_values(const QmpType *type, const void *properties, json_object *values)
{
    if (type->base) {
        add_values(type->base, properties, values);
    }
    for (const QmpMember *member = type->members; member && member->name; member++) {
        json_object *value;

        if (member->flags & QMP_MEMBER_READ_ONLY) {
            continue;
        }
        value = qmp_marshal_member(member, properties);
        if (!value && member->type->kind == QMP_KIND_ARRAY) {
            value = json_object_new_array();
        }
        /* No value and none given are the same. */
        if (value || member->type->kind == QMP_KIND_STR_OR_NULL) {
            json_object_object_add(values, member->name, value);
        }
    }
}

json_object *object_values(const ObjectType *type, const void *properties)
{
    json_object *values = json_object_new_object();

    add_values(type->properties, properties, values);
    return values;
}
