/*
 * The little that evloopctl needs beside json-c: automatic release, strict parsing of one value,
 * and members by name.
 *
 * json-c has no object for JSON's null: it is a NULL pointer. So what may be null is handed out
 * through a parameter, next to a bool that says whether there is a value.
 */
#ifndef CTL_JSON_H
#define CTL_JSON_H

#include <stdbool.h>
#include <glib.h>
#include <json-c/json.h>

G_BEGIN_DECLS

G_DEFINE_AUTOPTR_CLEANUP_FUNC(json_object, json_object_put)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(json_tokener, json_tokener_free)

/* The deepest nesting that is read. The daemon takes requests 1024 deep; an answer may quote one.
 */
#define JSON_MAX_DEPTH 2048

/*
 * Parse @text, which must be exactly one value of RFC 8259 with nothing but white space around it
 * and no number that would lose precision. False and @errp (of CTL_ERROR_USAGE) when it is not.
 * The caller owns @value.
 */
bool json_from_text(const char *text, json_object **value, GError **errp);

/* The member @name of the object @object, which goes on owning it; NULL when @object is no object,
 * has no such member, or has null there. */
json_object *json_member(json_object *object, const char *name);

/* As json_member(), its string; NULL when it is no string. */
const char *json_member_string(json_object *object, const char *name);

/* As json_member(), its array; NULL when it is no array. */
json_object *json_member_array(json_object *object, const char *name);

G_END_DECLS

#endif
