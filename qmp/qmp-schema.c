/*
 * Checking and binding of JSON values by the typed tables.
 */
#include "config.h"
#include "qmp/qmp-schema.h"

#include <string.h>

#include "qmp/qmp-error.h"

GQuark qmp_error_quark(void)
{
    /* Not G_DEFINE_QUARK(), whose cache is no atomic: both threads that run commands come here. */
    return g_quark_from_static_string("qmp-error-quark");
}

const QmpType qmp_type_any = { .kind = QMP_KIND_ANY, .name = "any" };
const QmpType qmp_type_bool = { .kind = QMP_KIND_BOOL, .name = "bool" };
const QmpType qmp_type_int = { .kind = QMP_KIND_INT, .name = "int" };
const QmpType qmp_type_str = { .kind = QMP_KIND_STR, .name = "str" };
const QmpType qmp_type_str_list = { .kind = QMP_KIND_ARRAY, .element = &qmp_type_str };
const QmpType qmp_type_empty = { .kind = QMP_KIND_OBJECT, .name = "Empty" };

const char *qmp_error_class(const GError *error)
{
    if (error->domain == QMP_ERROR && error->code == QMP_ERROR_COMMAND_NOT_FOUND) {
        return "CommandNotFound";
    }
    if (error->domain == QMP_ERROR && error->code == QMP_ERROR_DEVICE_NOT_FOUND) {
        return "DeviceNotFound";
    }
    return "GenericError";
}

const QmpMember *qmp_type_find_member(const QmpType *type, const char *name)
{
    for (const QmpMember *member = type->members; member && member->name; member++) {
        if (strcmp(member->name, name) == 0) {
            return member;
        }
    }
    return type->base ? qmp_type_find_member(type->base, name) : NULL;
}

bool qmp_member_is_optional(const QmpType *type, const QmpMember *member)
{
    return (member->flags & QMP_MEMBER_MAYBE_ABSENT) ||
           ((member->flags & QMP_MEMBER_OPTIONAL) && !type->is_result);
}

int qmp_enum_parse(const QmpType *type, const char *value)
{
    for (int i = 0; type->values[i]; i++) {
        if (strcmp(type->values[i], value) == 0) {
            return i;
        }
    }
    return -1;
}

/* ---- checking ---- */

