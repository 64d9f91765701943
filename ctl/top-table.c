/*
 * Columns, order and lines of the tables of 'evloopctl top'.
 */
#include <math.h>
#include <string.h>

#include "ctl/text.h"
#include "ctl/top-model.h"
#include "ctl/top-table.h"

#define SHORTEST_TEXT 8 /* columns that a text is not cut below */

static const TopColumn loop_columns[] = {
    { "loop", "LOOP", .text = true, .identity = true, .min_width = 12,
      .offset = offsetof(TopLoopRow, loop) },
    { "state", "STATE", .text = true, .min_width = 8, .offset = offsetof(TopLoopRow, state) },
    { "for", "FOR-MS", .decimals = 1, .min_width = 7, .offset = offsetof(TopLoopRow, state_ms) },
    { "busy", "BUSY%", .decimals = 1, .min_width = 5, .offset = offsetof(TopLoopRow, busy) },
    { "polling", "POLL%", .decimals = 1, .min_width = 5, .offset = offsetof(TopLoopRow, polling) },
    { "blocked", "BLOCK%", .decimals = 1, .min_width = 6, .offset = offsetof(TopLoopRow, blocked) },
    { "passes", "PASSES/S", .decimals = 1, .min_width = 8, .offset = offsetof(TopLoopRow, passes) },
    { "calls", "CALLS/S", .decimals = 1, .min_width = 8, .offset = offsetof(TopLoopRow, calls) },
    { "source", "SOURCE", .text = true, .min_width = 6, .offset = offsetof(TopLoopRow, source) },
    { NULL },
};

const TopTable top_loop_table = {
    .columns = loop_columns,
    .row_size = sizeof(TopLoopRow),
    .by_default = 3,
};

static const TopColumn source_columns[] = {
    { "loop", "LOOP", .text = true, .identity = true, .min_width = 12,
      .offset = offsetof(TopSourceRow, loop) },
    { "name", "NAME", .text = true, .identity = true, .min_width = 16,
      .offset = offsetof(TopSourceRow, name) },
    { "kind", "KIND", .text = true, .identity = true, .min_width = 5,
      .offset = offsetof(TopSourceRow, kind) },
    { "number", "N", .min_width = 1, .offset = offsetof(TopSourceRow, number) },
    { "fd", "FD", .identity = true, .min_width = 3, .offset = offsetof(TopSourceRow, fd) },
    { "calls", "CALLS/S", .decimals = 1, .min_width = 8, .offset = offsetof(TopSourceRow, calls) },
    { "time", "TIME%", .decimals = 2, .min_width = 5, .offset = offsetof(TopSourceRow, time) },
    { "mean", "MEAN-US", .decimals = 1, .min_width = 7, .offset = offsetof(TopSourceRow, mean_us) },
    { "max", "MAX-US", .decimals = 1, .min_width = 7, .offset = offsetof(TopSourceRow, max_us) },
    { NULL },
};

const TopTable top_source_table = {
    .columns = source_columns,
    .row_size = sizeof(TopSourceRow),
    .by_default = 6,
};

/* ---- columns ---- */

size_t top_table_count_columns(const TopTable *table)
{
    size_t count = 0;

    while (table->columns[count].key) {
        count++;
    }
    return count;
}

bool top_table_find_column(const TopTable *table, const char *key, size_t *column)
{
    for (size_t i = 0; table->columns[i].key; i++) {
        if (g_str_equal(table->columns[i].key, key)) {
            *column = i;
            return true;
        }
    }
    return false;
}

char *top_table_keys(void)
{
    GString *keys = g_string_new(NULL);
    size_t ignored;

    for (const TopColumn *column = loop_columns; column->key; column++) {
        g_string_append_printf(keys, "%s%s", keys->len ? ", " : "", column->key);
    }
    for (const TopColumn *column = source_columns; column->key; column++) {
        if (!top_table_find_column(&top_loop_table, column->key, &ignored)) {
            g_string_append_printf(keys, ", %s", column->key);
        }
    }
    return g_string_free(keys, FALSE);
}

static const char *text_of(const TopColumn *column, const void *row)
{
    return *(const char *const *)((const char *)row + column->offset);
}

static double number_of(const TopColumn *column, const void *row)
{
    return *(const double *)((const char *)row + column->offset);
}

/* ---- order ---- */

static bool is_known(const TopColumn *column, const void *row)
{
    return column->text ? text_of(column, row) != NULL : !isnan(number_of(column, row));
}

