/*
 * The daemon's commands for objects, as functions.
 */
#ifndef CTL_OBJECT_H
#define CTL_OBJECT_H

#include <stdbool.h>
#include <glib.h>

#include "ctl/client.h"
#include "ctl/json.h"

G_BEGIN_DECLS

/* The property that says which IOThread an object works on, and what evloopctl calls its null. */
#define OBJECT_PLACE "iothread"
#define MAIN_LOOP    "main-loop"

/* Whether the word @id, which a user gave as @what, can be sent at all. */
bool object_check_word(const char *id, const char *what, GError **errp);

/* The arguments of object-add for a type, an id, and the words "name=value" up to NULL, as strings.
 * NULL and @errp when they are wrong. The caller owns it. */
json_object *object_add_arguments(const char *type, const char *id, char **words, GError **errp);

/* Add what object_add_arguments() made, its values given their types when there are any. */
bool object_add(Client *client, json_object *arguments, GError **errp);

bool object_del(Client *client, const char *id, GError **errp);

/* Set one property. The error begins with its name. */
bool object_set(Client *client, const char *id, const char *name, json_object *value,
                GError **errp);

/* Set each member of @properties, one after another, up to the first that fails. */
bool object_set_all(Client *client, const char *id, json_object *properties, GError **errp);

/* Get one property; the caller owns @value. */
bool object_get(Client *client, const char *id, const char *name, json_object **value,
                GError **errp);

/* The type of an object; the caller frees it. NULL and @errp when there is none. */
char *object_type(Client *client, const char *id, GError **errp);

/* The type that qom-list calls "child<TYPE>"; the caller frees it. NULL when it is no child. */
char *object_child_type(json_object *item);

/* Call a command that returns a list, with one argument or none (@key is NULL). NULL and @errp when
 * it fails or returns something else. The caller owns it. */
json_object *object_query(Client *client, const char *command, const char *key, const char *value,
                          GError **errp);

G_END_DECLS

#endif
