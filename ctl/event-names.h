/*
 * Names of events that a user types: one that does not exist would be waited for for ever.
 */
#ifndef CTL_EVENT_NAMES_H
#define CTL_EVENT_NAMES_H

#include <stdbool.h>
#include <glib.h>

#include "ctl/client.h"

G_BEGIN_DECLS

/* Ask the daemon of @client whether there are events called @names, up to NULL, whose data have the
 * members of @filters. False when not, and @errp says which are near. */
bool event_names_check(Client *client, const char *const *names, json_object *filters,
                       GError **errp);

G_END_DECLS

#endif
