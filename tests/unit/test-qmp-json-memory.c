/*
 * JSON parser: where the memory is out for what a client makes large, that value is broken, and no
 * more.
 *
 * Each allocation that may be large is let fail, one after the other, in the middle of a value that
 * makes all of them.
 */
#include <stdbool.h>
#include <string.h>

#include "tests/unit/json-fixture.h"

#define OUT_OF_MEMORY "! JSON value is larger than the memory that is left\n"

/* ---- allocations that fail ---- */

static unsigned countdown; /* the call that fails, from 1; 0: none */

static bool fails(void)
{
    return countdown > 0 && --countdown == 0;
}

gpointer __real_g_try_realloc(gpointer memory, gsize size);
gpointer __wrap_g_try_realloc(gpointer memory, gsize size);
gpointer __real_g_try_malloc0_n(gsize n, gsize size);
gpointer __wrap_g_try_malloc0_n(gsize n, gsize size);
json_object *__real_json_object_new_string_len(const char *text, int len);
json_object *__wrap_json_object_new_string_len(const char *text, int len);
json_object *__real_json_object_new_double_s(double d, const char *text);
json_object *__wrap_json_object_new_double_s(double d, const char *text);
int __real_json_object_array_add(json_object *array, json_object *value);
int __wrap_json_object_array_add(json_object *array, json_object *value);
void __real_qmp_json_write(GString *out, json_object *value);
void __wrap_qmp_json_write(GString *out, json_object *value);
int __real_json_object_object_add_ex(json_object *object, const char *name, json_object *value,
                                     unsigned options);
int __wrap_json_object_object_add_ex(json_object *object, const char *name, json_object *value,
                                     unsigned options);

gpointer __wrap_g_try_realloc(gpointer memory, gsize size)
{
    return fails() ? NULL : __real_g_try_realloc(memory, size);
}

gpointer __wrap_g_try_malloc0_n(gsize n, gsize size)
{
    return fails() ? NULL : __real_g_try_malloc0_n(n, size);
}

json_object *__wrap_json_object_new_string_len(const char *text, int len)
{
    return fails() ? NULL : __real_json_object_new_string_len(text, len);
}

json_object *__wrap_json_object_new_double_s(double d, const char *text)
{
    return fails() ? NULL : __real_json_object_new_double_s(d, text);
}

int __wrap_json_object_array_add(json_object *array, json_object *value)
{
    return fails() ? -1 : __real_json_object_array_add(array, value);
}

int __wrap_json_object_object_add_ex(json_object *object, const char *name, json_object *value,
                                     unsigned options)
{
    return fails() ? -1 : __real_json_object_object_add_ex(object, name, value, options);
}

/* The fixture's, for the reports: no part of the parser. */
void __wrap_qmp_json_write(GString *out, json_object *value)
{
    unsigned before = countdown;

    countdown = 0;
    __real_qmp_json_write(out, value);
    countdown = before;
}

/* ---- the test ---- */

/* The reports for @input when the @nth allocation fails; *@failed is whether it did. */
static char *reports_with_fault(const char *input, size_t piece, unsigned nth, bool *failed)
{
    JsonLog log;
    char *reports;

    json_log_begin(&log, NULL);
    countdown = nth;
    json_log_feed_pieces(&log, input, strlen(input), piece);
    *failed = countdown == 0;
    countdown = 0;
    reports = g_strdup(log.text->str);
    json_log_end(&log);
    return reports;
}

/* Returns how many allocations there are. */
static unsigned let_each_fail(const char *value, size_t piece)
{
    g_autofree char *input = g_strconcat(value, " {\"next\": [1.5]} ", NULL);
    unsigned nth = 0;
    bool failed = true;

    while (failed) {
        g_autofree char *reports = reports_with_fault(input, piece, ++nth, &failed);

        if (failed && g_str_has_prefix(reports, OUT_OF_MEMORY)) {
            g_assert_cmpstr(reports + strlen(OUT_OF_MEMORY), ==, "{\"next\": [1.5]}\n");
        } else if (failed) {
            /* It was one of the value behind it. */
            g_assert_true(g_str_has_suffix(reports, "\n" OUT_OF_MEMORY));
        } else {
            g_assert_true(g_str_has_suffix(reports, "\n{\"next\": [1.5]}\n"));
        }
    }
    return nth - 1;
}

static void test_each_allocation(void)
{
    g_autofree char *text = g_strnfill(10000, 'x');
    g_autofree char *digits = g_strnfill(10000, '1');
    g_autofree char *escapes = g_strdup_printf("%s\\n\\u20ac%s", text, text);
    g_autofree char *value = g_strdup_printf(
        "{\"%s\": [\"%s\", 0.%s, [[], {}, true, null, 1, 'x']], \"%s\": {\"a\": {}}}", text,
        escapes, digits, escapes);
    static const size_t pieces[] = { SIZE_MAX / 2, 10050, 1000, 1 };

    for (size_t i = 0; i < G_N_ELEMENTS(pieces); i++) {
        g_assert_cmpuint(let_each_fail(value, pieces[i]), >, 20);
    }
}

static void test_scalars(void)
{
    g_autofree char *text = g_strdup_printf("\"%0*d\"", 10000, 1);
    g_autofree char *number = g_strdup_printf("0.%0*d", 10000, 1);

    g_assert_cmpuint(let_each_fail(text, SIZE_MAX / 2), >, 2);
    g_assert_cmpuint(let_each_fail(number, SIZE_MAX / 2), >, 2);
}

#define ADD(name, function) g_test_add_func("/qmp/json-memory/" name, function)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("each allocation in a value", test_each_allocation);
    ADD("scalars at top level", test_scalars);
    return g_test_run();
}
