/*
 * JSON parser: what it accepts and rejects, its error texts, its limits, and how it goes on after
 * an error. Every case is parsed whole and cut into pieces of several sizes, the smallest one byte,
 * and must report the same each time; after each case the parser must take a good value.
 */
#include <stdbool.h>
#include <string.h>

#include "qmp/qmp-json.h"

/* What a parser reported, one line a report: a value as JSON, or an error as "! text". */
typedef struct Log {
    GString *text;
    QmpJsonParser *parser;
    unsigned stop_at; /* stop at the report of this number, from 1; 0 is never */
    unsigned reports;
    bool lines;  /* begin each report with get_line():get_current_line() */
    bool domain; /* begin each error with its code */
} Log;

static void log_report(json_object *value, GError *error, void *opaque)
{
    Log *log = opaque;

    log->reports++;
    if (log->lines) {
        g_string_append_printf(log->text, "%u:%u ", qmp_json_parser_get_line(log->parser),
                               qmp_json_parser_get_current_line(log->parser));
    }
    if (error == NULL) {
        qmp_json_write(log->text, value);
        json_object_put(value);
    } else {
        g_assert_null(value);
        g_assert_true(error->domain == QMP_JSON_ERROR);
        g_string_append(log->text, "! ");
        if (log->domain) {
            g_string_append(log->text, error->code == QMP_JSON_ERROR_LIMIT ? "LIMIT " : "SYNTAX ");
        }
        g_string_append(log->text, error->message);
        g_error_free(error);
    }
    g_string_append_c(log->text, '\n');
    if (log->reports == log->stop_at) {
        qmp_json_parser_stop(log->parser);
    }
}

static void log_begin(Log *log, const QmpJsonLimits *limits)
{
    *log = (Log){ .text = g_string_new(NULL) };
    log->parser = qmp_json_parser_new(limits, log_report, log);
}

static void log_end(Log *log)
{
    qmp_json_parser_free(log->parser);
    g_string_free(log->text, TRUE);
}

/* Feed in pieces of @piece bytes, each a heap copy that ends where the piece does. */
static void feed_pieces(Log *log, const char *input, size_t len, size_t piece)
{
    for (size_t i = 0; i < len; i += piece) {
        size_t n = MIN(piece, len - i);
        g_autofree char *copy = g_memdup2(input + i, n);

        g_assert_cmpuint(qmp_json_parser_feed(log->parser, copy, n), ==, n);
    }
}

static void feed(Log *log, const char *input)
{
    feed_pieces(log, input, strlen(input), strlen(input));
}

/* The reports for @input, and for the end of input after it, in pieces of @piece bytes. */
static char *reports_of(const char *input, size_t len, const QmpJsonLimits *limits, size_t piece)
{
    Log log;
    char *result;

    log_begin(&log, limits);
    feed_pieces(&log, input, len, piece);
    qmp_json_parser_finish(log.parser);
    result = g_strdup(log.text->str);

    g_string_truncate(log.text, 0);
    feed(&log, "7 ");
    g_assert_cmpstr(log.text->str, ==, "7\n");
    log_end(&log);
    return result;
}

static void assert_reports(const char *input, size_t len, const QmpJsonLimits *limits,
                           const char *expected)
{
    static const size_t pieces[] = { SIZE_MAX / 2, 1, 2, 3, 7 };

    for (size_t i = 0; i < G_N_ELEMENTS(pieces); i++) {
        g_autofree char *reports = reports_of(input, len, limits, pieces[i]);

        if (strcmp(reports, expected) != 0) {
            g_autoptr(GString) shown = g_string_new(NULL);

            qmp_json_escape(shown, input, len);
            g_test_message("input \"%s\" in pieces of %zu", shown->str, pieces[i]);
        }
        g_assert_cmpstr(reports, ==, expected);
    }
}

typedef struct Case {
    const char *input;
    size_t len;
    const char *expected;
} Case;

#define IN(literal) literal, sizeof(literal) - 1

#define RUN_CASES(cases)                                                       \
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {                         \
        assert_reports(cases[i].input, cases[i].len, NULL, cases[i].expected); \
    }

/* ---- what is accepted ---- */

static void test_accepts(void)
{
    static const Case cases[] = {
        { IN(""), "" },
        { IN(" \t\r\n"), "" },
        { IN("{}"), "{}\n" },
        { IN("[]"), "[]\n" },
        { IN(" [ ] "), "[]\n" },
        { IN("{\t\"a\"\r:\n1 }"), "{\"a\": 1}\n" },
        { IN("[[],{},[{}]]"), "[[], {}, [{}]]\n" },
        { IN("{\"a\":{\"b\":[{\"c\":null}]},\"d\":[]}"),
          "{\"a\": {\"b\": [{\"c\": null}]}, \"d\": []}\n" },
        { IN("{\"\":0}"), "{\"\": 0}\n" },
        { IN("{\"a\":{\"a\":{\"a\":1}}}"), "{\"a\": {\"a\": {\"a\": 1}}}\n" },
        { IN("[true,false,null]"), "[true, false, null]\n" },
        { IN("{}{}[]"), "{}\n{}\n[]\n" },
        { IN("true"), "true\n" },
        { IN("null"), "null\n" },
        { IN("12"), "12\n" },
        { IN("\"x\""), "\"x\"\n" },
        { IN("1 2\n3[4]5{}\"6\"7\"8\""), "1\n2\n3\n[4]\n5\n{}\n\"6\"\n7\n\"8\"\n" },
    };

    RUN_CASES(cases);
}

