/*
 * Names of arguments that a command does not have, and of properties that an object does not have.
 */
#ifndef CTL_ARGUMENT_NAMES_H
#define CTL_ARGUMENT_NAMES_H

#include "ctl/client.h"

G_BEGIN_DECLS

/* The daemon has refused @command with @error: where it has no argument of a name in @arguments,
 * which may be NULL, those that are near are added to the message. */
void argument_names_hint(Client *client, const char *command, json_object *arguments,
                         GError *error);

/* The same when it has refused to set one of @properties of an object of the type @qom_type. */
void property_names_hint(Client *client, const char *qom_type, json_object *properties,
                         GError *error);

G_END_DECLS

#endif
