/*
 * Types from query-qmp-schema, in the introspection format of QEMU's QAPI, and from
 * qom-list-properties.
 *
 * The introspection is a flat array of entities; they refer to each other by name, and names of
 * types mean nothing by themselves. A command's "arg-type" is an object type: it has members and,
 * when it has a tag, a variant with further members for each value of the tag.
 */
#include "ctl/arguments.h"
#include "ctl/error.h"
#include "ctl/schema.h"

typedef struct Schema {
    json_object *entities;
    GHashTable *by_name; /* name -> entity; both owned by @entities */
} Schema;

static void schema_clear(Schema *schema)
{
    g_clear_pointer(&schema->by_name, g_hash_table_unref);
    g_clear_pointer(&schema->entities, json_object_put);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Schema, schema_clear)

#define SCHEMA_COMMAND "query-qmp-schema"

/* On a connection for out-of-band commands the main loop may be stuck: so ask out of band, and in
 * band only where the daemon does not serve its schema so. */
static bool ask_schema(Client *client, json_object **entities, GError **errp)
{
    g_autoptr(GError) error = NULL;

    if (client_call_oob(client, SCHEMA_COMMAND, NULL, entities, &error)) {
        return true;
    }
    if (g_error_matches(error, CTL_ERROR, CTL_ERROR_COMMAND)) {
        return client_call(client, SCHEMA_COMMAND, NULL, entities, errp);
    }
    g_propagate_error(errp, g_steal_pointer(&error));
    return false;
}

static bool schema_fetch(Client *client, Schema *schema, GError **errp)
{
    if (!ask_schema(client, &schema->entities, errp)) {
        return false;
    }
    if (!json_object_is_type(schema->entities, json_type_array)) {
        g_set_error(errp, CTL_ERROR, CTL_ERROR_PROTOCOL,
                    SCHEMA_COMMAND ": what it returned is not an array");
        return false;
    }
    schema->by_name = g_hash_table_new(g_str_hash, g_str_equal);
    for (size_t i = 0; i < json_object_array_length(schema->entities); i++) {
        json_object *entity = json_object_array_get_idx(schema->entities, i);
        const char *name = json_member_string(entity, "name");

        if (name) {
            g_hash_table_insert(schema->by_name, (gpointer)name, entity);
        }
    }
    return true;
}

/* ---- looking up ---- */

/* The entity @name of @meta_type (of any when NULL), or NULL. @name may be NULL. */
static json_object *schema_entity(const Schema *schema, const char *name, const char *meta_type)
{
    json_object *entity = name ? g_hash_table_lookup(schema->by_name, name) : NULL;

    if (meta_type && g_strcmp0(json_member_string(entity, "meta-type"), meta_type) != 0) {
        return NULL;
    }
    return entity;
}

/* The "type" of the element of @array whose member @key is @value, or NULL. */
static const char *type_of_element(json_object *array, const char *key, const char *value)
{
    for (size_t i = 0; array && i < json_object_array_length(array); i++) {
        json_object *element = json_object_array_get_idx(array, i);

        if (g_strcmp0(json_member_string(element, key), value) == 0) {
            return json_member_string(element, "type");
        }
    }
    return NULL;
}

/* The object type of the variant of @object that @arguments choose with their tag, or NULL. */
static json_object *chosen_variant(const Schema *schema, json_object *object,
                                   json_object *arguments)
{
    const char *tag = json_member_string(object, "tag");
    const char *value = tag ? json_member_string(arguments, tag) : NULL;

    if (!value) {
        return NULL;
    }
    return schema_entity(
        schema, type_of_element(json_member_array(object, "variants"), "case", value), "object");
}

/* The name of the type of the member @key of @object or of its chosen variant, or NULL. */
static const char *member_type(const Schema *schema, json_object *object, json_object *arguments,
                               const char *key)
{
    const char *type = type_of_element(json_member_array(object, "members"), "name", key);
    json_object *variant = type ? NULL : chosen_variant(schema, object, arguments);

    if (variant) {
        type = type_of_element(json_member_array(variant, "members"), "name", key);
    }
    return type;
}

/* ---- converting ---- */

