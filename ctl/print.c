/*
 * Printing. Nothing that came over the socket reaches the terminal with control characters in it:
 * in JSON they are escaped, and the rest goes through text_clean().
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctl/error.h"
#include "ctl/print.h"
#include "ctl/text.h"

#define JSON_LINE (JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)
#define JSON_INDENTED \
    (JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE)

/* ---- text and JSON ---- */

bool print_text(const char *text, GError **errp)
{
    if (fputs(text, stdout) == EOF || fflush(stdout) == EOF) {
        g_set_error(errp, CTL_ERROR, CTL_ERROR_OUTPUT, "cannot write to stdout: %s",
                    g_strerror(errno));
        return false;
    }
    return true;
}

static bool print_json_with(json_object *value, int flags, GError **errp)
{
    g_autofree char *json = text_escape_json(json_object_to_json_string_ext(value, flags));
    g_autofree char *line = g_strconcat(json, "\n", NULL);

    return print_text(line, errp);
}

bool print_json(json_object *value, GError **errp)
{
    return print_json_with(value, isatty(STDOUT_FILENO) ? JSON_INDENTED : JSON_LINE, errp);
}

bool print_json_line(json_object *value, GError **errp)
{
    return print_json_with(value, JSON_LINE, errp);
}

void print_error(const GError *error)
{
    g_autofree char *message = text_clean(error->message);
    const char *name = g_get_prgname();

    fprintf(stderr, "evloopctl: %s\n", message);
    if (error->domain == G_OPTION_ERROR || g_error_matches(error, CTL_ERROR, CTL_ERROR_USAGE)) {
        fprintf(stderr, "Try '%s%s'.\n", name, *name ? " --help" : "help");
    }
}

/* ---- tables ---- */

/* What a table may have, so that a short message can't make one that fills the memory: more columns
 * and wider titles are an error, and wider cells are not padded. */
#define MOST_COLUMNS 200
#define WIDEST       1000

typedef struct Column {
    const char *key; /* owned by the row that it was found in, or the caller */
    char *title;
    guint width;
    bool has_number;
    bool has_other; /* what is neither a number nor nothing */
} Column;

static void column_free(gpointer data)
{
    Column *column = data;

    g_free(column->title);
    g_free(column);
}

static char *cell_text(json_object *row, const char *key)
{
    json_object *value = json_member(row, key);

    if (!value) {
        return g_strdup("-");
    }
    if (json_object_is_type(value, json_type_string)) {
        return text_clean(json_object_get_string(value));
    }
    return text_escape_json(json_object_to_json_string_ext(value, JSON_LINE));
}

/* False when there are too many already, or @key is too long. */
static bool column_add(GPtrArray *columns, const char *key)
{
    Column *column;

    for (guint i = 0; i < columns->len; i++) {
        if (g_str_equal(((Column *)columns->pdata[i])->key, key)) {
            return true;
        }
    }
    if (columns->len == MOST_COLUMNS || strlen(key) > WIDEST) {
        return false;
    }
    column = g_new0(Column, 1);
    column->key = key;
    column->title = text_clean(key);
    for (char *p = column->title; *p; p++) {
        *p = g_ascii_toupper(*p);
    }
    column->width = text_width(column->title);
    g_ptr_array_add(columns, column);
    return true;
}

static void column_measure(Column *column, json_object *row)
{
    json_object *value = json_member(row, column->key);
    g_autofree char *text = cell_text(row, column->key);

    column->width = MAX(column->width, MIN(text_width(text), WIDEST));
    if (json_object_is_type(value, json_type_int) || json_object_is_type(value, json_type_double)) {
        column->has_number = true;
    } else if (value) {
        column->has_other = true;
    }
}

/* The columns for @keys, or for all that there are when it is NULL; NULL when they are too many or
 * too long. */
static GPtrArray *find_columns(json_object *rows, const char *const *keys)
{
    g_autoptr(GPtrArray) columns = g_ptr_array_new_with_free_func(column_free);

    for (; keys && *keys; keys++) {
        if (!column_add(columns, *keys)) {
            return NULL;
        }
    }
    if (columns->len == 0) {
        column_add(columns, "id");
    }
    for (size_t i = 0; !keys && i < json_object_array_length(rows); i++) {
        json_object_object_foreach (json_object_array_get_idx(rows, i), key, value) {
            if (!column_add(columns, key)) {
                return NULL;
            }
        }
    }
    for (guint i = 0; i < columns->len; i++) {
        for (size_t row = 0; row < json_object_array_length(rows); row++) {
            column_measure(columns->pdata[i], json_object_array_get_idx(rows, row));
        }
    }
    return g_steal_pointer(&columns);
}

static void append_cell(GString *line, const Column *column, const char *text)
{
    int padding = (int)column->width - (int)MIN(column->width, text_width(text));

    if (column->has_number && !column->has_other) {
        g_string_append_printf(line, "%*s%s", padding, "", text);
    } else {
        g_string_append_printf(line, "%s%*s", text, padding, "");
    }
}

/* Append the line of @row, or that of the titles when it is NULL. */
static void append_line(GString *table, GPtrArray *columns, json_object *row)
{
    for (guint i = 0; i < columns->len; i++) {
        const Column *column = columns->pdata[i];
        g_autofree char *text = row ? cell_text(row, column->key) : g_strdup(column->title);

        append_cell(table, column, text);
        g_string_append(table, i + 1 < columns->len ? "  " : "");
    }
    g_string_truncate(table, strlen(g_strchomp(table->str)));
    g_string_append_c(table, '\n');
}

bool print_table(json_object *rows, GError **errp)
{
    return print_columns(rows, NULL, errp);
}

/* The caller owns it. NULL and @errp when @rows are none. */
static GString *make_table(json_object *rows, const char *const *keys, GError **errp)
{
    g_autoptr(GPtrArray) columns = NULL;
    GString *table;
    bool good = json_object_is_type(rows, json_type_array);

    for (size_t i = 0; good && i < json_object_array_length(rows); i++) {
        good = json_object_is_type(json_object_array_get_idx(rows, i), json_type_object);
    }
    if (!good) {
        g_set_error(errp, CTL_ERROR, CTL_ERROR_PROTOCOL, "what it returned is not a list");
        return NULL;
    }
    columns = find_columns(rows, keys);
    if (!columns) {
        g_set_error(errp, CTL_ERROR, CTL_ERROR_PROTOCOL,
                    "what it returned has too many or too long members for a table");
        return NULL;
    }
    table = g_string_new(NULL);
    append_line(table, columns, NULL);
    for (size_t i = 0; i < json_object_array_length(rows); i++) {
        append_line(table, columns, json_object_array_get_idx(rows, i));
    }
    return table;
}

bool print_columns(json_object *rows, const char *const *keys, GError **errp)
{
    g_autoptr(GString) table = make_table(rows, keys, errp);

    return table && print_text(table->str, errp);
}

char **table_lines(json_object *rows, const char *const *keys, GError **errp)
{
    g_autoptr(GString) table = make_table(rows, keys, errp);

    return table ? g_strsplit(table->str, "\n", -1) : NULL;
}