static void fail(GError **errp, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void fail(GError **errp, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    if (errp) {
        *errp = g_error_new_valist(QMP_ERROR, QMP_ERROR_GENERIC, format, args);
    }
    va_end(args);
}

/* Strings of ours are C strings: none holds a NUL. */
static bool is_c_string(json_object *value)
{
    return json_object_is_type(value, json_type_string) &&
           strlen(json_object_get_string(value)) == (size_t)json_object_get_string_len(value);
}

static bool check_str(const char *name, json_object *value, GError **errp)
{
    if (!json_object_is_type(value, json_type_string)) {
        fail(errp, "Parameter '%s' expects a string", name);
        return false;
    }
    if (!is_c_string(value)) {
        fail(errp, "Parameter '%s' expects a string without the character \\u0000", name);
        return false;
    }
    return true;
}

/* Values beyond int64_t come as doubles or, up to UINT64_MAX, as ints that json-c would clamp. */
static bool fits_int64(json_object *value)
{
    return json_object_is_type(value, json_type_int) &&
           (json_object_get_int64(value) != INT64_MAX ||
            json_object_get_uint64(value) == (uint64_t)INT64_MAX);
}

static bool check_int(const char *name, const QmpMember *range, json_object *value, GError **errp)
{
    bool bounded = range && (range->min != 0 || range->max != 0);
    int64_t min = bounded ? range->min : INT64_MIN;
    int64_t max = bounded ? range->max : INT64_MAX;

    if (fits_int64(value) && json_object_get_int64(value) >= min &&
        json_object_get_int64(value) <= max) {
        return true;
    }
    fail(errp, "Parameter '%s' expects an integer from %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT,
         name, min, max);
    return false;
}

static bool check_enum(const char *name, const QmpType *type, json_object *value, GError **errp)
{
    g_autoptr(GString) expected = NULL;

    if (is_c_string(value) && qmp_enum_parse(type, json_object_get_string(value)) >= 0) {
        return true;
    }
    expected = g_string_new(NULL);
    for (int i = 0; type->values[i]; i++) {
        g_string_append_printf(expected, "%s'%s'", i > 0 ? ", " : "", type->values[i]);
    }
    fail(errp, "Parameter '%s' expects one of %s", name, expected->str);
    return false;
}

static bool check_object(const char *path, const QmpType *type, json_object *value, GError **errp);

static bool check_array(const char *name, const QmpType *type, json_object *value, GError **errp);

/* @range is the member that gives an int's range, or NULL. */
static bool check_value(const char *name, const QmpType *type, const QmpMember *range,
                        json_object *value, GError **errp)
{
    switch (type->kind) {
    case QMP_KIND_ANY:
        return true;
    case QMP_KIND_BOOL:
        if (!json_object_is_type(value, json_type_boolean)) {
            fail(errp, "Parameter '%s' expects true or false", name);
            return false;
        }
        return true;
    case QMP_KIND_INT:
        return check_int(name, range, value, errp);
    case QMP_KIND_STR:
        return check_str(name, value, errp);
    case QMP_KIND_ENUM:
        return check_enum(name, type, value, errp);
    case QMP_KIND_OBJECT:
        return check_object(name, type, value, errp);
    case QMP_KIND_ARRAY:
        return check_array(name, type, value, errp);
    }
    g_assert_not_reached();
}

static bool check_array(const char *name, const QmpType *type, json_object *value, GError **errp)
{
    if (!json_object_is_type(value, json_type_array)) {
        fail(errp, "Parameter '%s' expects an array", name);
        return false;
    }
    for (size_t i = 0; i < json_object_array_length(value); i++) {
        g_autofree char *item = g_strdup_printf("%s[%zu]", name, i);

        if (!check_value(item, type->element, NULL, json_object_array_get_idx(value, i), errp)) {
            return false;
        }
    }
    return true;
}

/* The type whose members @value has beside those of @type, which has been checked already. */
static const QmpType *variant_of(const QmpType *type, json_object *value)
{
    const QmpMember *tag;
    json_object *tag_value;

    if (!type->variants) {
        return NULL;
    }
    tag = qmp_type_find_member(type, type->variants->tag);
    if (!json_object_object_get_ex(value, tag->name, &tag_value)) {
        return NULL;
    }
    return type->variants->get(qmp_enum_parse(tag->type, json_object_get_string(tag_value)));
}

/* A member's name as an error shows it, behind that of the object that it is in. */
static char *join(const char *path, const char *name)
{
    return path ? g_strconcat(path, ".", name, NULL) : g_strdup(name);
}

/* Check the members that @type has, present or missing. */
static bool check_members(const char *path, const QmpType *type, json_object *object, GError **errp)
{
    if (type->base && !check_members(path, type->base, object, errp)) {
        return false;
    }
    for (const QmpMember *member = type->members; member && member->name; member++) {
        g_autofree char *name = join(path, member->name);
        json_object *value;

        if (json_object_object_get_ex(object, member->name, &value)) {
            if (member->flags & QMP_MEMBER_READ_ONLY) {
                fail(errp, "Parameter '%s' is read-only", name);
                return false;
            }
            if (!check_value(name, member->type, member, value, errp)) {
                return false;
            }
        } else if (!(member->flags & QMP_MEMBER_READ_ONLY) &&
                   !qmp_member_is_optional(type, member)) {
            fail(errp, "Parameter '%s' is missing", name);
            return false;
        }
    }
    return true;
}

static bool check_object(const char *path, const QmpType *type, json_object *value, GError **errp)
{
    const QmpType *variant;

    if (!json_object_is_type(value, json_type_object)) {
        fail(errp, "Parameter '%s' expects an object", path ? path : "arguments");
        return false;
    }
    if (!check_members(path, type, value, errp)) {
        return false;
    }
    variant = variant_of(type, value);
    if (variant && !check_members(path, variant, value, errp)) {
        return false;
    }
    json_object_object_foreach (value, key, unused) {
        (void)unused;
        if (!qmp_type_find_member(type, key) && !(variant && qmp_type_find_member(variant, key))) {
            g_autofree char *name = join(path, key);

            fail(errp, "Parameter '%s' is unexpected", name);
            return false;
        }
    }
    return true;
}

bool qmp_check_object(const QmpType *type, json_object *value, GError **errp)
{
    return check_object(NULL, type, value, errp);
}

bool qmp_check_member(const QmpMember *member, json_object *value, GError **errp)
{
    return check_value(member->name, member->type, member, value, errp);
}

/* ---- binding ---- */

static void *field_of(const QmpMember *member, const void *data)
{
    return (char *)data + member->offset;
}

static bool is_reference(const QmpType *type)
{
    return type->kind == QMP_KIND_ANY || type->kind == QMP_KIND_OBJECT ||
           type->kind == QMP_KIND_ARRAY;
}

static void unbind_member(const QmpMember *member, void *data)
{
    void *field = field_of(member, data);

    if (member->type->kind == QMP_KIND_STR) {
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
    case QMP_KIND_STR:
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
    case QMP_KIND_STR:
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

        if (member->type->kind == QMP_KIND_STR) {
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
    case QMP_KIND_STR:
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
    case QMP_KIND_STR:
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
    case QMP_KIND_ENUM:
        return member->default_str ? json_object_new_string(member->default_str) : NULL;
    case QMP_KIND_ANY:
    case QMP_KIND_OBJECT:
    case QMP_KIND_ARRAY:
        return NULL;
    }
    g_assert_not_reached();
}
