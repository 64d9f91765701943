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

struct Schema {
    json_object *entities;
    GHashTable *by_name; /* name -> entity; both owned by @entities */
};

void schema_free(Schema *schema)
{
    g_hash_table_unref(schema->by_name);
    json_object_put(schema->entities);
    g_free(schema);
}

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

Schema *schema_new(Client *client, GError **errp)
{
    g_autoptr(Schema) schema = g_new0(Schema, 1);

    schema->by_name = g_hash_table_new(g_str_hash, g_str_equal);
    if (!ask_schema(client, &schema->entities, errp)) {
        return NULL;
    }
    if (!json_object_is_type(schema->entities, json_type_array)) {
        g_set_error(errp, CTL_ERROR, CTL_ERROR_PROTOCOL,
                    SCHEMA_COMMAND ": what it returned is not an array");
        return NULL;
    }
    for (size_t i = 0; i < json_object_array_length(schema->entities); i++) {
        json_object *entity = json_object_array_get_idx(schema->entities, i);
        const char *name = json_member_string(entity, "name");

        if (name) {
            g_hash_table_insert(schema->by_name, (gpointer)name, entity);
        }
    }
    return g_steal_pointer(&schema);
}

/* ---- looking up ---- */

json_object *schema_entity(const Schema *schema, const char *name, const char *meta_type)
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

/* An array of strings may be given as words with commas between them. */
static bool strings_from_word(json_object *type, const char *word, json_object **value)
{
    g_auto(GStrv) words = NULL;

    if (g_strcmp0(json_member_string(type, "element-type"), "str") != 0 || *word == '[') {
        return false;
    }
    words = g_strsplit(word, ",", -1); /* none for an empty word */
    *value = json_object_new_array();
    for (char **p = words; *p; p++) {
        json_object_array_add(*value, json_object_new_string(*p));
    }
    return true;
}

/* The object type of the arguments of @command, or NULL. */
static json_object *arguments_type(const Schema *schema, const char *command)
{
    json_object *entity = schema_entity(schema, command, "command");

    return schema_entity(schema, json_member_string(entity, "arg-type"), "object");
}

/* Give the strings in @values the types that they have as arguments of @command, where @tags
 * chooses which there are. */
static void type_values(const Schema *schema, const char *command, json_object *tags,
                        json_object *values)
{
    json_object *object = arguments_type(schema, command);

    json_object_object_foreach (values, key, string) {
        const char *word = json_object_get_string(string);
        json_object *type = schema_entity(schema, member_type(schema, object, tags, key), NULL);
        json_object *value = NULL;
        bool fits;

        if (g_strcmp0(json_member_string(type, "meta-type"), "alternate") == 0) {
            fits = alternate_from_word(schema, type, word, &value);
        } else {
            fits = value_from_word(entity_value_type(type), word, &value) ||
                   strings_from_word(type, word, &value);
        }
        if (fits) {
            json_object_object_add(values, key, value);
        }
    }
}

bool schema_type_arguments(Client *client, const char *command, json_object *arguments,
                           GError **errp)
{
    g_autoptr(Schema) schema = schema_new(client, errp);

    if (!schema) {
        return false;
    }
    type_values(schema, command, arguments, arguments);
    return true;
}

bool schema_type_object(Client *client, const char *qom_type, json_object *properties,
                        GError **errp)
{
    g_autoptr(Schema) schema = schema_new(client, errp);
    g_autoptr(json_object) tags = json_object_new_object();

    if (!schema) {
        return false;
    }
    json_object_object_add(tags, "qom-type", json_object_new_string(qom_type));
    type_values(schema, "object-add", tags, properties);
    return true;
}

/* ---- what there is ---- */

static void foreach_entity(const Schema *schema, const char *meta_type, bool oob_only,
                           void (*func)(const char *name, void *opaque), void *opaque)
{
    for (size_t i = 0; i < json_object_array_length(schema->entities); i++) {
        json_object *entity = json_object_array_get_idx(schema->entities, i);
        const char *name = json_member_string(entity, "name");

        if (name && g_strcmp0(json_member_string(entity, "meta-type"), meta_type) == 0 &&
            (!oob_only || json_object_get_boolean(json_member(entity, "allow-oob")))) {
            func(name, opaque);
        }
    }
}

void schema_take_name(const char *name, void *names)
{
    g_ptr_array_add(names, (gpointer)name);
}

void schema_foreach_name(const Schema *schema, const char *meta_type,
                         void (*func)(const char *name, void *opaque), void *opaque)
{
    foreach_entity(schema, meta_type, false, func, opaque);
}

void schema_foreach_oob_command(const Schema *schema, void (*func)(const char *name, void *opaque),
                                void *opaque)
{
    foreach_entity(schema, "command", true, func, opaque);
}

static void foreach_member(json_object *object, void (*func)(const char *name, void *opaque),
                           void *opaque)
{
    json_object *members = json_member_array(object, "members");

    for (size_t i = 0; members && i < json_object_array_length(members); i++) {
        const char *name = json_member_string(json_object_array_get_idx(members, i), "name");

        if (name) {
            func(name, opaque);
        }
    }
}

bool schema_has_name(const Schema *schema, const char *meta_type, const char *name)
{
    return schema_entity(schema, name, meta_type) != NULL;
}

void schema_foreach_event_member(const Schema *schema, const char *event,
                                 void (*func)(const char *name, void *opaque), void *opaque)
{
    json_object *entity = schema_entity(schema, event, "event");

    foreach_member(schema_entity(schema, json_member_string(entity, "arg-type"), "object"), func,
                   opaque);
}

void schema_foreach_argument(const Schema *schema, const char *command, json_object *arguments,
                             void (*func)(const char *name, void *opaque), void *opaque)
{
    json_object *object = arguments_type(schema, command);

    foreach_member(object, func, opaque);
    foreach_member(chosen_variant(schema, object, arguments), func, opaque);
}

char **schema_argument_words(const Schema *schema, const char *command, json_object *arguments,
                             const char *key)
{
    json_object *object = arguments_type(schema, command);
    json_object *type = schema_entity(schema, member_type(schema, object, arguments, key), NULL);
    json_object *values = json_member_array(type, "values");
    g_autoptr(GStrvBuilder) words = g_strv_builder_new();

    if (type && entity_value_type(type) == VALUE_BOOL) {
        g_strv_builder_add_many(words, "on", "off", NULL);
    } else if (!values) {
        return NULL;
    }
    for (size_t i = 0; values && i < json_object_array_length(values); i++) {
        json_object *value = json_object_array_get_idx(values, i);

        if (json_object_is_type(value, json_type_string)) {
            g_strv_builder_add(words, json_object_get_string(value));
        }
    }
    return g_strv_builder_end(words);
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
