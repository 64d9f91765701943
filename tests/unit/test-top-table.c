/*
 * The tables of 'evloopctl top': their order, and lines that fit.
 */
#include <math.h>
#include <string.h>

#include "ctl/text.h"
#include "ctl/top-model.h"
#include "ctl/top-table.h"

/* ---- text ---- */

static void assert_cell(const char *text, guint width, bool right, const char *expected)
{
    g_autoptr(GString) line = g_string_new(NULL);

    text_append_cell(line, text, width, right);
    g_assert_cmpstr(line->str, ==, expected);
    g_assert_cmpuint(text_width(line->str), ==, width);
}

static void test_a_cell_is_padded_or_cut(void)
{
    assert_cell("io0", 5, false, "io0  ");
    assert_cell("io0", 5, true, "  io0");
    assert_cell("io0", 3, true, "io0");
    assert_cell("mon_iothread", 5, false, "mon_+");
    assert_cell("mon_iothread", 5, true, "mon_+");
    assert_cell("io0", 1, false, "+");
    assert_cell("io0", 0, false, "");
    assert_cell("", 2, false, "  ");
}

/* Some characters take two columns, some none, and none is cut in the middle. */
static void test_a_cell_counts_columns_not_bytes(void)
{
    assert_cell("gr\u00fcn", 5, false, "gr\u00fcn ");
    assert_cell("gr\u00fcn", 3, false, "gr+");
    assert_cell("gru\u0308n", 4, false, "gru\u0308n");
    assert_cell("\u6f22\u5b57", 5, false, "\u6f22\u5b57 ");
    assert_cell("\u6f22\u5b57", 4, true, "\u6f22\u5b57");
    assert_cell("\u6f22\u5b57", 3, false, "\u6f22+");
    assert_cell("\u6f22\u5b57", 2, false, "+ ");
}

