/*
 * Binding checked JSON values into plain C structs by the typed tables, and back.
 */
#include "config.h"
#include "qmp/qmp-schema.h"

#include <string.h>

static void *field_of(const QmpMember *member, const void *data)
{
    return (char *)data + member->offset;
}

static bool is_reference(const QmpType *type)
{
    return type->kind == QMP_KIND_ANY || type->kind == QMP_KIND_OBJECT ||
           type->kind == QMP_KIND_ARRAY;
}

static bool is_string(const QmpType *type)
{
    return type->kind == QMP_KIND_STR || type->kind == QMP_KIND_STR_OR_NULL;
}

static void unbind_member(const QmpMember *member, void *data)
{
    void *field = field_of(member, data);

    if (is_string(member->type)) {
        g_clear_pointer((char **)field, g_free);
    } else if (is_reference(member->type)) {
        json_object_put(*(json_object **)field);
        *(json_object **)field = NULL;
    }
}

void qmp_bind_member(const QmpMember *member, json_object *value, void *data)
{
    void *field = field_of(member, data);

    unbind_member(member, data);
    switch (member->type->kind) {
    case QMP_KIND_BOOL:
        *(bool *)field = json_object_get_boolean(value);
        break;
    case QMP_KIND_INT:
        *(int64_t *)field = json_object_get_int64(value);
        break;
    case QMP_KIND_NULL:
        break;
    case QMP_KIND_STR:
    case QMP_KIND_STR_OR_NULL:
        *(char **)field = g_strdup(json_object_get_string(value));
        break;
    case QMP_KIND_ENUM:
        *(int *)field = qmp_enum_parse(member->type, json_object_get_string(value));
        break;
    case QMP_KIND_ANY:
    case QMP_KIND_OBJECT:
    case QMP_KIND_ARRAY:
        *(json_object **)field = json_object_get(value);
        break;
    }
}

static void bind_default(const QmpMember *member, void *data)
{
    void *field = field_of(member, data);

    switch (member->type->kind) {
    case QMP_KIND_BOOL:
        *(bool *)field = member->default_int != 0;
        break;
    case QMP_KIND_INT:
        *(int64_t *)field = member->default_int;
        break;
    case QMP_KIND_NULL:
        break;
    case QMP_KIND_STR:
    case QMP_KIND_STR_OR_NULL:
        *(char **)field = g_strdup(member->default_str);
        break;
    case QMP_KIND_ENUM:
        *(int *)field =
            member->default_str ? qmp_enum_parse(member->type, member->default_str) : -1;
        break;
    case QMP_KIND_ANY:
    case QMP_KIND_OBJECT:
    case QMP_KIND_ARRAY:
        break;
    }
}

void qmp_bind(const QmpType *type, json_object *value, void *data)
{
    if (type->base) {
        qmp_bind(type->base, value, data);
    }
    for (const QmpMember *member = type->members; member && member->name; member++) {
        json_object *member_value;

        if (value && json_object_object_get_ex(value, member->name, &member_value)) {
            qmp_bind_member(member, member_value, data);
        } else if (member->flags & QMP_MEMBER_OPTIONAL) {
            bind_default(member, data);
        }
    }
}

void qmp_unbind(const QmpType *type, void *data)
{
    if (type->base) {
        qmp_unbind(type->base, data);
    }
    for (const QmpMember *member = type->members; member && member->name; member++) {
        unbind_member(member, data);
    }
}

static void copy_members(const QmpType *type, void *copy)
{
    if (type->base) {
        copy_members(type->base, copy);
    }
    for (const QmpMember *member = type->members; member && member->name; member++) {
        void *field = field_of(member, copy);

        if (is_string(member->type)) {
            *(char **)field = g_strdup(*(char **)field);
        } else if (is_reference(member->type)) {
            json_object_get(*(json_object **)field);
        }
    }
}

void qmp_bind_copy(const QmpType *type, const void *data, void *copy)
{
    memcpy(copy, data, type->size);
    copy_members(type, copy);
}

/* ---- and back ---- */

json_object *qmp_marshal_member(const QmpMember *member, const void *data)
{
    const void *field = field_of(member, data);

    switch (member->type->kind) {
    case QMP_KIND_BOOL:
        return json_object_new_boolean(*(const bool *)field);
    case QMP_KIND_INT:
        return json_object_new_int64(*(const int64_t *)field);
    case QMP_KIND_NULL:
        return NULL;
    case QMP_KIND_STR:
    case QMP_KIND_STR_OR_NULL:
        return *(char *const *)field ? json_object_new_string(*(char *const *)field) : NULL;
    case QMP_KIND_ENUM:
        return json_object_new_string(member->type->values[*(const int *)field]);
    case QMP_KIND_ANY:
    case QMP_KIND_OBJECT:
    case QMP_KIND_ARRAY:
        return json_object_get(*(json_object *const *)field);
    }
    g_assert_not_reached();
}

/* Whether a member of a result is to be left out. */
static bool is_left_out(const QmpMember *member, const void *data)
{
    const void *field = field_of(member, data);

    if (!(member->flags & QMP_MEMBER_MAYBE_ABSENT)) {
        return false;
    }
    switch (member->type->kind) {
    case QMP_KIND_BOOL:
        return *(const bool *)field == (member->default_int != 0);
    case QMP_KIND_INT:
        return *(const int64_t *)field == member->default_int;
    case QMP_KIND_NULL:
        return true;
    case QMP_KIND_STR:
    case QMP_KIND_STR_OR_NULL:
        return g_strcmp0(*(char *const *)field, member->default_str) == 0;
    case QMP_KIND_ENUM:
        return *(const int *)field < 0;
    case QMP_KIND_ANY:
    case QMP_KIND_OBJECT:
    case QMP_KIND_ARRAY:
        return *(json_object *const *)field == NULL;
    }
    g_assert_not_reached();
}

void qmp_marshal_into(const QmpType *type, const void *data, json_object *object)
{
    if (type->base) {
        qmp_marshal_into(type->base, data, object);
    }
    for (const QmpMember *member = type->members; member && member->name; member++) {
        if (!is_left_out(member, data)) {
            json_object_object_add_ex(object, member->name, qmp_marshal_member(member, data),
                                      JSON_C_OBJECT_ADD_CONSTANT_KEY |
                                          JSON_C_OBJECT_ADD_KEY_IS_NEW);
        }
    }
}

json_object *qmp_marshal(const QmpType *type, const void *data)
{
    json_object *object = json_object_new_object();

    qmp_marshal_into(type, data, object);
    return object;
}

json_object *qmp_member_default(const QmpMember *member)
{
    if (!(member->flags & QMP_MEMBER_OPTIONAL)) {
        return NULL;
    }
    switch (member->type->kind) {
    case QMP_KIND_BOOL:
        return json_object_new_boolean(member->default_int != 0);
    case QMP_KIND_INT:
        return json_object_new_int64(member->default_int);
    case QMP_KIND_STR:
    case QMP_KIND_STR_OR_NULL:
    case QMP_KIND_ENUM:
        return member->default_str ? json_object_new_string(member->default_str) : NULL;
    case QMP_KIND_NULL:
    case QMP_KIND_ANY:
    case QMP_KIND_OBJECT:
    case QMP_KIND_ARRAY:
        return NULL;
    }
    g_assert_not_reached();
}
