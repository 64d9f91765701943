/*
 * Calls of object-add, object-del, qom-get, qom-set and qom-list.
 */
#include <string.h>

#include "ctl/argument-names.h"
#include "ctl/arguments.h"
#include "ctl/error.h"
#include "ctl/object.h"
#include "ctl/schema.h"

bool object_check_word(const char *id, const char *what, GError **errp)
{
    if (!g_utf8_validate(id, -1, NULL)) {
        g_set_error(errp, CTL_ERROR, CTL_ERROR_USAGE, "the %s is not UTF-8", what);
        return false;
    }
    return true;
}

static void set_string(json_object *object, const char *key, const char *value)
{
    json_object_object_add(object, key, json_object_new_string(value));
}

/* ---- add, del ---- */

json_object *object_add_arguments(const char *type, const char *id, char **words, GError **errp)
{
    g_autoptr(json_object) arguments = json_object_new_object();

    if (!object_check_word(type, "TYPE", errp) || !object_check_word(id, "ID", errp)) {
        return NULL;
    }
    set_string(arguments, "qom-type", type);
    set_string(arguments, "id", id);
    return arguments_add_words(arguments, words, errp) ? g_steal_pointer(&arguments) : NULL;
}

bool object_add(Client *client, json_object *arguments, GError **errp)
{
    bool has_properties = json_object_object_length(arguments) > 2;
    GError *error = NULL;

    if ((!has_properties || schema_type_arguments(client, "object-add", arguments, &error)) &&
        client_call(client, "object-add", arguments, NULL, &error)) {
        return true;
    }
    if (has_properties) {
        argument_names_hint(client, "object-add", arguments, error);
    }
    g_propagate_error(errp, error);
    return false;
}

bool object_del(Client *client, const char *id, GError **errp)
{
    g_autoptr(json_object) arguments = json_object_new_object();

    set_string(arguments, "id", id);
    return client_call(client, "object-del", arguments, NULL, errp);
}

/* ---- properties ---- */

static json_object *property_arguments(const char *id, const char *name)
{
    g_autofree char *path = g_strconcat("/objects/", id, NULL);
    json_object *arguments = json_object_new_object();

    set_string(arguments, "path", path);
    set_string(arguments, "property", name);
    return arguments;
}

bool object_set(Client *client, const char *id, const char *name, json_object *value, GError **errp)
{
    g_autoptr(json_object) arguments = property_arguments(id, name);

    json_object_object_add(arguments, "value", json_object_get(value));
    if (!client_call(client, "qom-set", arguments, NULL, errp)) {
        g_prefix_error(errp, "%s: ", name);
        return false;
    }
    return true;
}

bool object_set_all(Client *client, const char *id, json_object *properties, GError **errp)
{
    json_object_object_foreach (properties, name, value) {
        if (!object_set(client, id, name, value, errp)) {
            return false;
        }
    }
    return true;
}

bool object_get(Client *client, const char *id, const char *name, json_object **value,
                GError **errp)
{
    g_autoptr(json_object) arguments = property_arguments(id, name);

    return client_call(client, "qom-get", arguments, value, errp);
}

char *object_type(Client *client, const char *id, GError **errp)
{
    g_autoptr(json_object) type = NULL;

    if (!object_get(client, id, "type", &type, errp)) {
        return NULL;
    }
    if (!json_object_is_type(type, json_type_string)) {
        g_set_error(errp, CTL_ERROR, CTL_ERROR_PROTOCOL, "qom-get: the type is not a string");
        return NULL;
    }
    return g_strdup(json_object_get_string(type));
}

/* ---- lists ---- */

char *object_child_type(json_object *item)
{
    const char *type = json_member_string(item, "type");
    size_t length = type ? strlen(type) : 0;

    if (!type || !g_str_has_prefix(type, "child<") || type[length - 1] != '>') {
        return NULL;
    }
    return g_strndup(type + strlen("child<"), length - strlen("child<>"));
}

json_object *object_query(Client *client, const char *command, const char *key, const char *value,
                          GError **errp)
{
    g_autoptr(json_object) arguments = json_object_new_object();
    g_autoptr(json_object) list = NULL;

    if (key) {
        set_string(arguments, key, value);
    }
    if (!client_call(client, command, key ? arguments : NULL, &list, errp)) {
        return NULL;
    }
    if (!json_object_is_type(list, json_type_array)) {
        g_set_error(errp, CTL_ERROR, CTL_ERROR_PROTOCOL, "%s: what it returned is not a list",
                    command);
        return NULL;
    }
    return g_steal_pointer(&list);
}
