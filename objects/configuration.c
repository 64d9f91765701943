/*
 * What a configuration asks for.
 */
#include "config.h"
#include "objects/configuration.h"

#include "objects/object-path.h"
#include "objects/object-types.h"
#include "qmp/qmp-error.h"

static void configured_object_free(ConfiguredObject *object)
{
    json_object_put(object->values);
    g_free(object->id);
    g_free(object->where);
    g_free(object);
}

Configuration *configuration_new(void)
{
    Configuration *configuration = g_new(Configuration, 1);

    configuration->objects = g_ptr_array_new_with_free_func((GDestroyNotify)configured_object_free);
    configuration->by_id = g_hash_table_new(g_str_hash, g_str_equal);
    return configuration;
}

void configuration_free(Configuration *configuration)
{
    g_hash_table_unref(configuration->by_id);
    g_ptr_array_unref(configuration->objects);
    g_free(configuration);
}

static const char *member_string(json_object *object, const char *name)
{
    return json_object_get_string(json_object_object_get(object, name));
}

/* The members of @arguments that are properties. */
static json_object *select_values(const ObjectType *type, json_object *arguments)
{
    json_object *values = json_object_new_object();

    json_object_object_foreach (arguments, name, value) {
        if (qmp_type_find_member(type->properties, name)) {
            json_object_object_add(values, name, json_object_get(value));
        }
    }
    return values;
}

bool configuration_add_object(Configuration *configuration, json_object *arguments,
                              const char *where, GError **errp)
{
    const ObjectType *type = object_type_find(member_string(arguments, object_type_variants.tag));
    const char *id = member_string(arguments, "id");
    const ConfiguredObject *former = g_hash_table_lookup(configuration->by_id, id);
    ConfiguredObject *object;

    if (!object_check_id(id, errp)) {
        return false;
    }
    if (former) {
        return qmp_error_set(errp, "Object '%s' is asked for already, by %s", id, former->where);
    }
    object = g_new(ConfiguredObject, 1);
    *object = (ConfiguredObject){
        .type = type,
        .id = g_strdup(id),
        .values = select_values(type, arguments),
        .where = g_strdup(where),
    };
    g_ptr_array_add(configuration->objects, object);
    g_hash_table_insert(configuration->by_id, object->id, object);
    return true;
}

bool configuration_set_property(Configuration *configuration, const char *path, const char *name,
                                json_object *value, GError **errp)
{
    g_autofree char *id = object_path_to_id(path);
    ConfiguredObject *object = id ? g_hash_table_lookup(configuration->by_id, id) : NULL;
    const QmpMember *property;

    if (!object) {
        return qmp_error_set(errp, "There is no object-add before this for path '%s'", path);
    }
    property = qmp_type_find_member(object->type->properties, name);
    if (!property) {
        return qmp_error_set(errp, "Object '%s', of type '%s', has no property '%s'", id,
                             object->type->name, name);
    }
    if (property->flags & QMP_MEMBER_READ_ONLY) {
        return qmp_error_set(errp, "Property '%s' is read-only", name);
    }
    if (property->flags & QMP_MEMBER_CREATE_ONLY) {
        return qmp_error_set(errp, "Property '%s' can only be set when the object is added", name);
    }
    if (!qmp_check_member(property, value, errp)) {
        return false;
    }
    json_object_object_add(object->values, name, json_object_get(value));
    return true;
}
