/*
 * JSON parser: what it accepts and rejects, its error texts, when it reports, and on which line.
 */
#include <string.h>

#include "tests/unit/json-fixture.h"

/* ---- what is accepted ---- */

static void test_accepts(void)
{
    static const JsonCase cases[] = {
        { JSON_IN(""), "" },
        { JSON_IN(" \t\r\n"), "" },
        { JSON_IN("{}"), "{}\n" },
        { JSON_IN("[]"), "[]\n" },
        { JSON_IN(" [ ] "), "[]\n" },
        { JSON_IN("{\t\"a\"\r:\n1 }"), "{\"a\": 1}\n" },
        { JSON_IN("[[],{},[{}]]"), "[[], {}, [{}]]\n" },
        { JSON_IN("{\"a\":{\"b\":[{\"c\":null}]},\"d\":[]}"),
          "{\"a\": {\"b\": [{\"c\": null}]}, \"d\": []}\n" },
        { JSON_IN("{\"\":0}"), "{\"\": 0}\n" },
        { JSON_IN("{\"a\":{\"a\":{\"a\":1}}}"), "{\"a\": {\"a\": {\"a\": 1}}}\n" },
        { JSON_IN("[true,false,null]"), "[true, false, null]\n" },
        { JSON_IN("{}{}[]"), "{}\n{}\n[]\n" },
        { JSON_IN("true"), "true\n" },
        { JSON_IN("null"), "null\n" },
        { JSON_IN("12"), "12\n" },
        { JSON_IN("\"x\""), "\"x\"\n" },
        { JSON_IN("1 2\n3[4]5{}\"6\"7\"8\""), "1\n2\n3\n[4]\n5\n{}\n\"6\"\n7\n\"8\"\n" },
    };

    json_run_cases(cases, G_N_ELEMENTS(cases));
}

static void test_numbers(void)
{
    static const JsonCase cases[] = {
        { JSON_IN("[0,-1,10,1234567890]"), "[0, -1, 10, 1234567890]\n" },
        { JSON_IN("[9223372036854775807,-9223372036854775808]"),
          "[9223372036854775807, -9223372036854775808]\n" },
        { JSON_IN("[9223372036854775808,18446744073709551615]"),
          "[9223372036854775808, 18446744073709551615]\n" },
        { JSON_IN("[18446744073709551616,-9223372036854775809]"),
          "[18446744073709551616, -9223372036854775809]\n" },
        { JSON_IN("[-0,0.0,-0.0,1.50,0e0,0E+1]"), "[-0, 0.0, -0.0, 1.50, 0e0, 0E+1]\n" },
        { JSON_IN("[1e5,1E5,1e+5,1E-05,123.456e78]"), "[1e5, 1E5, 1e+5, 1E-05, 123.456e78]\n" },
        { JSON_IN("[1e-999]"), "[1e-999]\n" },
        { JSON_IN("[1e308]"), "[1e308]\n" },
        { JSON_IN("1e999"), "! JSON syntax error: number out of range '1e999'\n" },
        { JSON_IN("[-1e999]"), "! JSON syntax error: number out of range '-1e999'\n" },
    };

    json_run_cases(cases, G_N_ELEMENTS(cases));
}

static void keep_value(json_object *value, GError *error, void *opaque)
{
    g_assert_no_error(error);
    *(json_object **)opaque = value;
}

static void test_number_types(void)
{
    static const char input[] = "[7, 18446744073709551615, 18446744073709551616, -0, 1.5, 1e2]";
    g_autoptr(json_object) value = NULL;
    g_autoptr(QmpJsonParser) parser = qmp_json_parser_new(NULL, keep_value, &value);
    json_type types[6];

    qmp_json_parser_feed(parser, input, strlen(input));
    for (size_t i = 0; i < G_N_ELEMENTS(types); i++) {
        types[i] = json_object_get_type(json_object_array_get_idx(value, i));
    }
    g_assert_cmpint(types[0], ==, json_type_int);
    g_assert_cmpint(types[1], ==, json_type_int);
    g_assert_cmpuint(json_object_get_uint64(json_object_array_get_idx(value, 1)), ==, UINT64_MAX);
    g_assert_cmpint(types[2], ==, json_type_double);
    g_assert_cmpint(types[3], ==, json_type_double);
    g_assert_cmpint(types[4], ==, json_type_double);
    g_assert_cmpfloat(json_object_get_double(json_object_array_get_idx(value, 4)), ==, 1.5);
    g_assert_cmpfloat(json_object_get_double(json_object_array_get_idx(value, 5)), ==, 100);
}