static void test_numbers(void)
{
    static const Case cases[] = {
        { IN("[0,-1,10,1234567890]"), "[0, -1, 10, 1234567890]\n" },
        { IN("[9223372036854775807,-9223372036854775808]"),
          "[9223372036854775807, -9223372036854775808]\n" },
        { IN("[9223372036854775808,18446744073709551615]"),
          "[9223372036854775808, 18446744073709551615]\n" },
        { IN("[18446744073709551616,-9223372036854775809]"),
          "[18446744073709551616, -9223372036854775809]\n" },
        { IN("[-0,0.0,-0.0,1.50,0e0,0E+1]"), "[-0, 0.0, -0.0, 1.50, 0e0, 0E+1]\n" },
        { IN("[1e5,1E5,1e+5,1E-05,123.456e78]"), "[1e5, 1E5, 1e+5, 1E-05, 123.456e78]\n" },
        { IN("[1e-999]"), "[1e-999]\n" },
        { IN("[1e308]"), "[1e308]\n" },
        { IN("1e999"), "! JSON syntax error: number out of range '1e999'\n" },
        { IN("[-1e999]"), "! JSON syntax error: number out of range '-1e999'\n" },
    };

    RUN_CASES(cases);
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
    static const Case cases[] = {
        { IN("\"\""), "\"\"\n" },
        { IN("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), "\"\\\"\\\\/\\b\\f\\n\\r\\t\"\n" },
        { IN("\"\\u0041\\u00e9\\u20AC\\uFFFF\""), "\"A\\u00e9\\u20ac\\uffff\"\n" },
        { IN("\"a\\u0000b\""), "\"a\\u0000b\"\n" },
        { IN("\"\\ud83d\\ude00\\uD800\\uDC00\\udbff\\udfff\""),
          "\"\\ud83d\\ude00\\ud800\\udc00\\udbff\\udfff\"\n" },
        { IN("\"\x7f\""), "\"\\u007f\"\n" },
        { IN("\"\xc2\x80\xdf\xbf\""), "\"\\u0080\\u07ff\"\n" },
        { IN("\"\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\""),
          "\"\\u0800\\ud7ff\\ue000\\uffff\"\n" },
        { IN("\"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\""), "\"\\ud800\\udc00\\udbff\\udfff\"\n" },
        { IN("{\"\xc3\xa9\":\"{[\"}"), "{\"\\u00e9\": \"{[\"}\n" },
        /* The extensions. */
        { IN("'x'"), "\"x\"\n" },
        { IN("{'a':'b'}"), "{\"a\": \"b\"}\n" },
        { IN("'say \"x\"'"), "\"say \\\"x\\\"\"\n" },
        { IN("\"it's\""), "\"it's\"\n" },
        { IN("'it\\'s'"), "\"it's\"\n" },
        { IN("\"it\\'s\""), "\"it's\"\n" },
        { IN("'\\\"'"), "\"\\\"\"\n" },
    };

    RUN_CASES(cases);
}

/* ---- what is rejected ---- */

#define SYNTAX "! JSON syntax error: "

static void test_rejects_structure(void)
{
    static const Case cases[] = {
        { IN("[1,]"), SYNTAX "expected a value after ',', found ']'\n" },
        { IN("[,1]"), SYNTAX "expected a value or ']', found ','\n" },
        { IN("[1 2]"), SYNTAX "expected ',' or ']', found '2'\n" },
        { IN("[1\"a\"]"), SYNTAX "expected ',' or ']', found a string\n" },
        { IN("[1,,2]"), SYNTAX "expected a value after ',', found ','\n" },
        { IN("[1:2]"), SYNTAX "expected ',' or ']', found ':'\n" },
        { IN("[}"), SYNTAX "expected a value or ']', found '}'\n" },
        { IN("[1}"), SYNTAX "expected ',' or ']', found '}'\n" },
        { IN("{]"), SYNTAX "expected a member name or '}', found ']'\n" },
        { IN("{1:2}"), SYNTAX "expected a member name or '}', found '1'\n" },
        { IN("{a:2}"), SYNTAX "expected a member name or '}', found 'a'\n" },
        { IN("{,}"), SYNTAX "expected a member name or '}', found ','\n" },
        { IN("{\"a\":1,}"), SYNTAX "expected a member name after ',', found '}'\n" },
        { IN("{\"a\":1,2}"), SYNTAX "expected a member name after ',', found '2'\n" },
        { IN("{\"a\" 1}"), SYNTAX "expected ':' after member name \"a\", found '1'\n" },
        { IN("{\"a\"}"), SYNTAX "expected ':' after member name \"a\", found '}'\n" },
        { IN("{\"a\",}"), SYNTAX "expected ':' after member name \"a\", found ','\n" },
        { IN("{\"a\":}"), SYNTAX "expected a value for member \"a\", found '}'\n" },
        { IN("{\"a\"::1}"), SYNTAX "expected a value for member \"a\", found ':'\n" },
        { IN("{\"a\":1 \"b\":2}"), SYNTAX "expected ',' or '}', found a string\n" },
        { IN("{\"a\":1]"), SYNTAX "expected ',' or '}', found ']'\n" },
        { IN("{[]:1}"), SYNTAX "expected a member name or '}', found '['\n" },
        { IN("[/**/]"), SYNTAX "unknown word '/**/'\n" },
        { IN("[# x\n]"), SYNTAX "unknown word '#'\n" },
        { IN("{\"a\":1 // x\n}"), SYNTAX "expected ',' or '}', found '/'\n" },
        { IN("{\xc3\xa9:1}"), SYNTAX "expected a member name or '}', found '\\u00e9'\n" },
        { IN("}"), SYNTAX "expected a value, found '}'\n" },
        { IN("]"), SYNTAX "expected a value, found ']'\n" },
        { IN(","), SYNTAX "expected a value, found ','\n" },
        { IN(":"), SYNTAX "expected a value, found ':'\n" },
    };

    RUN_CASES(cases);
}

static void test_rejects_duplicates(void)
{
    static const Case cases[] = {
        { IN("{\"a\":1,\"a\":1}"), SYNTAX "duplicate member name \"a\"\n" },
        { IN("{\"a\":1,\"b\":{},'\\u0061':2}"), SYNTAX "duplicate member name \"a\"\n" },
        { IN("{\"\":1,\"\":2}"), SYNTAX "duplicate member name \"\"\n" },
        { IN("[{\"a\":null,\"a\":null},{}]"), SYNTAX "duplicate member name \"a\"\n" },
    };

    RUN_CASES(cases);
}

static void test_rejects_numbers(void)
{
    static const Case cases[] = {
        { IN("[01]"), SYNTAX "invalid number '01'\n" },
        { IN("[-01]"), SYNTAX "invalid number '-01'\n" },
        { IN("[00]"), SYNTAX "invalid number '00'\n" },
        { IN("[+1]"), SYNTAX "invalid number '+'\n" },
        { IN("[.5]"), SYNTAX "invalid number '.'\n" },
        { IN("[-.5]"), SYNTAX "invalid number '-.'\n" },
        { IN("[1.]"), SYNTAX "invalid number '1.'\n" },
        { IN("[1.e5]"), SYNTAX "invalid number '1.e'\n" },
        { IN("[1.5.5]"), SYNTAX "invalid number '1.5.'\n" },
        { IN("[1e]"), SYNTAX "invalid number '1e'\n" },
        { IN("[1e+]"), SYNTAX "invalid number '1e+'\n" },
        { IN("[1e5.5]"), SYNTAX "invalid number '1e5.'\n" },
        { IN("[1e5e5]"), SYNTAX "invalid number '1e5e'\n" },
        { IN("[-]"), SYNTAX "invalid number '-'\n" },
        { IN("[--1]"), SYNTAX "invalid number '--'\n" },
        { IN("[-Infinity]"), SYNTAX "invalid number '-I'\n" },
        { IN("[0x10]"), SYNTAX "invalid number '0x'\n" },
        { IN("[1_000]"), SYNTAX "invalid number '1_'\n" },
        { IN("[1-2]"), SYNTAX "invalid number '1-'\n" },
        { IN("[1\xc3\xa9]"), SYNTAX "invalid number '1\\u00e9'\n" },
        { IN("[1\x7f]"), SYNTAX "invalid number '1\\u007f'\n" },
        { IN("1."), SYNTAX "invalid number '1.'\n" },
        { IN("-"), SYNTAX "invalid number '-'\n" },
        { IN("1true"), SYNTAX "invalid number '1t'\n" },
    };

    RUN_CASES(cases);
}

static void test_rejects_words(void)
{
    static const Case cases[] = {
        { IN("[tru]"), SYNTAX "unknown word 'tru'\n" },
        { IN("[truee]"), SYNTAX "unknown word 'truee'\n" },
        { IN("[True]"), SYNTAX "unknown word 'True'\n" },
        { IN("[nul]"), SYNTAX "unknown word 'nul'\n" },
        { IN("[NaN]"), SYNTAX "unknown word 'NaN'\n" },
        { IN("[Infinity]"), SYNTAX "unknown word 'Infinity'\n" },
        { IN("[undefined]"), SYNTAX "unknown word 'undefined'\n" },
        { IN("{\"a\":b}"), SYNTAX "unknown word 'b'\n" },
        { IN("[\\u0041]"), SYNTAX "unknown word '\\\\u0041'\n" },
        { IN("[caf\xc3\xa9]"), SYNTAX "unknown word 'caf\\u00e9'\n" },
        { IN("[\xf0\x9f\x98\x80]"), SYNTAX "unknown word '\\ud83d\\ude00'\n" },
        { IN("[\xef\xbb\xbf]"), SYNTAX "unknown word '\\ufeff'\n" },
        { IN("tru"), SYNTAX "unknown word 'tru'\n" },
    };

    RUN_CASES(cases);
}

static void test_rejects_strings(void)
{
    static const Case cases[] = {
        { IN("[\"\\x41\"]"), SYNTAX "unknown escape '\\x' in a string\n" },
        { IN("[\"\\a\"]"), SYNTAX "unknown escape '\\a' in a string\n" },
        { IN("[\"\\0\"]"), SYNTAX "unknown escape '\\0' in a string\n" },
        { IN("[\"\\U0041\"]"), SYNTAX "unknown escape '\\U' in a string\n" },
        { IN("[\"\\\xc3\xa9\"]"), SYNTAX "unknown escape '\\\\u00e9' in a string\n" },
        { IN("[\"\\u\"]"), SYNTAX "\\u in a string needs four hex digits\n" },
        { IN("[\"\\u12\"]"), SYNTAX "\\u in a string needs four hex digits\n" },
        { IN("[\"\\u123g\"]"), SYNTAX "\\u in a string needs four hex digits\n" },
        { IN("[\"\\u12\\\"\"]"), SYNTAX "\\u in a string needs four hex digits\n" },
        { IN("[\"\\u00\xc3\xa9\"]"), SYNTAX "\\u in a string needs four hex digits\n" },
        { IN("[\"\\ud800\"]"), SYNTAX "lone surrogate \\ud800 in a string\n" },
        { IN("[\"\\ud800x\"]"), SYNTAX "lone surrogate \\ud800 in a string\n" },
        { IN("[\"\\ud800\\n\"]"), SYNTAX "lone surrogate \\ud800 in a string\n" },
        { IN("[\"\\ud800\\\"\"]"), SYNTAX "lone surrogate \\ud800 in a string\n" },
        { IN("[\"\\ud800\\u0041\"]"), SYNTAX "lone surrogate \\ud800 in a string\n" },
        { IN("[\"\\ud800\\ud800\"]"), SYNTAX "lone surrogate \\ud800 in a string\n" },
        { IN("[\"\\udc00\"]"), SYNTAX "lone surrogate \\udc00 in a string\n" },
        { IN("[\"\\udc00\\ud800\"]"), SYNTAX "lone surrogate \\udc00 in a string\n" },
        { IN("{\"a\\u0000\":1}"), SYNTAX "\\u0000 in a member name\n" },
        { IN("{\"a\":1,\"\\u0000\":1}"), SYNTAX "\\u0000 in a member name\n" },
    };

    RUN_CASES(cases);
}

static void test_rejects_bytes(void)
{
    static const Case cases[] = {
        { IN("\"\n"), SYNTAX "control character 0x0a in a string\n" },
        { IN("\"\t"), SYNTAX "control character 0x09 in a string\n" },
        { IN("\"\\\n"), SYNTAX "control character 0x0a in a string\n" },
        { IN("\"\\u\n"), SYNTAX "control character 0x0a in a string\n" },
        { IN("\"\0"), SYNTAX "control character 0x00 in a string\n" },
        { IN("[1,\0"), SYNTAX "control character 0x00\n" },
        { IN("\x1f"), SYNTAX "control character 0x1f\n" },
        { IN("tru\x01"), SYNTAX "control character 0x01\n" },
        { IN("12\v"), SYNTAX "control character 0x0b\n" },
        { IN("\xff"), SYNTAX "byte 0xff is not valid UTF-8\n" },
        { IN("12\xff"), SYNTAX "byte 0xff is not valid UTF-8\n" },
        { IN("\"\x80"), SYNTAX "byte 0x80 is not valid UTF-8\n" },
        { IN("\"\xc3("), SYNTAX "byte 0xc3 is not valid UTF-8\n" },
        { IN("\"\xc3"), SYNTAX "byte 0xc3 is not valid UTF-8\n" },
        { IN("\xc3"), SYNTAX "byte 0xc3 is not valid UTF-8\n" },
        { IN("\"\xe2\x82\""), SYNTAX "byte 0xe2 is not valid UTF-8\n" },
        { IN("\"\xc0\x80"), SYNTAX "byte 0xc0 is not valid UTF-8\n" },
        { IN("\"\xc1\xbf"), SYNTAX "byte 0xc1 is not valid UTF-8\n" },
        { IN("\"\xe0\x9f\xbf"), SYNTAX "byte 0xe0 is not valid UTF-8\n" },
        { IN("\"\xed\xa0\x80"), SYNTAX "byte 0xed is not valid UTF-8\n" },
        { IN("\"\xf0\x8f\xbf\xbf"), SYNTAX "byte 0xf0 is not valid UTF-8\n" },
        { IN("\"\xf4\x90\x80\x80"), SYNTAX "byte 0xf4 is not valid UTF-8\n" },
        { IN("\"\xf5\x80\x80\x80"), SYNTAX "byte 0xf5 is not valid UTF-8\n" },
    };

    RUN_CASES(cases);
}

static void test_excerpts_are_cut(void)
{
    static const Case cases[] = {
        /* A name of 32 bytes is shown whole, a longer one cut between two characters. */
        { IN("{\"0123456789abcdef0123456789abcdef\"}"),
          SYNTAX "expected ':' after member name \"0123456789abcdef0123456789abcdef\", found "
                 "'}'\n" },
        { IN("{\"0123456789abcdef0123456789abcdef!\"}"),
          SYNTAX "expected ':' after member name \"0123456789abcdef0123456789abcdef...\", found "
                 "'}'\n" },
        { IN("{\"0123456789abcdef0123456789abcde\xc3\xa9\"}"),
          SYNTAX "expected ':' after member name \"0123456789abcdef0123456789abcde...\", found "
                 "'}'\n" },
        { IN("{\"\\u0007\\\"\"}"),
          SYNTAX "expected ':' after member name \"\\u0007\\\"\", found '}'\n" },
        { IN("abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"),
          SYNTAX "unknown word 'abcdefghijklmnopqrstuvwxyzabcdef...'\n" },
    };

    RUN_CASES(cases);
}

static void test_finish(void)
{
    static const Case cases[] = {
        { IN("{"), SYNTAX "the input ends inside an object\n" },
        { IN("[{\"a\":[]"), SYNTAX "the input ends inside an object\n" },
        { IN("{\"a\":["), SYNTAX "the input ends inside an array\n" },
        { IN("[1"), SYNTAX "the input ends inside an array\n" },
        { IN("\"abc"), SYNTAX "the input ends inside a string\n" },
        { IN("[\"\\"), SYNTAX "the input ends inside a string\n" },
        { IN("{} [1,2] ["), "{}\n[1, 2]\n" SYNTAX "the input ends inside an array\n" },
        /* One error for one broken value: what ends while it is skipped is not reported again. */
        { IN("[tru,"), SYNTAX "unknown word 'tru'\n" },
        { IN("[tru,\""), SYNTAX "unknown word 'tru'\n" },
        { IN("01"), SYNTAX "invalid number '01'\n" },
        { IN("01\xc3"), SYNTAX "invalid number '01'\n" },
        { IN("\xff ["), SYNTAX "byte 0xff is not valid UTF-8\n" },
    };

    RUN_CASES(cases);
}

/* ---- when it is reported ---- */

static void test_reports_at_once(void)
{
    /* All but the last byte report nothing; the last one reports, with no end of input. */
    static const Case cases[] = {
        { IN("{}"), "{}\n" },
        { IN("\"a\""), "\"a\"\n" },
        { IN("12 "), "12\n" },
        { IN("12["), "12\n" },
        { IN("null\n"), "null\n" },
        { IN("[01"), SYNTAX "invalid number '01'\n" },
        { IN("[tru,"), SYNTAX "unknown word 'tru'\n" },
        { IN("[1,]"), SYNTAX "expected a value after ',', found ']'\n" },
        { IN("{\"a\":{\"b\":1,\"b\""), SYNTAX "duplicate member name \"b\"\n" },
        { IN("{\"a\\x"), SYNTAX "unknown escape '\\x' in a string\n" },
        { IN("\"\\udc00"), SYNTAX "lone surrogate \\udc00 in a string\n" },
        { IN("{\"a\":\"\xff"), SYNTAX "byte 0xff is not valid UTF-8\n" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        Log log;

        log_begin(&log, NULL);
        feed_pieces(&log, cases[i].input, cases[i].len - 1, 1);
        g_assert_cmpstr(log.text->str, ==, "");
        feed_pieces(&log, cases[i].input + cases[i].len - 1, 1, 1);
        g_assert_cmpstr(log.text->str, ==, cases[i].expected);
        log_end(&log);
    }
}

/* ---- limits ---- */

typedef struct LimitCase {
    QmpJsonLimits limits;
    const char *input;
    const char *expected;
} LimitCase;

static void run_limit_cases(const LimitCase *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        assert_reports(cases[i].input, strlen(cases[i].input), &cases[i].limits, cases[i].expected);
    }
}

#define TOO_LONG "! JSON value is longer than 5 bytes\n"

static void test_limit_bytes(void)
{
    static const LimitCase cases[] = {
        { { .max_bytes = 5 }, "[1,2]{}", "[1, 2]\n{}\n" },
        { { .max_bytes = 5 }, "[1,23]{}", TOO_LONG "{}\n" },
        { { .max_bytes = 5 }, "[1, 2]{}", TOO_LONG "{}\n" },
        { { .max_bytes = 5 }, "  \n   [1,2]  \n   {}", "[1, 2]\n{}\n" },
        { { .max_bytes = 5 }, "\"abc\"{}", "\"abc\"\n{}\n" },
        { { .max_bytes = 5 }, "\"abcd\"{}", TOO_LONG "{}\n" },
        { { .max_bytes = 5 }, "\"ab\xc3\xa9\" 1", TOO_LONG "1\n" },
        { { .max_bytes = 5 }, "\"abc\\\"{}\" 1", TOO_LONG "1\n" },
        { { .max_bytes = 5 }, "\"abcdefghijklmn]}\\\"\" 1", TOO_LONG "1\n" },
        { { .max_bytes = 5 }, "\"\\u0041\" 1", TOO_LONG "1\n" },
        { { .max_bytes = 5 }, "12345 1", "12345\n1\n" },
        { { .max_bytes = 5 }, "123456 1", TOO_LONG "1\n" },
        { { .max_bytes = 5 }, "12345", "12345\n" },
        { { .max_bytes = 5 }, "12345[1]", "12345\n[1]\n" },
        { { .max_bytes = 5 }, "[\"abcdef]\", {\"a\": 1}, \"]\"] {}", TOO_LONG "{}\n" },
        { { .max_bytes = 5 }, "[    [[[", TOO_LONG },
    };

    run_limit_cases(cases, G_N_ELEMENTS(cases));
}

#define TOO_DEEP "! JSON value is nested deeper than 3 levels\n"

static void test_limit_depth(void)
{
    static const LimitCase cases[] = {
        { { .max_depth = 3 }, "[[[1]]]{}", "[[[1]]]\n{}\n" },
        { { .max_depth = 3 }, "[[[[1]]]]{}", TOO_DEEP "{}\n" },
        { { .max_depth = 3 }, "[{\"a\":[]},[[]]]{}", "[{\"a\": []}, [[]]]\n{}\n" },
        { { .max_depth = 3 }, "[{\"a\":[{}]}]{}", TOO_DEEP "{}\n" },
        { { .max_depth = 3 }, "[[[[[[[{\"]\":[]}]]]]]], 1]{}", TOO_DEEP "{}\n" },
        { { .max_depth = 3 }, "[[[[[[[[[[", TOO_DEEP },
    };

    run_limit_cases(cases, G_N_ELEMENTS(cases));
}

#define TOO_MANY "! JSON value has more than 5 tokens\n"

static void test_limit_tokens(void)
{
    static const LimitCase cases[] = {
        { { .max_tokens = 5 }, "[1,2]{}", "[1, 2]\n{}\n" },
        { { .max_tokens = 5 }, "[1,[]]{}", TOO_MANY "{}\n" },
        { { .max_tokens = 5 }, "{\"a\":1}{}", "{\"a\": 1}\n{}\n" },
        { { .max_tokens = 5 }, "{\"a\":[1]}{}", TOO_MANY "{}\n" },
        { { .max_tokens = 5 }, "[1,2,\"]\"]{}", TOO_MANY "{}\n" },
        { { .max_tokens = 5 }, "[1,2,\"]\",{}]{}", TOO_MANY "{}\n" },
        { { .max_tokens = 5 }, "1 2 3 4 5 6", "1\n2\n3\n4\n5\n6\n" },
        { { .max_tokens = 1 }, "[]1", "! JSON value has more than 1 tokens\n1\n" },
    };

    run_limit_cases(cases, G_N_ELEMENTS(cases));
}

static void test_limit_code(void)
{
    static const QmpJsonLimits limits = { .max_bytes = 8, .max_depth = 2, .max_tokens = 4 };
    Log log;

    log_begin(&log, &limits);
    log.domain = true;
    feed(&log, "[[[]]] [1,2] \"12345678\" [nul]");
    g_assert_cmpstr(log.text->str, ==,
                    "! LIMIT JSON value is nested deeper than 2 levels\n"
                    "! LIMIT JSON value has more than 4 tokens\n"
                    "! LIMIT JSON value is longer than 8 bytes\n"
                    "! SYNTAX JSON syntax error: unknown word 'nul'\n");
    log_end(&log);
}

static char *nested(size_t depth)
{
    GString *text = g_string_new(NULL);

    for (size_t i = 0; i < depth; i++) {
        g_string_append_c(text, '[');
    }
    for (size_t i = 0; i < depth; i++) {
        g_string_append_c(text, ']');
    }
    return g_string_free(text, FALSE);
}

static void assert_depth(const QmpJsonLimits *limits, size_t depth)
{
    g_autofree char *fits = nested(depth);
    g_autofree char *too_deep = nested(depth + 1);
    g_autofree char *fits_reports = g_strdup_printf("%s\n", fits);
    g_autofree char *error =
        g_strdup_printf("! JSON value is nested deeper than %zu levels\n", depth);

    assert_reports(fits, strlen(fits), limits, fits_reports);
    assert_reports(too_deep, strlen(too_deep), limits, error);
}

static void test_limit_defaults(void)
{
    static const QmpJsonLimits highest = { .max_depth = SIZE_MAX, .max_bytes = SIZE_MAX };
    size_t len = QMP_JSON_DEFAULT_MAX_BYTES;
    g_autofree char *text = g_malloc(len + 1);
    g_autofree char *reports = NULL;

    assert_depth(NULL, QMP_JSON_DEFAULT_MAX_DEPTH);
    assert_depth(&highest, QMP_JSON_HIGHEST_MAX_DEPTH);

    memset(text, 'x', len + 1);
    text[0] = '"';
    text[len] = '"';
    assert_reports(text, len + 1, NULL, "! JSON value is longer than 1048576 bytes\n");
    text[len - 1] = '"';
    reports = reports_of(text, len, NULL, len);
    g_assert_cmpuint(strlen(reports), ==, len + 1);

    /* An opening bracket, 64 Ki numbers with a comma after each but the last: one over. */
    memset(text, '1', len);
    for (size_t i = 0; i < QMP_JSON_DEFAULT_MAX_TOKENS; i += 2) {
        text[i] = i == 0 ? '[' : ',';
    }
    text[QMP_JSON_DEFAULT_MAX_TOKENS - 1] = ']';
    assert_reports(text, QMP_JSON_DEFAULT_MAX_TOKENS, NULL,
                   SYNTAX "expected a value after ',', found ']'\n");
    text[QMP_JSON_DEFAULT_MAX_TOKENS - 1] = '1';
    text[QMP_JSON_DEFAULT_MAX_TOKENS] = ']';
    assert_reports(text, QMP_JSON_DEFAULT_MAX_TOKENS + 1, NULL,
                   "! JSON value has more than 131072 tokens\n");
}

/* ---- recovery ---- */

static void test_recovers_at_the_end_of_the_value(void)
{
    static const Case cases[] = {
        { IN("{\"a\" 1} {\"b\":2}"),
          SYNTAX "expected ':' after member name \"a\", found '1'\n{\"b\": 2}\n" },
        { IN("[tru, {\"x\": 1}, [2]] 5"), SYNTAX "unknown word 'tru'\n5\n" },
        { IN("[01, fals, 1e999, \"\\x\", 1 2] 5"), SYNTAX "invalid number '01'\n5\n" },
        { IN("[tru, \"]\", '}]', \"\\\"]\", '\\']'] 5"), SYNTAX "unknown word 'tru'\n5\n" },
        { IN("{\"a\": \"\\x}\", \"b\": \"}\"} 5"), SYNTAX "unknown escape '\\x' in a string\n5\n" },
        { IN("{\"a\\ud800\": 1} 5"), SYNTAX "lone surrogate \\ud800 in a string\n5\n" },
        { IN("[\"\\ud800\\\"\"] 5"), SYNTAX "lone surrogate \\ud800 in a string\n5\n" },
        { IN("{\"a\":1,\"a\":\"}\"} 5"), SYNTAX "duplicate member name \"a\"\n5\n" },
        { IN("\"\\x\" 5"), SYNTAX "unknown escape '\\x' in a string\n5\n" },
        { IN("\"\\x\\\" \" 5"), SYNTAX "unknown escape '\\x' in a string\n5\n" },
        { IN("[tru\n,\n1\n]\n5"), SYNTAX "unknown word 'tru'\n5\n" },
        { IN("[tru] [fals]"), SYNTAX "unknown word 'tru'\n" SYNTAX "unknown word 'fals'\n" },
    };

    RUN_CASES(cases);
}

static void test_recovers_from_mismatched_brackets(void)
{
    static const Case cases[] = {
        /* No such bracket is open: the value ends. */
        { IN("[1, 2}{\"b\":2}"), SYNTAX "expected ',' or ']', found '}'\n{\"b\": 2}\n" },
        { IN("{\"a\":1]\n5"), SYNTAX "expected ',' or '}', found ']'\n5\n" },
        { IN("[[[1}\n5"), SYNTAX "expected ',' or ']', found '}'\n5\n" },
        /* One further out is: all up to that ends. */
        { IN("{\"a\":[1}{\"b\":2}"), SYNTAX "expected ',' or ']', found '}'\n{\"b\": 2}\n" },
        { IN("[{\"a\":[1},{}]{\"b\":2}"), SYNTAX "expected ',' or ']', found '}'\n{\"b\": 2}\n" },
        { IN("[[{\"a\":1],{}]{\"b\":2}"), SYNTAX "expected ',' or '}', found ']'\n{\"b\": 2}\n" },
        /* The end is a guess, so the remains make no more errors. */
        { IN("{\"a\":[1}]}\n5"), SYNTAX "expected ',' or ']', found '}'\n5\n" },
        { IN("[1}, 2]\n5"), SYNTAX "expected ',' or ']', found '}'\n5\n" },
    };

    RUN_CASES(cases);
}

static void test_recovers_at_the_next_byte(void)
{
    static const Case cases[] = {
        { IN("\xff{\"a\":1}"), SYNTAX "byte 0xff is not valid UTF-8\n{\"a\": 1}\n" },
        { IN("{\"a\": \xff{\"a\":1}"), SYNTAX "byte 0xff is not valid UTF-8\n{\"a\": 1}\n" },
        { IN("{\"a\": \"\xff{\"a\":1}"), SYNTAX "byte 0xff is not valid UTF-8\n{\"a\": 1}\n" },
        { IN("\xc3{\"a\":1}"), SYNTAX "byte 0xc3 is not valid UTF-8\n{\"a\": 1}\n" },
        { IN("[\x01[2]"), SYNTAX "control character 0x01\n[2]\n" },
        { IN("{\"a\": \"b\n{\"a\":1}"), SYNTAX "control character 0x0a in a string\n{\"a\": 1}\n" },
        { IN("\xff\n5"), SYNTAX "byte 0xff is not valid UTF-8\n5\n" },
        { IN("\xff\n\xff\n5"),
          SYNTAX "byte 0xff is not valid UTF-8\n" SYNTAX "byte 0xff is not valid UTF-8\n5\n" },
        { IN("\xc3\n5"), SYNTAX "byte 0xc3 is not valid UTF-8\n5\n" },
        /* While a broken value is skipped it ends the skip, and is no second error. */
        { IN("[tru, \xff{\"a\":1}"), SYNTAX "unknown word 'tru'\n{\"a\": 1}\n" },
        { IN("[tru, \"\n{\"a\":1}"), SYNTAX "unknown word 'tru'\n{\"a\": 1}\n" },
        { IN("[tru, \"\\\x01{\"a\":1}"), SYNTAX "unknown word 'tru'\n{\"a\": 1}\n" },
        { IN("[tru, \xe2\x82{\"a\":1}"), SYNTAX "unknown word 'tru'\n{\"a\": 1}\n" },
    };

    RUN_CASES(cases);
}

static void test_remains_make_no_errors(void)
{
    static const Case cases[] = {
        { IN("{\"execute\": \"\xc3\x28\"}\n{\"execute\":\"x\"}"),
          SYNTAX "byte 0xc3 is not valid UTF-8\n{\"execute\": \"x\"}\n" },
        { IN("}}}\n{}"), SYNTAX "expected a value, found '}'\n{}\n" },
        { IN("}}}{}}}\n5"),
          SYNTAX "expected a value, found '}'\n{}\n" SYNTAX "expected a value, found '}'\n5\n" },
        { IN("foo bar\n1\n"), SYNTAX "unknown word 'foo'\n1\n" },
        { IN("foo 1 \"x\" true null\n1\n"), SYNTAX "unknown word 'foo'\n1\n" },
        { IN("01 02 : ,\n1\n"), SYNTAX "invalid number '01'\n1\n" },
        { IN("01\n02\n"), SYNTAX "invalid number '01'\n" SYNTAX "invalid number '02'\n" },
        { IN("abc\"def\" ghi\n1"), SYNTAX "unknown word 'abc'\n1\n" },
        { IN("\xff tru \x01 [fals] \"\\x\" {} 5"), SYNTAX "byte 0xff is not valid UTF-8\n{}\n5\n" },
        { IN("\xff [fals] 5\n5"), SYNTAX "byte 0xff is not valid UTF-8\n5\n" },
        /* A line feed in a string does not end the quiet, one anywhere else does. */
        { IN("\xff \"a\nb\n5"), SYNTAX "byte 0xff is not valid UTF-8\n5\n" },
        { IN("\xff \"a\n7 b\n5"), SYNTAX "byte 0xff is not valid UTF-8\n5\n" },
        { IN("\xff [1,\n fals] 5"),
          SYNTAX "byte 0xff is not valid UTF-8\n" SYNTAX "unknown word 'fals'\n5\n" },
        { IN("\xff [fals,\n 1] fals"),
          SYNTAX "byte 0xff is not valid UTF-8\n" SYNTAX "unknown word 'fals'\n" },
        { IN("\xff [1] fals"),
          SYNTAX "byte 0xff is not valid UTF-8\n[1]\n" SYNTAX "unknown word 'fals'\n" },
    };

    RUN_CASES(cases);
}

static void test_finish_ends_the_quiet(void)
{
    Log log;

    log_begin(&log, NULL);
    feed(&log, "\xff 1 ");
    qmp_json_parser_finish(log.parser);
    feed(&log, "2 ");
    g_assert_cmpstr(log.text->str, ==, SYNTAX "byte 0xff is not valid UTF-8\n2\n");
    log_end(&log);
}

/* ---- stop, lines, pieces ---- */

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
        { "1}\n", 1, 1, "1\n", SYNTAX "expected a value, found '}'\n" },
        { "\"a\"\"b\"", 1, 3, "\"a\"\n", "\"b\"\n" },
        { "[01, 2]3 ", 1, 3, SYNTAX "invalid number '01'\n", "3\n" },
        { "[tru]3 ", 1, 5, SYNTAX "unknown word 'tru'\n", "3\n" },
        { "tru[3]", 1, 3, SYNTAX "unknown word 'tru'\n", "[3]\n" },
        { "\xff[3]", 1, 1, SYNTAX "byte 0xff is not valid UTF-8\n", "[3]\n" },
        { "\xc3[3]", 1, 1, SYNTAX "byte 0xc3 is not valid UTF-8\n", "[3]\n" },
        { "[\xc3\xa9][3]", 1, 4, SYNTAX "unknown word '\\u00e9'\n", "[3]\n" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        size_t len = strlen(cases[i].input);
        size_t consumed;
        Log log;

        log_begin(&log, NULL);
        log.stop_at = cases[i].stop_at;
        consumed = qmp_json_parser_feed(log.parser, cases[i].input, len);
        g_assert_cmpuint(consumed, ==, cases[i].consumed);
        g_assert_cmpstr(log.text->str, ==, cases[i].before);

        g_string_truncate(log.text, 0);
        g_assert_cmpuint(
            qmp_json_parser_feed(log.parser, cases[i].input + consumed, len - consumed), ==,
            len - consumed);
        g_assert_cmpstr(log.text->str, ==, cases[i].after);
        log_end(&log);
    }
}

