/*
 * Results for people. A list of objects is a table, or, where that is wider than the terminal, a
 * block of lines for each. An object is a line for each member, those of members that are objects
 * among them. What is nested deeper, or in a list, is JSON.
 */
#include "ctl/result.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include "ctl/print.h"
#include "ctl/text.h"

#define USUAL_COLUMNS 80
#define GAP           "  "

/* So that a short message can't become a text that fills the memory. */
#define DEEPEST     16   /* objects in one another that are taken apart */
#define WIDEST_NAME 1000 /* what is wider is cut */
#define MOST_KEYS   200  /* of a table */

static char *value_text(json_object *value)
{
    if (json_object_is_type(value, json_type_string)) {
        return text_clean(json_object_get_string(value));
    }
    return text_escape_json(json_object_to_json_string_ext(
        value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
}

/* ---- names and values ---- */

/* Call @func with each member, and in place of a member that is an object with each of its, down
 * to @depth. */
static void foreach_leaf(json_object *object, const char *prefix, int depth,
                         void (*func)(const char *name, json_object *value, void *opaque),
                         void *opaque)
{
    json_object_object_foreach (object, key, value) {
        g_autofree char *clean = text_clean(key);
        g_autofree char *name = g_strconcat(prefix, clean, NULL);
        g_autofree char *inner = g_strconcat(name, ".", NULL);

        if (depth > 0 && json_object_is_type(value, json_type_object) &&
            json_object_object_length(value) > 0) {
            foreach_leaf(value, inner, depth - 1, func, opaque);
        } else {
            func(name, value, opaque);
        }
    }
}

static void measure_leaf(const char *name, json_object *value, void *width)
{
    guint *widest = width;

    *widest = MAX(*widest, text_width(name));
}

typedef struct Lines {
    GString *text;
    guint width; /* of the names */
} Lines;

static void append_leaf(const char *name, json_object *value, void *opaque)
{
    Lines *lines = opaque;
    g_autofree char *text = value_text(value);

    text_append_cell(lines->text, name, lines->width, false);
    g_string_append_printf(lines->text, GAP "%s\n", text);
}

static void append_object(GString *text, json_object *object)
{
    Lines lines = { text, 0 };

    foreach_leaf(object, "", DEEPEST, measure_leaf, &lines.width);
    lines.width = MIN(lines.width, WIDEST_NAME);
    foreach_leaf(object, "", DEEPEST, append_leaf, &lines);
}

/* ---- lists ---- */

static bool is_list_of_objects(json_object *list)
{
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        if (!json_object_is_type(json_object_array_get_idx(list, i), json_type_object)) {
            return false;
        }
    }
    return true;
}

/* The names of all members that any of @rows has, "id" first, up to NULL; the caller frees the
 * array, the names are those of the rows. NULL when they are too many. */
static const char **find_keys(json_object *rows)
{
    g_autoptr(GPtrArray) keys = g_ptr_array_new();
    guint index;

    for (size_t i = 0; i < json_object_array_length(rows); i++) {
        json_object_object_foreach (json_object_array_get_idx(rows, i), key, value) {
            if (!g_ptr_array_find_with_equal_func(keys, key, g_str_equal, NULL)) {
                g_ptr_array_add(keys, key);
            }
            if (keys->len > MOST_KEYS) {
                return NULL;
            }
        }
    }
    if (g_ptr_array_find_with_equal_func(keys, "id", g_str_equal, &index)) {
        g_ptr_array_insert(keys, 0, g_ptr_array_remove_index(keys, index));
    }
    g_ptr_array_add(keys, NULL);
    return (const char **)g_ptr_array_free(g_steal_pointer(&keys), FALSE);
}

static bool append_table(GString *text, json_object *rows, guint columns)
{
    g_autofree const char **keys = find_keys(rows);
    g_auto(GStrv) lines = keys && keys[0] ? table_lines(rows, keys, NULL) : NULL;
    g_autofree char *joined = NULL;

    if (!lines) {
        return false; /* too many, or all of the rows are empty */
    }
    for (char **line = lines; *line; line++) {
        if (columns > 0 && text_width(*line) > columns) {
            return false;
        }
    }
    joined = g_strjoinv("\n", lines); /* the last line is empty */
    g_string_append(text, joined);
    return true;
}

static void append_blocks(GString *text, json_object *rows)
{
    for (size_t i = 0; i < json_object_array_length(rows); i++) {
        g_string_append(text, i > 0 ? "\n" : "");
        append_object(text, json_object_array_get_idx(rows, i));
    }
}

static void append_values(GString *text, json_object *list)
{
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        g_autofree char *line = value_text(json_object_array_get_idx(list, i));

        g_string_append_printf(text, "%s\n", line);
    }
}

static void append_list(GString *text, json_object *list, guint columns)
{
    if (json_object_array_length(list) == 0) {
        g_string_append(text, "(none)\n");
    } else if (!is_list_of_objects(list)) {
        append_values(text, list);
    } else if (!append_table(text, list, columns)) {
        append_blocks(text, list);
    }
}

/* ---- all of it ---- */

/* For people, in lines of @columns at most where a table can be avoided; 0: however long. The
 * caller frees it. */
static char *to_text(json_object *value, guint columns)
{
    GString *text = g_string_new(NULL);

    if (json_object_is_type(value, json_type_array)) {
        append_list(text, value, columns);
    } else if (json_object_is_type(value, json_type_object)) {
        append_object(text, value);
    } else {
        g_autofree char *line = value_text(value);

        g_string_append_printf(text, "%s\n", line);
    }
    return g_string_free(text, FALSE);
}

/* How wide a line may be; 0 where there is no terminal. */
static guint output_columns(void)
{
    struct winsize size = { 0 };

    if (!isatty(STDOUT_FILENO)) {
        return 0;
    }
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col
                                                                           : USUAL_COLUMNS;
}

bool result_print(json_object *value, ResultFormat format, GError **errp)
{
    g_autofree char *text = NULL;

    if (format == RESULT_JSON || (format == RESULT_AUTO && !isatty(STDOUT_FILENO))) {
        return print_json(value, errp);
    }
    text = to_text(value, output_columns());
    return print_text(text, errp);
}
