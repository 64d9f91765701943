/*
 * The two tables of 'evloopctl top', loops and sources: their columns, their order, their lines.
 *
 * A table is described once, by its columns; sorting and formatting follow that description.
 */
#ifndef CTL_TOP_TABLE_H
#define CTL_TOP_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <glib.h>

#include "ctl/json.h"

G_BEGIN_DECLS

typedef struct TopColumn {
    const char *key; /* what --sort calls it */
    const char *title;
    bool text;       /* its field is a const char *, else a double */
    bool identity;   /* it is part of what tells one row from another */
    int decimals;    /* of a number */
    guint min_width; /* so that columns do not move with each sample */
    size_t offset;   /* of the field in the row */
} TopColumn;

typedef struct TopTable {
    const TopColumn *columns; /* ended by one without a key; at most TOP_MAX_COLUMNS */
    size_t row_size;
    size_t by_default; /* the index of the column that it is sorted by */
} TopTable;

#define TOP_MAX_COLUMNS 16
#define TOP_GAP         2 /* spaces between two columns */

extern const TopTable top_loop_table;   /* of TopLoopRow */
extern const TopTable top_source_table; /* of TopSourceRow */

/* By which column of a table, and whether the other way round than usual: numbers go down from the
 * largest, texts up from the first. */
typedef struct TopOrder {
    size_t column;
    bool reversed;
} TopOrder;

size_t top_table_count_columns(const TopTable *table);

/* Find the column with this key into *@column; false when there is none. */
bool top_table_find_column(const TopTable *table, const char *key, size_t *column);

/* The keys of both tables, as "a, b, c"; the caller frees it. */
char *top_table_keys(void);

/* Sort @rows. What is not known comes last; what is equal is in the order of what tells it
 * apart. */
void top_table_sort(const TopTable *table, GArray *rows, TopOrder order);

/* The width of each column for @rows and the titles, into @widths. When all together would be wider
 * than @limit, texts are cut, down to a few characters each; 0: no limit. */
void top_table_measure(const TopTable *table, const GArray *rows, guint limit,
                       guint widths[TOP_MAX_COLUMNS]);

/* The line of @row (a pointer into the rows), or that of the titles when it is NULL, without white
 * space at its end. Each cell is one word. The caller frees it. */
char *top_table_line(const TopTable *table, const guint widths[TOP_MAX_COLUMNS], const void *row);

/* @rows as an array of objects, with the columns' keys; the caller owns the reference. */
json_object *top_table_json(const TopTable *table, const GArray *rows);

G_END_DECLS

#endif
