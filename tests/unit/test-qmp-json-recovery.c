/*
 * JSON parser: its limits, and how it goes on after an error: one broken value makes one error, and
 * the good value after it is taken.
 */
#include <string.h>

#include "tests/unit/json-fixture.h"

/* ---- limits ---- */

typedef struct LimitCase {
    QmpJsonLimits limits;
    const char *input;
    const char *expected;
} LimitCase;

static void run_limit_cases(const LimitCase *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        json_assert_reports(cases[i].input, strlen(cases[i].input), &cases[i].limits,
                            cases[i].expected);
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
        { { .max_depth = 3 },
          "[[[[[[[\xff\n[tru] 5",
          TOO_DEEP "! JSON syntax error: unknown word 'tru'\n5\n" },
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
    JsonLog log;

    json_log_begin(&log, &limits);
    log.codes = true;
    json_log_feed(&log, "[[[]]] [1,2] \"12345678\" [nul]");
    g_assert_cmpstr(log.text->str, ==,
                    "! LIMIT JSON value is nested deeper than 2 levels\n"
                    "! LIMIT JSON value has more than 4 tokens\n"
                    "! LIMIT JSON value is longer than 8 bytes\n"
                    "! SYNTAX JSON syntax error: unknown word 'nul'\n");
    json_log_end(&log);
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

    json_assert_reports(fits, strlen(fits), limits, fits_reports);
    json_assert_reports(too_deep, strlen(too_deep), limits, error);
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
    json_assert_reports(text, len + 1, NULL, "! JSON value is longer than 1048576 bytes\n");
    text[len - 1] = '"';
    reports = json_reports_of(text, len, NULL, len);
    g_assert_cmpuint(strlen(reports), ==, len + 1);

    /* An opening bracket, 64 Ki numbers with a comma after each but the last: one over. */
    memset(text, '1', len);
    for (size_t i = 0; i < QMP_JSON_DEFAULT_MAX_TOKENS; i += 2) {
        text[i] = i == 0 ? '[' : ',';
    }
    text[QMP_JSON_DEFAULT_MAX_TOKENS - 1] = ']';
    json_assert_reports(text, QMP_JSON_DEFAULT_MAX_TOKENS, NULL,
                        JSON_SYNTAX "expected a value after ',', found ']'\n");
    text[QMP_JSON_DEFAULT_MAX_TOKENS - 1] = '1';
    text[QMP_JSON_DEFAULT_MAX_TOKENS] = ']';
    json_assert_reports(text, QMP_JSON_DEFAULT_MAX_TOKENS + 1, NULL,
                        "! JSON value has more than 131072 tokens\n");
}

/* ---- recovery ---- */

static void test_recovers_at_the_end_of_the_value(void)
{
    static const JsonCase cases[] = {
        { JSON_IN("{\"a\" 1} {\"b\":2}"),
          JSON_SYNTAX "expected ':' after member name \"a\", found '1'\n{\"b\": 2}\n" },
        { JSON_IN("[tru, {\"x\": 1}, [2]] 5"), JSON_SYNTAX "unknown word 'tru'\n5\n" },
        { JSON_IN("[01, fals, 1e999, \"\\x\", 1 2] 5"), JSON_SYNTAX "invalid number '01'\n5\n" },
        { JSON_IN("[tru, \"]\", '}]', \"\\\"]\", '\\']'] 5"),
          JSON_SYNTAX "unknown word 'tru'\n5\n" },
        { JSON_IN("{\"a\": \"\\x}\", \"b\": \"}\"} 5"),
          JSON_SYNTAX "unknown escape '\\x' in a string\n5\n" },
        { JSON_IN("{\"a\\ud800\": 1} 5"), JSON_SYNTAX "lone surrogate \\ud800 in a string\n5\n" },
        { JSON_IN("[\"\\ud800\\\"\"] 5"), JSON_SYNTAX "lone surrogate \\ud800 in a string\n5\n" },
        { JSON_IN("{\"a\":1,\"a\":\"}\"} 5"), JSON_SYNTAX "duplicate member name \"a\"\n5\n" },
        { JSON_IN("\"\\x\" 5"), JSON_SYNTAX "unknown escape '\\x' in a string\n5\n" },
        { JSON_IN("\"\\x\\\" \" 5"), JSON_SYNTAX "unknown escape '\\x' in a string\n5\n" },
        { JSON_IN("[tru\n,\n1\n]\n5"), JSON_SYNTAX "unknown word 'tru'\n5\n" },
        { JSON_IN("\"\\ud800\" \"\\udc00\" \"\\u0041\""),
          JSON_SYNTAX "lone surrogate \\ud800 in a string\n" JSON_SYNTAX
                      "lone surrogate \\udc00 in a string\n\"A\"\n" },
        { JSON_IN("foo\n[tru] 5"),
          JSON_SYNTAX "unknown word 'foo'\n" JSON_SYNTAX "unknown word 'tru'\n5\n" },
        { JSON_IN("[tru] [fals]"),
          JSON_SYNTAX "unknown word 'tru'\n" JSON_SYNTAX "unknown word 'fals'\n" },
    };

    json_run_cases(cases, G_N_ELEMENTS(cases));
}

