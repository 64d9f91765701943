/*
 * JSON writer: what every kind of value looks like on the wire, and that the parser reads it back
 * as the same value.
 */
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "qmp/qmp-json.h"

static void assert_written(json_object *value, const char *expected)
{
    g_autoptr(GString) out = g_string_new("before:");

    qmp_json_write(out, value);
    g_assert_true(g_str_has_prefix(out->str, "before:"));
    g_assert_cmpstr(out->str + strlen("before:"), ==, expected);
    json_object_put(value);
}

static void test_words(void)
{
    assert_written(NULL, "null");
    assert_written(json_object_new_boolean(true), "true");
    assert_written(json_object_new_boolean(false), "false");
}

static void test_integers(void)
{
    assert_written(json_object_new_int64(0), "0");
    assert_written(json_object_new_int(-7), "-7");
    assert_written(json_object_new_int64(INT64_MIN), "-9223372036854775808");
    assert_written(json_object_new_int64(INT64_MAX), "9223372036854775807");
    assert_written(json_object_new_uint64(5), "5");
    assert_written(json_object_new_uint64(INT64_MAX), "9223372036854775807");
    assert_written(json_object_new_uint64((uint64_t)INT64_MAX + 1), "9223372036854775808");
    assert_written(json_object_new_uint64(UINT64_MAX), "18446744073709551615");
}

static void test_doubles(void)
{
    assert_written(json_object_new_double(0.1), "0.1");
    assert_written(json_object_new_double(-2.5), "-2.5");
    assert_written(json_object_new_double(3), "3.0");
    assert_written(json_object_new_double(-0.0), "-0.0");
    assert_written(json_object_new_double(1e300), "1e+300");
    assert_written(json_object_new_double(0.1 + 0.2), "0.30000000000000004");
}

static void test_double_keeps_text(void)
{
    assert_written(json_object_new_double_s(1.5, "1.50"), "1.50");
    assert_written(json_object_new_double_s(100, "1E2"), "1E2");
}

static void test_double_set_anew_loses_text(void)
{
    json_object *value = json_object_new_double_s(1.5, "1.50");

    json_object_set_double(value, 2.5);
    assert_written(value, "2.5");
}

static void test_not_finite(void)
{
    assert_written(json_object_new_double(NAN), "null");
    assert_written(json_object_new_double(INFINITY), "null");
    assert_written(json_object_new_double(-INFINITY), "null");
    assert_written(json_object_new_double_s(NAN, "NaN"), "null");
}

#define TEXT(literal) literal, sizeof(literal) - 1