static ValueType builtin_value_type(const char *json_type)
{
    static const struct {
        const char *name;
        ValueType type;
    } types[] = {
        { "int", VALUE_INT },   { "number", VALUE_NUMBER }, { "boolean", VALUE_BOOL },
        { "null", VALUE_NULL }, { "array", VALUE_ARRAY },   { "object", VALUE_OBJECT },
        { "value", VALUE_ANY },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(types); i++) {
        if (g_strcmp0(types[i].name, json_type) == 0) {
            return types[i].type;
        }
    }
    return VALUE_STRING;
}

/* The type of values of @entity, which is no alternate. */
static ValueType entity_value_type(json_object *entity)
{
    const char *meta_type = json_member_string(entity, "meta-type");

    if (g_strcmp0(meta_type, "builtin") == 0) {
        return builtin_value_type(json_member_string(entity, "json-type"));
    }
    if (g_strcmp0(meta_type, "array") == 0) {
        return VALUE_ARRAY;
    }
    return g_strcmp0(meta_type, "object") == 0 ? VALUE_OBJECT : VALUE_STRING;
}

/* An alternate is one of several types. A word fits strings always, so they are the last resort,
 * which the caller takes. */
static bool alternate_from_word(const Schema *schema, json_object *alternate, const char *word,
                                json_object **value)
{
    json_object *members = json_member_array(alternate, "members");

    for (size_t i = 0; members && i < json_object_array_length(members); i++) {
        json_object *member = json_object_array_get_idx(members, i);
        ValueType type =
            entity_value_type(schema_entity(schema, json_member_string(member, "type"), NULL));

        if (type != VALUE_STRING && value_from_word(type, word, value)) {
            return true;
        }
    }
    return false;
}

bool schema_type_arguments(Client *client, const char *command, json_object *arguments,
                           GError **errp)
{
    g_auto(Schema) schema = { NULL };
    json_object *entity, *object;

    if (!schema_fetch(client, &schema, errp)) {
        return false;
    }
    entity = schema_entity(&schema, command, "command");
    object = schema_entity(&schema, json_member_string(entity, "arg-type"), "object");
    json_object_object_foreach (arguments, key, string) {
        const char *word = json_object_get_string(string);
        json_object *type =
            schema_entity(&schema, member_type(&schema, object, arguments, key), NULL);
        json_object *value = NULL;
        bool fits;

        if (g_strcmp0(json_member_string(type, "meta-type"), "alternate") == 0) {
            fits = alternate_from_word(&schema, type, word, &value);
        } else {
            fits = value_from_word(entity_value_type(type), word, &value);
        }
        if (fits) {
            json_object_object_add(arguments, key, value);
        }
    }
    return true;
}

/* ---- properties ---- */

/* Properties name their types freely: an enumeration's or an object's name among others. */
static ValueType property_value_type(const char *name)
{
    if (!name) {
        return VALUE_STRING;
    }
    if (g_str_has_prefix(name, "int") || g_str_has_prefix(name, "uint") ||
        g_str_equal(name, "size")) {
        return VALUE_INT;
    }
    if (g_str_equal(name, "bool")) {
        return VALUE_BOOL;
    }
    return g_str_equal(name, "number") ? VALUE_NUMBER : VALUE_STRING;
}

bool schema_type_properties(Client *client, const char *qom_type, json_object *properties,
                            GError **errp)
{
    g_autoptr(json_object) question = json_object_new_object();
    g_autoptr(json_object) list = NULL;

    json_object_object_add(question, "typename", json_object_new_string(qom_type));
    if (!client_call(client, "qom-list-properties", question, &list, errp)) {
        return false;
    }
    if (!json_object_is_type(list, json_type_array)) {
        g_set_error(errp, CTL_ERROR, CTL_ERROR_PROTOCOL,
                    "qom-list-properties: what it returned is not an array");
        return false;
    }
    json_object_object_foreach (properties, key, string) {
        ValueType type = property_value_type(type_of_element(list, "name", key));
        json_object *value = NULL;

        if (value_from_word(type, json_object_get_string(string), &value)) {
            json_object_object_add(properties, key, value);
        }
    }
    return true;
}
