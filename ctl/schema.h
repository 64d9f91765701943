/*
 * The types of arguments and properties, as the daemon itself describes them.
 */
#ifndef CTL_SCHEMA_H
#define CTL_SCHEMA_H

#include <stdbool.h>
#include <glib.h>

#include "ctl/client.h"
#include "ctl/json.h"

G_BEGIN_DECLS

/*
 * Give the values of @arguments, strings so far, the types that the daemon's schema has for the
 * arguments of @command. What it does not know, or does not fit, stays a string. False and @errp
 * when the daemon can't be asked.
 */
bool schema_type_arguments(Client *client, const char *command, json_object *arguments,
                           GError **errp);

/* The same for the values of properties of the object type @qom_type. */
bool schema_type_properties(Client *client, const char *qom_type, json_object *properties,
                            GError **errp);

G_END_DECLS

#endif
