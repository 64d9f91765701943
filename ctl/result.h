/*
 * What a command of the daemon returned, for whoever reads it: JSON for programs, and for people a
 * table, lines of names and values, or the bare value.
 */
#ifndef CTL_RESULT_H
#define CTL_RESULT_H

#include <stdbool.h>
#include <glib.h>

#include "ctl/json.h"

G_BEGIN_DECLS

typedef enum {
    RESULT_AUTO, /* for people on a terminal, else JSON */
    RESULT_JSON,
    RESULT_TABLE,
} ResultFormat;

/* Print @value (NULL is null). False and @errp when stdout takes no more. */
bool result_print(json_object *value, ResultFormat format, GError **errp);

G_END_DECLS

#endif
