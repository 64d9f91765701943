/*
 * Texts that grow: what is appended, what a greatest length cuts, and that a lack of memory does.
 */
#include "config.h"

#include "qmp/qmp-json.h"
#include "qmp/qmp-text.h"

static unsigned countdown; /* the allocation that fails, from 1; 0: none */

gpointer __real_g_try_realloc(gpointer memory, gsize size);
gpointer __wrap_g_try_realloc(gpointer memory, gsize size);

gpointer __wrap_g_try_realloc(gpointer memory, gsize size)
{
    return countdown > 0 && --countdown == 0 ? NULL : __real_g_try_realloc(memory, size);
}

static void assert_text(const QmpText *text, const char *expected, bool cut)
{
    g_autofree char *copy = g_strndup(text->bytes ? text->bytes : "", text->len);

    g_assert_cmpuint(text->len, ==, strlen(expected));
    g_assert_cmpstr(copy, ==, expected);
    g_assert_true(text->cut == cut);
}

static void test_grows(void)
{
    g_auto(QmpText) text = { 0 };
    g_autoptr(GString) expected = g_string_new(NULL);

    assert_text(&text, "", false);
    qmp_text_append_len(&text, NULL, 0);
    assert_text(&text, "", false);
    for (size_t i = 0; i < 2000; i++) {
        g_autofree char *piece = g_strnfill(i % 97 * (i % 7), (char)('a' + i % 26));

        qmp_text_append(&text, piece);
        qmp_text_append_c(&text, '.');
        g_string_append_printf(expected, "%s.", piece);
    }
    assert_text(&text, expected->str, false);
    qmp_text_clear(&text);
    assert_text(&text, "", false);
}

static void test_one_piece_is_many_times_what_there_is(void)
{
    g_auto(QmpText) text = { 0 };
    g_autofree char *large = g_strnfill(1000000, 'x');
    g_autofree char *expected = g_strconcat("a", large, NULL);

    qmp_text_append_c(&text, 'a');
    qmp_text_append(&text, large);
    assert_text(&text, expected, false);
}

static void test_greatest_length(void)
{
    /* About the first memory, and about a later one. */
    static const size_t lengths[] = { 1, 10, 255, 256, 257, 1000 };

    for (size_t i = 0; i < G_N_ELEMENTS(lengths); i++) {
        g_auto(QmpText) text = { .max = lengths[i] };
        g_autofree char *full = g_strnfill(lengths[i], 'x');

        for (size_t n = 1; n < lengths[i]; n++) {
            qmp_text_append_c(&text, 'x');
        }
        g_assert_false(text.cut);
        qmp_text_append(&text, "x");
        assert_text(&text, full, false);
        qmp_text_append(&text, "");
        assert_text(&text, full, false);
        qmp_text_append(&text, "y");
        assert_text(&text, full, true);
        g_assert_cmpuint(text.size, <=, lengths[i]);
    }
}

static void test_what_fits_of_what_is_cut(void)
{
    g_auto(QmpText) text = { .max = 8 };

    qmp_text_append(&text, "12345");
    qmp_text_append(&text, "67890");
    assert_text(&text, "12345678", true);
    qmp_text_append(&text, "");
    qmp_text_append_c(&text, 'x');
    assert_text(&text, "12345678", true);
}

static void test_without_memory(void)
{
    g_autofree char *large = g_strnfill(300, 'x');
    g_auto(QmpText) none = { 0 };
    g_auto(QmpText) some = { 0 };

    countdown = 1;
    qmp_text_append(&none, "one");
    qmp_text_append(&none, "two");
    assert_text(&none, "", true);

    countdown = 2;
    qmp_text_append(&some, "one");
    qmp_text_append(&some, large);
    /* There would be room for this one, but not behind a gap. */
    qmp_text_append(&some, "two");
    assert_text(&some, "one", true);
    g_assert_cmpuint(countdown, ==, 0);
}

/* ---- JSON ---- */

static const char document[] =
    "{\"a\": [1, -2.5, true, null, \"x\\n\\u20ac\\ud83d\\ude00\"], \"b\": {\"c\": {}, \"d\": []}}";

/* Whatever the greatest length, it is the text's beginning. */
static void test_json_is_cut_anywhere(void)
{
    g_autoptr(json_object) value = json_tokener_parse(document);

    g_assert_nonnull(value);
    for (size_t max = 1; max < sizeof(document); max++) {
        g_auto(QmpText) text = { .max = max };
        g_autofree char *expected = g_strndup(document, max);

        qmp_json_print(&text, value);
        assert_text(&text, expected, max < strlen(document));
    }
}

static void test_json_without_memory(void)
{
    g_autofree char *large = g_strnfill(5000, '\n');
    g_autoptr(json_object) value = json_object_new_array();
    unsigned nth = 1;
    bool cut;

    json_object_array_add(value, json_object_new_string(large));
    json_object_array_add(value, json_tokener_parse(document));
    do {
        g_auto(QmpText) text = { 0 };

        countdown = nth++;
        qmp_json_print(&text, value);
        cut = text.cut;
        g_assert_true(cut == (countdown == 0));
    } while (cut);
    countdown = 0;
    g_assert_cmpuint(nth, >, 3);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/qmp-text/it grows", test_grows);
    g_test_add_func("/qmp-text/one piece is many times what there is",
                    test_one_piece_is_many_times_what_there_is);
    g_test_add_func("/qmp-text/a greatest length", test_greatest_length);
    g_test_add_func("/qmp-text/what fits of what is cut", test_what_fits_of_what_is_cut);
    g_test_add_func("/qmp-text/without memory it is cut", test_without_memory);
    g_test_add_func("/qmp-text/JSON is cut anywhere", test_json_is_cut_anywhere);
    g_test_add_func("/qmp-text/JSON without memory", test_json_without_memory);
    return g_test_run();
}