static void test_lines(void)
{
    Log log;

    log_begin(&log, NULL);
    log.lines = true;
    feed(&log, "\n{\n\n}\n1\n[\ntru\n]\n\xff\n\"a\n\n\n[[1]]");
    g_assert_cmpstr(log.text->str, ==,
                    "2:4 {}\n"
                    "5:5 1\n"
                    "6:7 " SYNTAX "unknown word 'tru'\n"
                    "9:9 " SYNTAX "byte 0xff is not valid UTF-8\n"
                    "10:10 " SYNTAX "control character 0x0a in a string\n"
                    "13:13 [[1]]\n");

    g_string_truncate(log.text, 0);
    feed(&log, "\n[\n1");
    qmp_json_parser_finish(log.parser);
    feed(&log, "{}");
    g_assert_cmpstr(log.text->str, ==,
                    "14:15 " SYNTAX "the input ends inside an array\n"
                    "1:1 {}\n");
    log_end(&log);
}

/* Inputs of pieces of JSON in any order, good and bad, from a fixed seed. */
static void test_pieces_make_no_difference(void)
{
    static const char *const parts[] = {
        "{",    "}",         "[",     "]",    ",",        ":",       "\"a\"",   "'b'",
        "\"",   "\\",        "\n",    " ",    "1",        "-",       "0.5",     "tru",
        "null", "\xff",      "\xc3",  "\xa9", "\xe2\x82", "\\ud83d", "\\ude00", "\\u0",
        "\x01", "{\"a\":1}", "[1,2]", "true", "\"x\\",    "e9",
    };
    static const QmpJsonLimits limits = { .max_bytes = 40, .max_depth = 3, .max_tokens = 12 };
    g_autoptr(GRand) rand = g_rand_new_with_seed(20240229);

    for (unsigned i = 0; i < 3000; i++) {
        g_autoptr(GString) input = g_string_new(NULL);
        g_autofree char *whole = NULL;

        for (int n = g_rand_int_range(rand, 1, 40); n > 0; n--) {
            g_string_append(input, parts[g_rand_int_range(rand, 0, G_N_ELEMENTS(parts))]);
        }
        whole = reports_of(input->str, input->len, &limits, input->len);
        assert_reports(input->str, input->len, &limits, whole);
    }
}

