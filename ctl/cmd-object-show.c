/*
 * evloopctl object list, show and types: tables of what the daemon tells of its objects.
 */
#include "ctl/cmd-object.h"

#include "ctl/error.h"
#include "ctl/object.h"
#include "ctl/print.h"
#include "ctl/schema.h"

static void set_string(json_object *object, const char *key, const char *value)
{
    json_object_object_add(object, key, value ? json_object_new_string(value) : NULL);
}

static bool print_rows(json_object *rows, const char *const *keys, bool json, GError **errp)
{
    return json ? print_json(rows, errp) : print_columns(rows, keys, errp);
}

/* ---- list ---- */

/* The loops that a value names: the id of one, null for the main loop, a list of ids. NULL: none.
 */
static char *loops_of_value(json_object *value)
{
    GString *names = g_string_new(NULL);

    if (!json_object_is_type(value, json_type_array)) {
        g_string_append(names, value ? json_object_get_string(value) : MAIN_LOOP);
    }
    for (size_t i = 0;
         json_object_is_type(value, json_type_array) && i < json_object_array_length(value); i++) {
        g_string_append_printf(names, "%s%s", i > 0 ? "," : "",
                               json_object_get_string(json_object_array_get_idx(value, i)));
    }
    return g_string_free(names, names->len == 0);
}

/* Of what @id works on by the property @name: the loops, or NULL. An object may have gone since it
 * was listed, and most have no such property: neither is an error. */
static bool find_loops(Client *client, const char *id, const char *name, char **loops,
                       GError **errp)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(json_object) value = NULL;

    if (object_get(client, id, name, &value, &error)) {
        *loops = loops_of_value(value);
    } else if (!g_error_matches(error, CTL_ERROR, CTL_ERROR_COMMAND)) {
        g_propagate_error(errp, g_steal_pointer(&error));
        return false;
    }
    return true;
}

/* An object may be spread over several loops; else there is one. */
static bool add_loops(Client *client, const char *id, json_object *row, GError **errp)
{
    g_autofree char *several = NULL;
    g_autofree char *one = NULL;

    if (!find_loops(client, id, OBJECT_PLACE "s", &several, errp) ||
        (!several && !find_loops(client, id, OBJECT_PLACE, &one, errp))) {
        return false;
    }
    set_string(row, "loop", several ? several : one);
    return true;
}

json_object *ctl_object_rows(Client *client, GError **errp)
{
    g_autoptr(json_object) rows = json_object_new_array();
    g_autoptr(json_object) list = object_query(client, "qom-list", "path", "/objects", errp);

    for (size_t i = 0; list && i < json_object_array_length(list); i++) {
        json_object *item = json_object_array_get_idx(list, i);
        const char *id = json_member_string(item, "name");
        g_autofree char *type = object_child_type(item);
        g_autoptr(json_object) row = json_object_new_object();

        if (!id || !type) {
            continue; /* a property of the container itself */
        }
        set_string(row, "id", id);
        set_string(row, "type", type);
        if (!add_loops(client, id, row, errp)) {
            return NULL;
        }
        json_object_array_add(rows, g_steal_pointer(&row));
    }
    return list ? g_steal_pointer(&rows) : NULL;
}

static bool list_run(const CtlCommand *command, Ctl *ctl, char **words, GError **errp)
{
    static const char *const keys[] = { "id", "type", "loop", NULL };
    gboolean json = ctl->json;
    const GOptionEntry options[] = {
        { "json", 0, 0, G_OPTION_ARG_NONE, &json, "Print JSON, not a table", NULL },
        { NULL },
    };
    g_auto(GStrv) rest = ctl_parse(command, ctl, options, words, 0, 0, errp);
    g_autoptr(Client) client = rest ? ctl_connect(ctl, CLIENT_IN_BAND, errp) : NULL;
    g_autoptr(json_object) rows = client ? ctl_object_rows(client, errp) : NULL;

    return rows && print_rows(rows, keys, json, errp);
}

const CtlCommand ctl_object_list = {
    .name = "list",
    .summary = "Show all objects, and the loops that they work on",
    .run = list_run,
};

/* ---- show ---- */

/* A property that is an object is shown member by member. */
static void add_value_rows(json_object *rows, const char *name, json_object *value)
{
    json_object *row;

    if (json_object_is_type(value, json_type_object)) {
        json_object_object_foreach (value, key, member) {
            g_autofree char *path = g_strdup_printf("%s.%s", name, key);

            add_value_rows(rows, path, member);
        }
        return;
    }
    row = json_object_new_object();
    set_string(row, "property", name);
    json_object_object_add(row, "value",
                           value ? json_object_get(value) : json_object_new_string("null"));
    json_object_array_add(rows, row);
}

/* All properties of @id, as an object. NULL and @errp on failure. */
static json_object *get_properties(Client *client, const char *id, GError **errp)
{
    g_autofree char *path = g_strconcat("/objects/", id, NULL);
    g_autoptr(json_object) list = object_query(client, "qom-list", "path", path, errp);
    g_autoptr(json_object) properties = json_object_new_object();

    for (size_t i = 0; list && i < json_object_array_length(list); i++) {
        const char *name = json_member_string(json_object_array_get_idx(list, i), "name");
        json_object *value = NULL;

        if (!name) {
            continue;
        }
        if (!object_get(client, id, name, &value, errp)) {
            return NULL;
        }
        json_object_object_add(properties, name, value);
    }
    return list ? g_steal_pointer(&properties) : NULL;
}

