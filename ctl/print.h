/*
 * What evloopctl writes: results on stdout, errors on stderr.
 *
 * Everything is flushed at once, and whatever stdout does not take is an error: a result that got
 * lost must not look like success.
 */
#ifndef CTL_PRINT_H
#define CTL_PRINT_H

#include <stdbool.h>
#include <glib.h>

#include "ctl/json.h"

G_BEGIN_DECLS

/* Print @text as it is. */
bool print_text(const char *text, GError **errp);

/* Print @value (NULL is null): indented on a terminal, else in one line. */
bool print_json(json_object *value, GError **errp);

/* Print @value in one line. */
bool print_json_line(json_object *value, GError **errp);

/*
 * Print @rows, an array of objects, as a table: a line for each, a column for each member that any
 * has, in the order in which they come up, but "id" first.
 */
bool print_table(json_object *rows, GError **errp);

/* The same with a column for each of @keys, which end with NULL, and no other. */
bool print_columns(json_object *rows, const char *const *keys, GError **errp);

/* The lines of that table, those of the titles first, up to NULL; the caller frees them. NULL and
 * @errp when @rows are none. */
char **table_lines(json_object *rows, const char *const *keys, GError **errp);

/* Print "evloopctl: " and the message of @error on stderr, in one line; for wrong usage, a second
 * line says where help is. */
void print_error(const GError *error);

G_END_DECLS

#endif