static void test_free_in_mid_value(void)
{
    static const char input[] = "{\"a\": [{\"b\": \"c\"}, \"unfinished";

    for (size_t len = 0; len <= strlen(input); len++) {
        Log log;

        /* The leak checker fails this one. */
        log_begin(&log, NULL);
        feed_pieces(&log, input, len, 5);
        g_assert_cmpstr(log.text->str, ==, "");
        log_end(&log);
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
    ADD("limit of bytes", test_limit_bytes);
    ADD("limit of nesting", test_limit_depth);
    ADD("limit of tokens", test_limit_tokens);
    ADD("limits have an error code of their own", test_limit_code);
    ADD("limits by default and at their highest", test_limit_defaults);
    ADD("goes on after the end of a broken value", test_recovers_at_the_end_of_the_value);
    ADD("goes on after mismatched brackets", test_recovers_from_mismatched_brackets);
    ADD("goes on at the byte after one that can't occur", test_recovers_at_the_next_byte);
    ADD("remains of a broken value make no errors", test_remains_make_no_errors);
    ADD("the end of input ends the quiet", test_finish_ends_the_quiet);
    ADD("stop leaves the rest for later", test_stop);
    ADD("lines of values and errors", test_lines);
    ADD("how the input is cut makes no difference", test_pieces_make_no_difference);
    ADD("freed in mid value, leaks nothing", test_free_in_mid_value);
    return g_test_run();
}