static void test_strings(void)
{
    static const JsonCase cases[] = {
        { JSON_IN("\"\""), "\"\"\n" },
        { JSON_IN("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), "\"\\\"\\\\/\\b\\f\\n\\r\\t\"\n" },
        { JSON_IN("\"\\u0041\\u00e9\\u20AC\\uFFFF\""), "\"A\\u00e9\\u20ac\\uffff\"\n" },
        { JSON_IN("\"a\\u0000b\""), "\"a\\u0000b\"\n" },
        { JSON_IN("\"\\ud83d\\ude00\\uD800\\uDC00\\udbff\\udfff\""),
          "\"\\ud83d\\ude00\\ud800\\udc00\\udbff\\udfff\"\n" },
        { JSON_IN("\"\x7f\""), "\"\\u007f\"\n" },
        { JSON_IN("\"\xc2\x80\xdf\xbf\""), "\"\\u0080\\u07ff\"\n" },
        { JSON_IN("\"\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\""),
          "\"\\u0800\\ud7ff\\ue000\\uffff\"\n" },
        { JSON_IN("\"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\""), "\"\\ud800\\udc00\\udbff\\udfff\"\n" },
        { JSON_IN("{\"\xc3\xa9\":\"{[\"}"), "{\"\\u00e9\": \"{[\"}\n" },
        /* The extensions. */
        { JSON_IN("'x'"), "\"x\"\n" },
        { JSON_IN("{'a':'b'}"), "{\"a\": \"b\"}\n" },
        { JSON_IN("'say \"x\"'"), "\"say \\\"x\\\"\"\n" },
        { JSON_IN("\"it's\""), "\"it's\"\n" },
        { JSON_IN("'it\\'s'"), "\"it's\"\n" },
        { JSON_IN("\"it\\'s\""), "\"it's\"\n" },
        { JSON_IN("'\\\"'"), "\"\\\"\"\n" },
    };

    json_run_cases(cases, G_N_ELEMENTS(cases));
}

/* ---- what is rejected ---- */

static void test_rejects_structure(void)
{
    static const JsonCase cases[] = {
        { JSON_IN("[1,]"), JSON_SYNTAX "expected a value after ',', found ']'\n" },
        { JSON_IN("[,1]"), JSON_SYNTAX "expected a value or ']', found ','\n" },
        { JSON_IN("[1 2]"), JSON_SYNTAX "expected ',' or ']', found '2'\n" },
        { JSON_IN("[1\"a\"]"), JSON_SYNTAX "expected ',' or ']', found a string\n" },
        { JSON_IN("[1,,2]"), JSON_SYNTAX "expected a value after ',', found ','\n" },
        { JSON_IN("[1:2]"), JSON_SYNTAX "expected ',' or ']', found ':'\n" },
        { JSON_IN("[}"), JSON_SYNTAX "expected a value or ']', found '}'\n" },
        { JSON_IN("[1}"), JSON_SYNTAX "expected ',' or ']', found '}'\n" },
        { JSON_IN("{]"), JSON_SYNTAX "expected a member name or '}', found ']'\n" },
        { JSON_IN("{1:2}"), JSON_SYNTAX "expected a member name or '}', found '1'\n" },
        { JSON_IN("{a:2}"), JSON_SYNTAX "expected a member name or '}', found 'a'\n" },
        { JSON_IN("{,}"), JSON_SYNTAX "expected a member name or '}', found ','\n" },
        { JSON_IN("{\"a\":1,}"), JSON_SYNTAX "expected a member name after ',', found '}'\n" },
        { JSON_IN("{\"a\":1,2}"), JSON_SYNTAX "expected a member name after ',', found '2'\n" },
        { JSON_IN("{\"a\" 1}"), JSON_SYNTAX "expected ':' after member name \"a\", found '1'\n" },
        { JSON_IN("{\"a\"}"), JSON_SYNTAX "expected ':' after member name \"a\", found '}'\n" },
        { JSON_IN("{\"a\",}"), JSON_SYNTAX "expected ':' after member name \"a\", found ','\n" },
        { JSON_IN("{\"a\":}"), JSON_SYNTAX "expected a value for member \"a\", found '}'\n" },
        { JSON_IN("{\"a\"::1}"), JSON_SYNTAX "expected a value for member \"a\", found ':'\n" },
        { JSON_IN("{\"a\":1 \"b\":2}"), JSON_SYNTAX "expected ',' or '}', found a string\n" },
        { JSON_IN("{\"a\":1]"), JSON_SYNTAX "expected ',' or '}', found ']'\n" },
        { JSON_IN("{[]:1}"), JSON_SYNTAX "expected a member name or '}', found '['\n" },
        { JSON_IN("[/**/]"), JSON_SYNTAX "unknown word '/**/'\n" },
        { JSON_IN("[# x\n]"), JSON_SYNTAX "unknown word '#'\n" },
        { JSON_IN("{\"a\":1 // x\n}"), JSON_SYNTAX "expected ',' or '}', found '/'\n" },
        { JSON_IN("{\xc3\xa9:1}"), JSON_SYNTAX "expected a member name or '}', found '\\u00e9'\n" },
        { JSON_IN("}"), JSON_SYNTAX "expected a value, found '}'\n" },
        { JSON_IN("]"), JSON_SYNTAX "expected a value, found ']'\n" },
        { JSON_IN(","), JSON_SYNTAX "expected a value, found ','\n" },
        { JSON_IN(":"), JSON_SYNTAX "expected a value, found ':'\n" },
    };

    json_run_cases(cases, G_N_ELEMENTS(cases));
}

static void test_rejects_duplicates(void)
{
    static const JsonCase cases[] = {
        { JSON_IN("{\"a\":1,\"a\":1}"), JSON_SYNTAX "duplicate member name \"a\"\n" },
        { JSON_IN("{\"a\":1,\"b\":{},'\\u0061':2}"), JSON_SYNTAX "duplicate member name \"a\"\n" },
        { JSON_IN("{\"\":1,\"\":2}"), JSON_SYNTAX "duplicate member name \"\"\n" },
        { JSON_IN("[{\"a\":null,\"a\":null},{}]"), JSON_SYNTAX "duplicate member name \"a\"\n" },
    };

    json_run_cases(cases, G_N_ELEMENTS(cases));
}

static void test_rejects_numbers(void)
{
    static const JsonCase cases[] = {
        { JSON_IN("[01]"), JSON_SYNTAX "invalid number '01'\n" },
        { JSON_IN("[-01]"), JSON_SYNTAX "invalid number '-01'\n" },
        { JSON_IN("[00]"), JSON_SYNTAX "invalid number '00'\n" },
        { JSON_IN("[+1]"), JSON_SYNTAX "invalid number '+'\n" },
        { JSON_IN("[.5]"), JSON_SYNTAX "invalid number '.'\n" },
        { JSON_IN("[-.5]"), JSON_SYNTAX "invalid number '-.'\n" },
        { JSON_IN("[1.]"), JSON_SYNTAX "invalid number '1.'\n" },
        { JSON_IN("[1.e5]"), JSON_SYNTAX "invalid number '1.e'\n" },
        { JSON_IN("[1.5.5]"), JSON_SYNTAX "invalid number '1.5.'\n" },
        { JSON_IN("[1e]"), JSON_SYNTAX "invalid number '1e'\n" },
        { JSON_IN("[1e+]"), JSON_SYNTAX "invalid number '1e+'\n" },
        { JSON_IN("[1e5.5]"), JSON_SYNTAX "invalid number '1e5.'\n" },
        { JSON_IN("[1e5e5]"), JSON_SYNTAX "invalid number '1e5e'\n" },
        { JSON_IN("[-]"), JSON_SYNTAX "invalid number '-'\n" },
        { JSON_IN("[--1]"), JSON_SYNTAX "invalid number '--'\n" },
        { JSON_IN("[-Infinity]"), JSON_SYNTAX "invalid number '-I'\n" },
        { JSON_IN("[0x10]"), JSON_SYNTAX "invalid number '0x'\n" },
        { JSON_IN("[1_000]"), JSON_SYNTAX "invalid number '1_'\n" },
        { JSON_IN("[1-2]"), JSON_SYNTAX "invalid number '1-'\n" },
        { JSON_IN("[1\xc3\xa9]"), JSON_SYNTAX "invalid number '1\\u00e9'\n" },
        { JSON_IN("[1\x7f]"), JSON_SYNTAX "invalid number '1\\u007f'\n" },
        { JSON_IN("1."), JSON_SYNTAX "invalid number '1.'\n" },
        { JSON_IN("-"), JSON_SYNTAX "invalid number '-'\n" },
        { JSON_IN("1true"), JSON_SYNTAX "invalid number '1t'\n" },
    };

    json_run_cases(cases, G_N_ELEMENTS(cases));
}

static void test_rejects_words(void)
{
    static const JsonCase cases[] = {
        { JSON_IN("[tru]"), JSON_SYNTAX "unknown word 'tru'\n" },
        { JSON_IN("[truee]"), JSON_SYNTAX "unknown word 'truee'\n" },
        { JSON_IN("[True]"), JSON_SYNTAX "unknown word 'True'\n" },
        { JSON_IN("[nul]"), JSON_SYNTAX "unknown word 'nul'\n" },
        { JSON_IN("[NaN]"), JSON_SYNTAX "unknown word 'NaN'\n" },
        { JSON_IN("[Infinity]"), JSON_SYNTAX "unknown word 'Infinity'\n" },
        { JSON_IN("[undefined]"), JSON_SYNTAX "unknown word 'undefined'\n" },
        { JSON_IN("{\"a\":b}"), JSON_SYNTAX "unknown word 'b'\n" },
        { JSON_IN("[\\u0041]"), JSON_SYNTAX "unknown word '\\\\u0041'\n" },
        { JSON_IN("[caf\xc3\xa9]"), JSON_SYNTAX "unknown word 'caf\\u00e9'\n" },
        { JSON_IN("[\xf0\x9f\x98\x80]"), JSON_SYNTAX "unknown word '\\ud83d\\ude00'\n" },
        { JSON_IN("[\xef\xbb\xbf]"), JSON_SYNTAX "unknown word '\\ufeff'\n" },
        { JSON_IN("tru"), JSON_SYNTAX "unknown word 'tru'\n" },
    };

    json_run_cases(cases, G_N_ELEMENTS(cases));
}

static void test_rejects_strings(void)
{
    static const JsonCase cases[] = {
        { JSON_IN("[\"\\x41\"]"), JSON_SYNTAX "unknown escape '\\x' in a string\n" },
        { JSON_IN("[\"\\a\"]"), JSON_SYNTAX "unknown escape '\\a' in a string\n" },
        { JSON_IN("[\"\\0\"]"), JSON_SYNTAX "unknown escape '\\0' in a string\n" },
        { JSON_IN("[\"\\U0041\"]"), JSON_SYNTAX "unknown escape '\\U' in a string\n" },
        { JSON_IN("[\"\\\xc3\xa9\"]"), JSON_SYNTAX "unknown escape '\\\\u00e9' in a string\n" },
        { JSON_IN("[\"\\u\"]"), JSON_SYNTAX "\\u in a string needs four hex digits\n" },
        { JSON_IN("[\"\\u12\"]"), JSON_SYNTAX "\\u in a string needs four hex digits\n" },
        { JSON_IN("[\"\\u123g\"]"), JSON_SYNTAX "\\u in a string needs four hex digits\n" },
        { JSON_IN("[\"\\u12\\\"\"]"), JSON_SYNTAX "\\u in a string needs four hex digits\n" },
        { JSON_IN("[\"\\u00\xc3\xa9\"]"), JSON_SYNTAX "\\u in a string needs four hex digits\n" },
        { JSON_IN("[\"\\ud800\"]"), JSON_SYNTAX "lone surrogate \\ud800 in a string\n" },
        { JSON_IN("[\"\\ud800x\"]"), JSON_SYNTAX "lone surrogate \\ud800 in a string\n" },
        { JSON_IN("[\"\\ud800\\n\"]"), JSON_SYNTAX "lone surrogate \\ud800 in a string\n" },
        { JSON_IN("[\"\\ud800\\\"\"]"), JSON_SYNTAX "lone surrogate \\ud800 in a string\n" },
        { JSON_IN("[\"\\ud800\\u0041\"]"), JSON_SYNTAX "lone surrogate \\ud800 in a string\n" },
        { JSON_IN("[\"\\ud800\\ud800\"]"), JSON_SYNTAX "lone surrogate \\ud800 in a string\n" },
        { JSON_IN("[\"\\udc00\"]"), JSON_SYNTAX "lone surrogate \\udc00 in a string\n" },
        { JSON_IN("[\"\\udc00\\ud800\"]"), JSON_SYNTAX "lone surrogate \\udc00 in a string\n" },
        { JSON_IN("{\"a\\u0000\":1}"), JSON_SYNTAX "\\u0000 in a member name\n" },
        { JSON_IN("{\"a\":1,\"\\u0000\":1}"), JSON_SYNTAX "\\u0000 in a member name\n" },
    };

    json_run_cases(cases, G_N_ELEMENTS(cases));
}

static void test_rejects_bytes(void)
{
    static const JsonCase cases[] = {
        { JSON_IN("\"\n"), JSON_SYNTAX "control character 0x0a in a string\n" },
        { JSON_IN("\"\t"), JSON_SYNTAX "control character 0x09 in a string\n" },
        { JSON_IN("\"\\\n"), JSON_SYNTAX "control character 0x0a in a string\n" },
        { JSON_IN("\"\\u\n"), JSON_SYNTAX "control character 0x0a in a string\n" },
        { JSON_IN("\"\0"), JSON_SYNTAX "control character 0x00 in a string\n" },
        { JSON_IN("[1,\0"), JSON_SYNTAX "control character 0x00\n" },
        { JSON_IN("\x1f"), JSON_SYNTAX "control character 0x1f\n" },
        { JSON_IN("tru\x01"), JSON_SYNTAX "control character 0x01\n" },
        { JSON_IN("12\v"), JSON_SYNTAX "control character 0x0b\n" },
        { JSON_IN("\xff"), JSON_SYNTAX "byte 0xff is not valid UTF-8\n" },
        { JSON_IN("12\xff"), JSON_SYNTAX "byte 0xff is not valid UTF-8\n" },
        { JSON_IN("\"\x80"), JSON_SYNTAX "byte 0x80 is not valid UTF-8\n" },
        { JSON_IN("\"\xc3("), JSON_SYNTAX "byte 0xc3 is not valid UTF-8\n" },
        { JSON_IN("\"\xc3"), JSON_SYNTAX "byte 0xc3 is not valid UTF-8\n" },
        { JSON_IN("\xc3"), JSON_SYNTAX "byte 0xc3 is not valid UTF-8\n" },
        { JSON_IN("\"\xe2\x82\""), JSON_SYNTAX "byte 0xe2 is not valid UTF-8\n" },
        { JSON_IN("\"\xc0\x80"), JSON_SYNTAX "byte 0xc0 is not valid UTF-8\n" },
        { JSON_IN("\"\xc1\xbf"), JSON_SYNTAX "byte 0xc1 is not valid UTF-8\n" },
        { JSON_IN("\"\xe0\x9f\xbf"), JSON_SYNTAX "byte 0xe0 is not valid UTF-8\n" },
        { JSON_IN("\"\xed\xa0\x80"), JSON_SYNTAX "byte 0xed is not valid UTF-8\n" },
        { JSON_IN("\"\xf0\x8f\xbf\xbf"), JSON_SYNTAX "byte 0xf0 is not valid UTF-8\n" },
        { JSON_IN("\"\xf4\x90\x80\x80"), JSON_SYNTAX "byte 0xf4 is not valid UTF-8\n" },
        { JSON_IN("\"\xf5\x80\x80\x80"), JSON_SYNTAX "byte 0xf5 is not valid UTF-8\n" },
    };

    json_run_cases(cases, G_N_ELEMENTS(cases));
}

static void test_excerpts_are_cut(void)
{
    static const JsonCase cases[] = {
        /* A name of 32 bytes is shown whole, a longer one cut between two characters. */
        { JSON_IN("{\"0123456789abcdef0123456789abcdef\"}"),
          JSON_SYNTAX "expected ':' after member name \"0123456789abcdef0123456789abcdef\", found "
                      "'}'\n" },
        { JSON_IN("{\"0123456789abcdef0123456789abcdef!\"}"), JSON_SYNTAX
          "expected ':' after member name \"0123456789abcdef0123456789abcdef...\", found "
          "'}'\n" },
        { JSON_IN("{\"0123456789abcdef0123456789abcde\xc3\xa9\"}"), JSON_SYNTAX
          "expected ':' after member name \"0123456789abcdef0123456789abcde...\", found "
          "'}'\n" },
        { JSON_IN("{\"\\u0007\\\"\"}"),
          JSON_SYNTAX "expected ':' after member name \"\\u0007\\\"\", found '}'\n" },
        { JSON_IN("abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"),
          JSON_SYNTAX "unknown word 'abcdefghijklmnopqrstuvwxyzabcdef...'\n" },
    };

    json_run_cases(cases, G_N_ELEMENTS(cases));
}

static void test_finish(void)
{
    static const JsonCase cases[] = {
        { JSON_IN("{"), JSON_SYNTAX "the input ends inside an object\n" },
        { JSON_IN("[{\"a\":[]"), JSON_SYNTAX "the input ends inside an object\n" },
        { JSON_IN("{\"a\":["), JSON_SYNTAX "the input ends inside an array\n" },
        { JSON_IN("[1"), JSON_SYNTAX "the input ends inside an array\n" },
        { JSON_IN("\"abc"), JSON_SYNTAX "the input ends inside a string\n" },
        { JSON_IN("[\"\\"), JSON_SYNTAX "the input ends inside a string\n" },
        { JSON_IN("{} [1,2] ["), "{}\n[1, 2]\n" JSON_SYNTAX "the input ends inside an array\n" },
        /* One error for one broken value: what ends while it is skipped is not reported again. */
        { JSON_IN("[tru,"), JSON_SYNTAX "unknown word 'tru'\n" },
        { JSON_IN("[tru,\""), JSON_SYNTAX "unknown word 'tru'\n" },
        { JSON_IN("01"), JSON_SYNTAX "invalid number '01'\n" },
        { JSON_IN("01\xc3"), JSON_SYNTAX "invalid number '01'\n" },
        { JSON_IN("\xff ["), JSON_SYNTAX "byte 0xff is not valid UTF-8\n" },
    };

    json_run_cases(cases, G_N_ELEMENTS(cases));
}

/* ---- when it is reported ---- */

static void test_reports_at_once(void)
{
    /* All but the last byte report nothing; the last one reports, with no end of input. */
    static const JsonCase cases[] = {
        { JSON_IN("{}"), "{}\n" },
        { JSON_IN("\"a\""), "\"a\"\n" },
        { JSON_IN("12 "), "12\n" },
        { JSON_IN("12["), "12\n" },
        { JSON_IN("null\n"), "null\n" },
        { JSON_IN("[01"), JSON_SYNTAX "invalid number '01'\n" },
        { JSON_IN("[tru,"), JSON_SYNTAX "unknown word 'tru'\n" },
        { JSON_IN("abcdefghijklmnopqrstuvwxyzabcdefg"),
          JSON_SYNTAX "unknown word 'abcdefghijklmnopqrstuvwxyzabcdef...'\n" },
        { JSON_IN("[1,]"), JSON_SYNTAX "expected a value after ',', found ']'\n" },
        { JSON_IN("{\"a\":{\"b\":1,\"b\""), JSON_SYNTAX "duplicate member name \"b\"\n" },
        { JSON_IN("{\"a\\x"), JSON_SYNTAX "unknown escape '\\x' in a string\n" },
        { JSON_IN("\"\\udc00"), JSON_SYNTAX "lone surrogate \\udc00 in a string\n" },
        { JSON_IN("{\"a\":\"\xff"), JSON_SYNTAX "byte 0xff is not valid UTF-8\n" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        JsonLog log;

        json_log_begin(&log, NULL);
        json_log_feed_pieces(&log, cases[i].input, cases[i].len - 1, 1);
        g_assert_cmpstr(log.text->str, ==, "");
        json_log_feed_pieces(&log, cases[i].input + cases[i].len - 1, 1, 1);
        g_assert_cmpstr(log.text->str, ==, cases[i].expected);
        json_log_end(&log);
    }
}

/* ---- stop, lines, life ---- */

static void test_stop(void)
{
    static const struct {
        const char *input;
        unsigned stop_at;
        size_t consumed;
        const char *before, *after;
    } cases[] = {
        { "{}[]", 1, 2, "{}\n", "[]\n" },
        { "{}[]", 2, 4, "{}\n[]\n", "" },
        { "1 2 ", 1, 1, "1\n", "2\n" },
        { "1[2]", 1, 1, "1\n", "[2]\n" },
        { "1}\n", 1, 1, "1\n", JSON_SYNTAX "expected a value, found '}'\n" },
        { "\"a\"\"b\"", 1, 3, "\"a\"\n", "\"b\"\n" },
        { "[01, 2]3 ", 1, 3, JSON_SYNTAX "invalid number '01'\n", "3\n" },
        { "[tru]3 ", 1, 5, JSON_SYNTAX "unknown word 'tru'\n", "3\n" },
        { "tru[3]", 1, 3, JSON_SYNTAX "unknown word 'tru'\n", "[3]\n" },
        { "\xff[3]", 1, 1, JSON_SYNTAX "byte 0xff is not valid UTF-8\n", "[3]\n" },
        { "\xc3[3]", 1, 1, JSON_SYNTAX "byte 0xc3 is not valid UTF-8\n", "[3]\n" },
        { "[\xc3\xa9][3]", 1, 4, JSON_SYNTAX "unknown word '\\u00e9'\n", "[3]\n" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        size_t len = strlen(cases[i].input);
        size_t consumed;
        JsonLog log;

        json_log_begin(&log, NULL);
        log.stop_at = cases[i].stop_at;
        consumed = qmp_json_parser_feed(log.parser, cases[i].input, len);
        g_assert_cmpuint(consumed, ==, cases[i].consumed);
        g_assert_cmpstr(log.text->str, ==, cases[i].before);

        g_string_truncate(log.text, 0);
        g_assert_cmpuint(
            qmp_json_parser_feed(log.parser, cases[i].input + consumed, len - consumed), ==,
            len - consumed);
        g_assert_cmpstr(log.text->str, ==, cases[i].after);
        json_log_end(&log);
    }
}

static void test_lines(void)
{
    JsonLog log;

    json_log_begin(&log, NULL);
    log.lines = true;
    json_log_feed(&log, "\n{\n\n}\n1\n[\ntru\n]\n\xff\n\"a\n\n\n[[1]]");
    g_assert_cmpstr(log.text->str, ==,
                    "2:4 {}\n"
                    "5:5 1\n"
                    "6:7 " JSON_SYNTAX "unknown word 'tru'\n"
                    "9:9 " JSON_SYNTAX "byte 0xff is not valid UTF-8\n"
                    "10:10 " JSON_SYNTAX "control character 0x0a in a string\n"
                    "13:13 [[1]]\n");

    g_string_truncate(log.text, 0);
    json_log_feed(&log, "\n[\n1");
    qmp_json_parser_finish(log.parser);
    json_log_feed(&log, "{}");
    g_assert_cmpstr(log.text->str, ==,
                    "14:15 " JSON_SYNTAX "the input ends inside an array\n"
                    "1:1 {}\n");
    json_log_end(&log);
}

static void test_free_in_mid_value(void)
{
    static const char input[] = "{\"a\": [{\"b\": \"c\"}, \"unfinished";

    for (size_t len = 0; len <= strlen(input); len++) {
        JsonLog log;

        /* The leak checker fails this one. */
        json_log_begin(&log, NULL);
        json_log_feed_pieces(&log, input, len, 5);
        g_assert_cmpstr(log.text->str, ==, "");
        json_log_end(&log);
    }
    qmp_json_parser_free(NULL);
}

#define ADD(name, function) g_test_add_func("/qmp/json-parser/" name, function)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("accepts what RFC 8259 accepts", test_accepts);
    ADD("numbers keep their text or are exact", test_numbers);
    ADD("numbers are of the type that holds them", test_number_types);
    ADD("strings, escapes, UTF-8 and both quotes", test_strings);
    ADD("rejects broken structure", test_rejects_structure);
    ADD("rejects duplicate member names", test_rejects_duplicates);
    ADD("rejects broken numbers", test_rejects_numbers);
    ADD("rejects unknown words", test_rejects_words);
    ADD("rejects broken escapes and surrogates", test_rejects_strings);
    ADD("rejects control characters and invalid UTF-8", test_rejects_bytes);
    ADD("error texts are escaped and cut short", test_excerpts_are_cut);
    ADD("the end of input completes or reports", test_finish);
    ADD("reports at the byte that decides", test_reports_at_once);
    ADD("stop leaves the rest for later", test_stop);
    ADD("lines of values and errors", test_lines);
    ADD("freed in mid value, leaks nothing", test_free_in_mid_value);
    return g_test_run();
}