static void test_recovers_from_mismatched_brackets(void)
{
    static const JsonCase cases[] = {
        /* No such bracket is open: the value ends. */
        { JSON_IN("[1, 2}{\"b\":2}"), JSON_SYNTAX "expected ',' or ']', found '}'\n{\"b\": 2}\n" },
        { JSON_IN("{\"a\":1]\n5"), JSON_SYNTAX "expected ',' or '}', found ']'\n5\n" },
        { JSON_IN("[[[1}\n5"), JSON_SYNTAX "expected ',' or ']', found '}'\n5\n" },
        /* One further out is: all up to that ends. */
        { JSON_IN("{\"a\":[1}{\"b\":2}"),
          JSON_SYNTAX "expected ',' or ']', found '}'\n{\"b\": 2}\n" },
        { JSON_IN("[{\"a\":[1},{}]{\"b\":2}"),
          JSON_SYNTAX "expected ',' or ']', found '}'\n{\"b\": 2}\n" },
        { JSON_IN("[[{\"a\":1],{}]{\"b\":2}"),
          JSON_SYNTAX "expected ',' or '}', found ']'\n{\"b\": 2}\n" },
        /* The end is a guess, so the remains make no more errors. */
        { JSON_IN("{\"a\":[1}]}\n5"), JSON_SYNTAX "expected ',' or ']', found '}'\n5\n" },
        { JSON_IN("[1}, 2]\n5"), JSON_SYNTAX "expected ',' or ']', found '}'\n5\n" },
    };

    json_run_cases(cases, G_N_ELEMENTS(cases));
}

static void test_recovers_at_the_next_byte(void)
{
    static const JsonCase cases[] = {
        { JSON_IN("\xff{\"a\":1}"), JSON_SYNTAX "byte 0xff is not valid UTF-8\n{\"a\": 1}\n" },
        { JSON_IN("{\"a\": \xff{\"a\":1}"),
          JSON_SYNTAX "byte 0xff is not valid UTF-8\n{\"a\": 1}\n" },
        { JSON_IN("{\"a\": \"\xff{\"a\":1}"),
          JSON_SYNTAX "byte 0xff is not valid UTF-8\n{\"a\": 1}\n" },
        { JSON_IN("\xc3{\"a\":1}"), JSON_SYNTAX "byte 0xc3 is not valid UTF-8\n{\"a\": 1}\n" },
        { JSON_IN("[\x01[2]"), JSON_SYNTAX "control character 0x01\n[2]\n" },
        { JSON_IN("{\"a\": \"b\n{\"a\":1}"),
          JSON_SYNTAX "control character 0x0a in a string\n{\"a\": 1}\n" },
        { JSON_IN("\xff\n5"), JSON_SYNTAX "byte 0xff is not valid UTF-8\n5\n" },
        { JSON_IN("\xff\n\xff\n5"), JSON_SYNTAX "byte 0xff is not valid UTF-8\n" JSON_SYNTAX
                                                "byte 0xff is not valid UTF-8\n5\n" },
        { JSON_IN("\xc3\n5"), JSON_SYNTAX "byte 0xc3 is not valid UTF-8\n5\n" },
        /* While a broken value is skipped it ends the skip, and is no second error. */
        { JSON_IN("[tru, \xff{\"a\":1}"), JSON_SYNTAX "unknown word 'tru'\n{\"a\": 1}\n" },
        { JSON_IN("[tru, \"\n{\"a\":1}"), JSON_SYNTAX "unknown word 'tru'\n{\"a\": 1}\n" },
        { JSON_IN("[tru, \"\\\x01{\"a\":1}"), JSON_SYNTAX "unknown word 'tru'\n{\"a\": 1}\n" },
        { JSON_IN("[tru, \xe2\x82{\"a\":1}"), JSON_SYNTAX "unknown word 'tru'\n{\"a\": 1}\n" },
    };

    json_run_cases(cases, G_N_ELEMENTS(cases));
}

