/*
 * Saying what was meant, perhaps, where the daemon does not know a name. It alone refuses names: it
 * may take more than it tells of.
 */
#include "ctl/argument-names.h"

#include "ctl/error.h"
#include "ctl/near.h"
#include "ctl/object.h"
#include "ctl/schema.h"

/* Add to @error what of @names is near those of @given that are none of them. */
static void add_hints(GError *error, json_object *given, const GPtrArray *names)
{
    json_object_object_foreach (given, name, value) {
        bool is_known =
            g_ptr_array_find_with_equal_func((GPtrArray *)names, name, g_str_equal, NULL);
        g_autofree char *near = is_known ? NULL : near_names(name, names);
        g_autofree char *hint = near ? g_strdup_printf("; near '%s' are: %s", name, near) : NULL;

        if (hint) {
            ctl_error_append(error, hint);
        }
    }
}

void argument_names_hint(Client *client, const char *command, json_object *arguments, GError *error)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    g_autoptr(Schema) schema = NULL;

    if (!arguments || !g_error_matches(error, CTL_ERROR, CTL_ERROR_COMMAND)) {
        return;
    }
    schema = schema_new(client, NULL);
    if (schema) {
        schema_foreach_argument(schema, command, arguments, schema_take_name, names);
        add_hints(error, arguments, names);
    }
}

void property_names_hint(Client *client, const char *qom_type, json_object *properties,
                         GError *error)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    g_autoptr(json_object) list = NULL;

    if (!g_error_matches(error, CTL_ERROR, CTL_ERROR_COMMAND)) {
        return;
    }
    list = object_query(client, "qom-list-properties", "typename", qom_type, NULL);
    for (size_t i = 0; list && i < json_object_array_length(list); i++) {
        const char *name = json_member_string(json_object_array_get_idx(list, i), "name");

        if (name) {
            g_ptr_array_add(names, (gpointer)name);
        }
    }
    add_hints(error, properties, names);
}
