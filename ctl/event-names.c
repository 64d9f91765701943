/*
 * Checking names of events, and of members of their data, against the daemon's schema.
 */
#include "ctl/event-names.h"

#include "ctl/error.h"
#include "ctl/near.h"
#include "ctl/schema.h"

/* Fail with that there is no @what called @word, and which of @names, which there are, are near.
 * Always false. */
static bool fail_unknown(const char *what, const char *word, const GPtrArray *names, GError **errp)
{
    g_autofree char *near = near_names(word, names);
    g_autoptr(GString) all = g_string_new(NULL);

    for (guint i = 0; !near && i < names->len; i++) {
        g_string_append_printf(all, "%s%s", i > 0 ? ", " : "", (const char *)names->pdata[i]);
    }
    g_set_error(errp, CTL_ERROR, CTL_ERROR_USAGE, "there is no %s '%s'; %s: %s", what, word,
                near ? "near are" : "there are", near ? near : all->str);
    return false;
}

static bool check_event(const Schema *schema, const char *event, json_object *filters,
                        GError **errp)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();

    schema_foreach_name(schema, "event", schema_take_name, names);
    if (!schema_has_name(schema, "event", event)) {
        return fail_unknown("event", event, names, errp);
    }
    g_ptr_array_set_size(names, 0);
    schema_foreach_event_member(schema, event, schema_take_name, names);
    json_object_object_foreach (filters, name, value) {
        g_autofree char *what = g_strdup_printf("member of %s", event);

        if (!g_ptr_array_find_with_equal_func(names, name, g_str_equal, NULL)) {
            return fail_unknown(what, name, names, errp);
        }
    }
    return true;
}

bool event_names_check(Client *client, const char *const *names, json_object *filters,
                       GError **errp)
{
    g_autoptr(Schema) schema = schema_new(client, errp);

    if (!schema) {
        return false;
    }
    for (; *names; names++) {
        if (!check_event(schema, *names, filters, errp)) {
            return false;
        }
    }
    return true;
}
