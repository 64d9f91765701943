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

typedef struct Schema Schema;

/* Ask the daemon for its schema, out of band where the connection is for that. NULL and @errp when
 * it can't be had. The caller owns it. */
Schema *schema_new(Client *client, GError **errp);

void schema_free(Schema *schema);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Schema, schema_free)

/* A @func for what follows: adds @name, which is the schema's, to @names, a GPtrArray. */
void schema_take_name(const char *name, void *names);

/* Call @func with the name of each entity of this meta-type: "command", "event". */
void schema_foreach_name(const Schema *schema, const char *meta_type,
                         void (*func)(const char *name, void *opaque), void *opaque);

/* The same with the names of commands that can be run out of band. */
void schema_foreach_oob_command(const Schema *schema, void (*func)(const char *name, void *opaque),
                                void *opaque);

/* The entity @name of @meta_type (of any when NULL), an object of the introspection, which the
 * schema owns; NULL when there is none, or @name is NULL. */
json_object *schema_entity(const Schema *schema, const char *name, const char *meta_type);

/* Whether there is an entity @name of this meta-type. */
bool schema_has_name(const Schema *schema, const char *meta_type, const char *name);

/* Call @func with the name of each member of the data of the event @event. */
void schema_foreach_event_member(const Schema *schema, const char *event,
                                 void (*func)(const char *name, void *opaque), void *opaque);

/* Call @func with the name of each argument of @command; the values in @arguments, an object,
 * choose which further ones there are. */
void schema_foreach_argument(const Schema *schema, const char *command, json_object *arguments,
                             void (*func)(const char *name, void *opaque), void *opaque);

/* The words that the argument @key of @command can be, up to NULL, where these are but a few, as
 * those of an enumeration; else NULL. The caller frees them. */
char **schema_argument_words(const Schema *schema, const char *command, json_object *arguments,
                             const char *key);

/*
 * Give the values of @arguments, strings so far, the types that the daemon's schema has for the
 * arguments of @command. What it does not know, or does not fit, stays a string. False and @errp
 * when the daemon can't be asked.
 */
bool schema_type_arguments(Client *client, const char *command, json_object *arguments,
                           GError **errp);

/* The same for @properties, which are to be those of an object of type @qom_type. */
bool schema_type_object(Client *client, const char *qom_type, json_object *properties,
                        GError **errp);

/* The same by the list of properties of the object type @qom_type. */
bool schema_type_properties(Client *client, const char *qom_type, json_object *properties,
                            GError **errp);

G_END_DECLS

#endif