static void test_a_word_is_made_of_any_text(void)
{
    const struct {
        const char *text, *word;
    } cases[] = {
        { "io0", "io0" },     { "a b\tc", "a_b_c" }, { "\033[2J", "_[2J" },
        { "\xff", "\uFFFD" }, { "", "-" },           { NULL, "-" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *word = text_clean_word(cases[i].text);

        g_assert_cmpstr(word, ==, cases[i].word);
    }
}

/* ---- order ---- */

static GArray *some_sources(void)
{
    static const TopSourceRow rows[] = {
        { "b", "fd", "x", 1, 5, 10, 1, 1, 1 },   { "a", "fd", "y", 1, 12, NAN, 1, 1, 1 },
        { "a", "fd", "x", 1, 12, 30, 1, 1, 1 },  { "a", "fd", "x", 1, 9, 10, 1, 1, 1 },
        { "a", "bh", "x", 1, NAN, 10, 1, 1, 1 },
    };
    GArray *array = g_array_new(FALSE, FALSE, sizeof(TopSourceRow));

    g_array_append_vals(array, rows, G_N_ELEMENTS(rows));
    return array;
}

static void assert_order(const char *key, bool reversed, const char *expected)
{
    g_autoptr(GArray) rows = some_sources();
    g_autoptr(GString) found = g_string_new(NULL);
    TopOrder order = { 0, reversed };

    g_assert_true(top_table_find_column(&top_source_table, key, &order.column));
    top_table_sort(&top_source_table, rows, order);
    for (guint i = 0; i < rows->len; i++) {
        const TopSourceRow *row = &g_array_index(rows, TopSourceRow, i);

        g_string_append_printf(found, "%s%s%s%.0f ", row->loop, row->kind, row->name,
                               isnan(row->fd) ? 0 : row->fd);
    }
    g_assert_cmpstr(found->str, ==, expected);
}

/* Numbers go down, texts up; unknown last either way; what is equal by what tells it apart. */
static void test_rows_are_sorted_by_any_column(void)
{
    assert_order("calls", false, "afdx12 abhx0 afdx9 bfdx5 afdy12 ");
    assert_order("calls", true, "abhx0 afdx9 bfdx5 afdx12 afdy12 ");
    assert_order("name", false, "abhx0 afdx9 afdx12 bfdx5 afdy12 ");
    assert_order("name", true, "afdy12 abhx0 afdx9 afdx12 bfdx5 ");
    assert_order("loop", true, "bfdx5 abhx0 afdx9 afdx12 afdy12 ");
    assert_order("fd", false, "afdx12 afdy12 afdx9 bfdx5 abhx0 ");
}

static void test_the_keys_are_those_of_both_tables(void)
{
    g_autofree char *text = top_table_keys();
    g_auto(GStrv) keys = g_strsplit(text, ", ", -1);
    size_t column;

    for (char **key = keys; *key; key++) {
        g_assert_true(top_table_find_column(&top_loop_table, *key, &column) ||
                      top_table_find_column(&top_source_table, *key, &column));
        g_assert_false(g_strv_contains((const char *const *)key + 1, *key));
    }
    g_assert_cmpuint(g_strv_length(keys), ==, 16);
    g_assert_cmpuint(top_table_count_columns(&top_loop_table), ==, 9);
    g_assert_false(top_table_find_column(&top_loop_table, "", &column));
}

/* ---- lines ---- */

static GArray *one_loop(const char *id, const char *source)
{
    TopLoopRow row = {
        .loop = id,
        .state = "callback",
        .source = source,
        .state_ms = 12345678.9,
        .busy = 99.96,
        .polling = 0,
        .blocked = NAN,
        .passes = 1234567.89,
        .calls = 0.04,
    };
    GArray *array = g_array_new(FALSE, FALSE, sizeof(TopLoopRow));

    g_array_append_val(array, row);
    return array;
}

static void test_titles_and_cells_stand_in_columns(void)
{
    g_autoptr(GArray) rows = one_loop("io0", "a b");
    guint widths[TOP_MAX_COLUMNS];
    g_autofree char *titles = NULL;
    g_autofree char *line = NULL;

    top_table_measure(&top_loop_table, rows, 0, widths);
    titles = top_table_line(&top_loop_table, widths, NULL);
    line = top_table_line(&top_loop_table, widths, rows->data);
    g_assert_cmpstr(titles, ==,
                    "LOOP          STATE         FOR-MS  BUSY%  POLL%  BLOCK%   PASSES/S   CALLS/S"
                    "  SOURCE");
    g_assert_cmpstr(line, ==,
                    "io0           callback  12345678.9  100.0    0.0       -  1234567.9       0.0"
                    "  a_b");
}

/* The widest text is cut first, down to eight columns; numbers never: a wrong one is worse than
 * none. */
static void test_texts_give_way_where_it_is_narrow(void)
{
    static const char id[] = "a-very-long-name-of-a-loop";
    g_autoptr(GArray) rows = one_loop(id, "a_very_long_callback_name");
    guint widths[TOP_MAX_COLUMNS];
    g_autofree char *whole = NULL;
    guint most, least;

    top_table_measure(&top_loop_table, rows, 0, widths);
    whole = top_table_line(&top_loop_table, widths, rows->data);
    most = text_width(whole);
    least = most - (26 - 8) - (25 - 8);
    for (guint limit = most + 2; limit > 0; limit--) {
        g_autofree char *line = NULL;

        top_table_measure(&top_loop_table, rows, limit, widths);
        line = top_table_line(&top_loop_table, widths, rows->data);
        g_assert_cmpuint(text_width(line), ==, CLAMP(limit, least, most));
        g_assert_nonnull(strstr(line, "1234567.9"));
        g_assert_cmpint(strstr(line, id) != NULL, ==, limit >= most);
    }
}

static void test_rows_as_json_are_numbers_and_null(void)
{
    g_autoptr(GArray) rows = one_loop("io0", NULL);
    g_autoptr(json_object) list = top_table_json(&top_loop_table, rows);

    g_assert_cmpstr(json_object_to_json_string_ext(list, JSON_C_TO_STRING_PLAIN), ==,
                    "[{\"loop\":\"io0\",\"state\":\"callback\",\"for\":12345678.900,"
                    "\"busy\":99.960,\"polling\":0.000,\"blocked\":null,\"passes\":1234567.890,"
                    "\"calls\":0.040,\"source\":null}]");
}

#define ADD(function) g_test_add_func("/top-table/" #function, test_##function)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD(a_cell_is_padded_or_cut);
    ADD(a_cell_counts_columns_not_bytes);
    ADD(a_word_is_made_of_any_text);
    ADD(rows_are_sorted_by_any_column);
    ADD(the_keys_are_those_of_both_tables);
    ADD(titles_and_cells_stand_in_columns);
    ADD(texts_give_way_where_it_is_narrow);
    ADD(rows_as_json_are_numbers_and_null);
    return g_test_run();
}