static bool show_run(const CtlCommand *command, Ctl *ctl, char **words, GError **errp)
{
    static const char *const keys[] = { "property", "value", NULL };
    gboolean json = ctl->json;
    const GOptionEntry options[] = {
        { "json", 0, 0, G_OPTION_ARG_NONE, &json, "Print JSON, not a table", NULL },
        { NULL },
    };
    g_auto(GStrv) rest = ctl_parse(command, ctl, options, words, 1, 1, errp);
    g_autoptr(json_object) properties = NULL;
    g_autoptr(json_object) rows = json_object_new_array();
    g_autoptr(Client) client = NULL;

    if (!rest || !object_check_word(rest[0], "ID", errp)) {
        return false;
    }
    client = ctl_connect(ctl, CLIENT_IN_BAND, errp);
    if (!client || !(properties = get_properties(client, rest[0], errp))) {
        return false;
    }
    if (json) {
        return print_json(properties, errp);
    }
    json_object_object_foreach (properties, name, value) {
        add_value_rows(rows, name, value);
    }
    return print_columns(rows, keys, errp);
}

static void show_complete(Ctl *ctl, Completion *completion, char **words)
{
    if (!completion->option && !words[0]) {
        completion_add_objects(completion, ctl, NULL);
    }
}

const CtlCommand ctl_object_show = {
    .name = "show",
    .parameters = "ID",
    .summary = "Show the properties of an object with their values",
    .run = show_run,
    .complete = show_complete,
};

/* ---- types ---- */

/* The name of a property's type, or the words that it can be. */
static char *type_text(const Schema *schema, json_object *tags, json_object *property)
{
    const char *name = json_member_string(property, "name");
    const char *type = json_member_string(property, "type");
    g_auto(GStrv) all = NULL;

    if (name && g_strcmp0(type, "bool") != 0) {
        all = schema_argument_words(schema, "object-add", tags, name);
    }
    return all ? g_strjoinv("|", all) : g_strdup(type);
}

static const char *set_when(json_object *property)
{
    if (json_object_get_boolean(json_member(property, "read-only"))) {
        return "never";
    }
    return json_object_get_boolean(json_member(property, "create-only")) ? "add" : "always";
}

static json_object *property_row(const Schema *schema, json_object *tags, json_object *property)
{
    g_autofree char *type = type_text(schema, tags, property);
    json_object *row = json_object_new_object();

    set_string(row, "property", json_member_string(property, "name"));
    set_string(row, "type", type);
    json_object_object_add(row, "default", json_object_get(json_member(property, "default-value")));
    set_string(row, "set", set_when(property));
    set_string(row, "help", json_member_string(property, "description"));
    return row;
}

static bool show_type(Client *client, const char *name, bool json, GError **errp)
{
    static const char *const keys[] = { "property", "type", "default", "set", "help", NULL };
    g_autoptr(json_object) rows = json_object_new_array();
    g_autoptr(json_object) tags = json_object_new_object();
    g_autoptr(json_object) list =
        object_query(client, "qom-list-properties", "typename", name, errp);
    g_autoptr(Schema) schema = list ? schema_new(client, errp) : NULL;

    if (!schema) {
        return false;
    }
    set_string(tags, "qom-type", name);
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        json_object *property = json_object_array_get_idx(list, i);

        if (g_strcmp0(json_member_string(property, "name"), "type") != 0) {
            json_object_array_add(rows, property_row(schema, tags, property));
        }
    }
    return print_rows(rows, keys, json, errp);
}

static bool show_types(Client *client, bool json, GError **errp)
{
    static const char *const keys[] = { "name", NULL };
    g_autoptr(json_object) list =
        object_query(client, "qom-list-types", "implements", "user-creatable", errp);

    return list && print_rows(list, keys, json, errp);
}

static bool types_run(const CtlCommand *command, Ctl *ctl, char **words, GError **errp)
{
    gboolean json = ctl->json;
    const GOptionEntry options[] = {
        { "json", 0, 0, G_OPTION_ARG_NONE, &json, "Print JSON, not a table", NULL },
        { NULL },
    };
    g_auto(GStrv) rest = ctl_parse(command, ctl, options, words, 0, 1, errp);
    g_autoptr(Client) client = NULL;

    if (!rest || (rest[0] && !object_check_word(rest[0], "TYPE", errp))) {
        return false;
    }
    client = ctl_connect(ctl, CLIENT_IN_BAND, errp);
    if (!client) {
        return false;
    }
    return rest[0] ? show_type(client, rest[0], json, errp) : show_types(client, json, errp);
}

static void types_complete(Ctl *ctl, Completion *completion, char **words)
{
    if (!completion->option && !words[0]) {
        completion_add_types(completion, ctl);
    }
}

const CtlCommand ctl_object_types = {
    .name = "types",
    .parameters = "[TYPE]",
    .summary = "Show the types that objects can have, or the properties of one",
    .description =
        "SET is when a property can be set: always, also while the object works; add, when\n"
        "it is added; never, it can only be read.\n",
    .run = types_run,
    .complete = types_complete,
};