static void test_strings(void)
{
    static const struct {
        const char *text;
        size_t len;
        const char *expected;
    } cases[] = {
        { TEXT(""), "" },
        { TEXT("plain text /'~"), "plain text /'~" },
        { TEXT("\"\\"), "\\\"\\\\" },
        { TEXT("\b\f\n\r\t"), "\\b\\f\\n\\r\\t" },
        { TEXT("\x01\x1f\x7f"), "\\u0001\\u001f\\u007f" },
        { TEXT("a\0b"), "a\\u0000b" },
        { TEXT("\xc2\x80\xc3\xa9"), "\\u0080\\u00e9" },
        { TEXT("\xe2\x82\xac\xef\xbf\xbf"), "\\u20ac\\uffff" },
        { TEXT("\xf0\x90\x80\x80"), "\\ud800\\udc00" },
        { TEXT("\xf0\x9f\x98\x80x"), "\\ud83d\\ude00x" },
        { TEXT("\xf4\x8f\xbf\xbf"), "\\udbff\\udfff" },
        /* What is not UTF-8 becomes U+FFFD, a byte at a time. */
        { TEXT("a\xffz"), "a\\ufffdz" },
        { TEXT("\xc3"), "\\ufffd" },
        { TEXT("\xc3("), "\\ufffd(" },
        { TEXT("\xc0\x80"), "\\ufffd\\ufffd" },
        { TEXT("\xed\xa0\x80"), "\\ufffd\\ufffd\\ufffd" },
        { TEXT("\xf4\x90\x80\x80"), "\\ufffd\\ufffd\\ufffd\\ufffd" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *quoted = g_strdup_printf("\"%s\"", cases[i].expected);
        g_autoptr(GString) out = g_string_new(NULL);

        assert_written(json_object_new_string_len(cases[i].text, (int)cases[i].len), quoted);
        qmp_json_escape(out, cases[i].text, cases[i].len);
        g_assert_cmpstr(out->str, ==, cases[i].expected);
    }
}

static void test_escape_stays_within_length(void)
{
    g_autoptr(GString) out = g_string_new(NULL);

    qmp_json_escape(out, "\xf0\x9f\x98\x80", 3);
    g_assert_cmpstr(out->str, ==, "\\ufffd\\ufffd\\ufffd");
}

static void test_containers(void)
{
    json_object *object = json_object_new_object();
    json_object *array = json_object_new_array();

    assert_written(json_object_new_object(), "{}");
    assert_written(json_object_new_array(), "[]");

    json_object_array_add(array, json_object_new_int(1));
    json_object_array_add(array, NULL);
    json_object_array_add(array, json_object_new_array());
    json_object_object_add(object, "z", json_object_new_int(1));
    json_object_object_add(object, "a", array);
    json_object_object_add(object, "\"\n", NULL);
    json_object_object_add(object, "", json_object_new_object());
    assert_written(object, "{\"z\": 1, \"a\": [1, null, []], \"\\\"\\n\": null, \"\": {}}");
}

static void take_value(json_object *value, GError *error, void *opaque)
{
    json_object **result = opaque;

    g_assert_no_error(error);
    g_assert_null(*result);
    *result = value;
}

static json_object *parse(const char *text)
{
    json_object *value = NULL;
    g_autoptr(QmpJsonParser) parser = qmp_json_parser_new(NULL, take_value, &value);

    g_assert_cmpuint(qmp_json_parser_feed(parser, text, strlen(text)), ==, strlen(text));
    qmp_json_parser_finish(parser);
    return value;
}

static void test_round_trip(void)
{
    static const char *const cases[] = {
        "{\"execute\": \"object-add\", \"arguments\": {\"id\": \"t\", \"n\": 32768}, \"id\": [1]}",
        "[0, -1, 9223372036854775807, -9223372036854775808, 18446744073709551615]",
        "[-0, 1.50, 1E2, 1e-400, 123456789012345678901234567890, 0.10]",
        "[\"\\u0000\\u007f\\ud83d\\ude00\\uffff\\\"\\\\\", {\"\": {}}, [], null, true, false]",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(json_object) first = parse(cases[i]);
        g_autoptr(json_object) second = NULL;
        g_autoptr(GString) out = g_string_new(NULL);

        qmp_json_write(out, first);
        g_assert_cmpstr(out->str, ==, cases[i]);
        second = parse(out->str);
        g_assert_true(json_object_equal(first, second));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/qmp/json-writer/words", test_words);
    g_test_add_func("/qmp/json-writer/integers to both ends of their ranges", test_integers);
    g_test_add_func("/qmp/json-writer/doubles are short and stay doubles", test_doubles);
    g_test_add_func("/qmp/json-writer/a double keeps the text it was read from",
                    test_double_keeps_text);
    g_test_add_func("/qmp/json-writer/a double set anew loses its text",
                    test_double_set_anew_loses_text);
    g_test_add_func("/qmp/json-writer/NaN and infinities are null", test_not_finite);
    g_test_add_func("/qmp/json-writer/strings are ASCII", test_strings);
    g_test_add_func("/qmp/json-writer/escaping reads no byte past the length",
                    test_escape_stays_within_length);
    g_test_add_func("/qmp/json-writer/containers keep their order", test_containers);
    g_test_add_func("/qmp/json-writer/the parser reads the same value back", test_round_trip);
    return g_test_run();
}
