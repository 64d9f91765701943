/*
 * Checking JSON values by the typed tables. Errors name the member, with the path to it.
 */
#include "config.h"
#include "qmp/qmp-schema.h"

#include <string.h>

#include "qmp/qmp-error.h"

/* Strings of ours are C strings: none holds a NUL. */
static bool is_c_string(json_object *value)
{
    return json_object_is_type(value, json_type_string) &&
           strlen(json_object_get_string(value)) == (size_t)json_object_get_string_len(value);
}

/* @range is the member that gives its greatest length, or NULL. */
static bool check_str(const char *name, const QmpMember *range, json_object *value, GError **errp)
{
    if (!json_object_is_type(value, json_type_string)) {
        return qmp_error_set(errp, "Parameter '%s' expects a string", name);
    }
    if (!is_c_string(value)) {
        return qmp_error_set(errp, "Parameter '%s' expects a string without the character \\u0000",
                             name);
    }
    if (range && range->max != 0 && json_object_get_string_len(value) > range->max) {
        return qmp_error_set(
            errp, "Parameter '%s' expects a string of at most %" G_GINT64_FORMAT " bytes", name,
            range->max);
    }
    return true;
}

static bool check_str_or_null(const char *name, const QmpType *type, const QmpMember *range,
                              json_object *value, GError **errp)
{
    /* json-c has null as NULL. */
    if (!value) {
        return true;
    }
    if (type->kind == QMP_KIND_NULL) {
        return qmp_error_set(errp, "Parameter '%s' expects null", name);
    }
    if (!json_object_is_type(value, json_type_string)) {
        return qmp_error_set(errp, "Parameter '%s' expects a string or null", name);
    }
    return check_str(name, range, value, errp);
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
    return qmp_error_set(
        errp, "Parameter '%s' expects an integer from %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT,
        name, min, max);
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
    return qmp_error_set(errp, "Parameter '%s' expects one of %s", name, expected->str);
}

static bool check_object(const char *path, const QmpType *type, json_object *value, GError **errp);

static bool check_array(const char *name, const QmpType *type, json_object *value, GError **errp);

/* @range is the member that gives an int's range or a string's length, or NULL. */
static bool check_value(const char *name, const QmpType *type, const QmpMember *range,
                        json_object *value, GError **errp)
{
    switch (type->kind) {
    case QMP_KIND_ANY:
        return true;
    case QMP_KIND_BOOL:
        if (!json_object_is_type(value, json_type_boolean)) {
            return qmp_error_set(errp, "Parameter '%s' expects true or false", name);
        }
        return true;
    case QMP_KIND_INT:
        return check_int(name, range, value, errp);
    case QMP_KIND_STR:
        return check_str(name, range, value, errp);
    case QMP_KIND_NULL:
    case QMP_KIND_STR_OR_NULL:
        return check_str_or_null(name, type, range, value, errp);
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
        return qmp_error_set(errp, "Parameter '%s' expects an array", name);
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
                return qmp_error_set(errp, "Parameter '%s' is read-only", name);
            }
            if (!check_value(name, member->type, member, value, errp)) {
                return false;
            }
        } else if (!(member->flags & QMP_MEMBER_READ_ONLY) &&
                   !qmp_member_is_optional(type, member)) {
            return qmp_error_set(errp, "Parameter '%s' is missing", name);
        }
    }
    return true;
}

static bool check_object(const char *path, const QmpType *type, json_object *value, GError **errp)
{
    const QmpType *variant;

    if (!json_object_is_type(value, json_type_object)) {
        return qmp_error_set(errp, "Parameter '%s' expects an object", path ? path : "arguments");
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

            return qmp_error_set(errp, "Parameter '%s' is unexpected", name);
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