/* In the usual direction: below 0 when @a comes first. Both are known. */
static int compare_cells(const TopColumn *column, const void *a, const void *b)
{
    double x, y;

    if (column->text) {
        return strcmp(text_of(column, a), text_of(column, b));
    }
    x = number_of(column, a);
    y = number_of(column, b);
    return (x < y) - (x > y);
}

/* Both directions leave what is not known at the end. */
static int compare_column(const TopColumn *column, bool reversed, const void *a, const void *b)
{
    bool a_known = is_known(column, a);
    bool b_known = is_known(column, b);
    int result;

    if (!a_known || !b_known) {
        return b_known - a_known;
    }
    result = compare_cells(column, a, b);
    return reversed ? -result : result;
}

typedef struct SortBy {
    const TopTable *table;
    TopOrder order;
} SortBy;

static gint compare_rows(gconstpointer a, gconstpointer b, gpointer data)
{
    const SortBy *by = data;
    const TopColumn *columns = by->table->columns;
    int result = compare_column(&columns[by->order.column], by->order.reversed, a, b);

    for (const TopColumn *column = columns; result == 0 && column->key; column++) {
        if (column->identity) {
            result = compare_column(column, !column->text, a, b); /* all of them up */
        }
    }
    return result;
}

void top_table_sort(const TopTable *table, GArray *rows, TopOrder order)
{
    SortBy by = { table, order };

    g_array_sort_with_data(rows, compare_rows, &by);
}

/* ---- lines ---- */

static char *cell_text(const TopColumn *column, const void *row)
{
    if (!row) {
        return g_strdup(column->title);
    }
    if (column->text) {
        return text_clean_word(text_of(column, row));
    }
    if (!is_known(column, row)) {
        return g_strdup("-");
    }
    return g_strdup_printf("%.*f", column->decimals, number_of(column, row));
}

static void widen(const TopTable *table, const void *row, guint widths[])
{
    for (size_t i = 0; table->columns[i].key; i++) {
        g_autofree char *text = cell_text(&table->columns[i], row);

        widths[i] = MAX(widths[i], text_width(text));
    }
}

/* The widest text that can be cut still, or NULL. */
static guint *widest_text(const TopTable *table, guint widths[])
{
    guint *widest = NULL;

    for (size_t i = 0; table->columns[i].key; i++) {
        if (table->columns[i].text && widths[i] > (widest ? *widest : SHORTEST_TEXT)) {
            widest = &widths[i];
        }
    }
    return widest;
}

void top_table_measure(const TopTable *table, const GArray *rows, guint limit,
                       guint widths[TOP_MAX_COLUMNS])
{
    guint total = 0;
    guint *widest;

    for (size_t i = 0; table->columns[i].key; i++) {
        widths[i] = table->columns[i].min_width;
    }
    widen(table, NULL, widths);
    for (guint i = 0; i < rows->len; i++) {
        widen(table, rows->data + i * table->row_size, widths);
    }
    for (size_t i = 0; table->columns[i].key; i++) {
        total += widths[i] + (i > 0 ? TOP_GAP : 0);
    }
    while (limit > 0 && total > limit && (widest = widest_text(table, widths))) {
        *widest -= 1;
        total--;
    }
}

char *top_table_line(const TopTable *table, const guint widths[TOP_MAX_COLUMNS], const void *row)
{
    GString *line = g_string_new(NULL);

    for (size_t i = 0; table->columns[i].key; i++) {
        const TopColumn *column = &table->columns[i];
        g_autofree char *text = cell_text(column, row);

        if (i > 0) {
            g_string_append_printf(line, "%*s", TOP_GAP, "");
        }
        text_append_cell(line, text, widths[i], !column->text);
    }
    return g_strchomp(g_string_free(line, FALSE));
}

/* ---- JSON ---- */

static json_object *cell_json(const TopColumn *column, const void *row)
{
    char text[G_ASCII_DTOSTR_BUF_SIZE + 320]; /* any double fits without an exponent */

    if (!is_known(column, row)) {
        return NULL;
    }
    if (column->text) {
        return json_object_new_string(text_of(column, row));
    }
    if (column->decimals == 0) {
        return json_object_new_int64((int64_t)number_of(column, row));
    }
    g_ascii_formatd(text, sizeof(text), "%.3f", number_of(column, row));
    return json_object_new_double_s(number_of(column, row), text);
}

json_object *top_table_json(const TopTable *table, const GArray *rows)
{
    json_object *list = json_object_new_array();

    for (guint i = 0; i < rows->len; i++) {
        json_object *object = json_object_new_object();

        for (const TopColumn *column = table->columns; column->key; column++) {
            json_object_object_add(object, column->key,
                                   cell_json(column, rows->data + i * table->row_size));
        }
        json_object_array_add(list, object);
    }
    return list;
}