static void test_remains_make_no_errors(void)
{
    static const JsonCase cases[] = {
        { JSON_IN("{\"execute\": \"\xc3\x28\"}\n{\"execute\":\"x\"}"),
          JSON_SYNTAX "byte 0xc3 is not valid UTF-8\n{\"execute\": \"x\"}\n" },
        { JSON_IN("}}}\n{}"), JSON_SYNTAX "expected a value, found '}'\n{}\n" },
        { JSON_IN("}}}{}}}\n5"), JSON_SYNTAX "expected a value, found '}'\n{}\n" JSON_SYNTAX
                                             "expected a value, found '}'\n5\n" },
        { JSON_IN("foo bar\n1\n"), JSON_SYNTAX "unknown word 'foo'\n1\n" },
        { JSON_IN("foo 1 \"x\" true null\n1\n"), JSON_SYNTAX "unknown word 'foo'\n1\n" },
        { JSON_IN("01 02 : ,\n1\n"), JSON_SYNTAX "invalid number '01'\n1\n" },
        { JSON_IN("01\n02\n"),
          JSON_SYNTAX "invalid number '01'\n" JSON_SYNTAX "invalid number '02'\n" },
        { JSON_IN("abc\"def\" ghi\n1"), JSON_SYNTAX "unknown word 'abc'\n1\n" },
        { JSON_IN("\xff tru \x01 [fals] \"\\x\" {} 5"),
          JSON_SYNTAX "byte 0xff is not valid UTF-8\n{}\n5\n" },
        { JSON_IN("\xff [fals] 5\n5"), JSON_SYNTAX "byte 0xff is not valid UTF-8\n5\n" },
        /* A line json_log_feed in a string does not end the quiet, one anywhere else does. */
        { JSON_IN("\xff \"a\nb\n5"), JSON_SYNTAX "byte 0xff is not valid UTF-8\n5\n" },
        { JSON_IN("\xff \"a\n7 b\n5"), JSON_SYNTAX "byte 0xff is not valid UTF-8\n5\n" },
        { JSON_IN("\xff [1,\n fals] 5"),
          JSON_SYNTAX "byte 0xff is not valid UTF-8\n" JSON_SYNTAX "unknown word 'fals'\n5\n" },
        { JSON_IN("\xff [fals,\n 1] fals"),
          JSON_SYNTAX "byte 0xff is not valid UTF-8\n" JSON_SYNTAX "unknown word 'fals'\n" },
        { JSON_IN("\xff [1] fals"),
          JSON_SYNTAX "byte 0xff is not valid UTF-8\n[1]\n" JSON_SYNTAX "unknown word 'fals'\n" },
    };

    json_run_cases(cases, G_N_ELEMENTS(cases));
}

static void test_finish_ends_the_quiet(void)
{
    JsonLog log;

    json_log_begin(&log, NULL);
    json_log_feed(&log, "\xff 1 ");
    qmp_json_parser_finish(log.parser);
    json_log_feed(&log, "2 ");
    g_assert_cmpstr(log.text->str, ==, JSON_SYNTAX "byte 0xff is not valid UTF-8\n2\n");
    json_log_end(&log);
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
        whole = json_reports_of(input->str, input->len, &limits, input->len);
        json_assert_reports(input->str, input->len, &limits, whole);
    }
}

#define ADD(name, function) g_test_add_func("/qmp/json-recovery/" name, function)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
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
    ADD("how the input is cut makes no difference", test_pieces_make_no_difference);
    return g_test_run();
}
