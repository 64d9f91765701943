/*
 * Fuzz target: the framer and JSON parser.
 *
 * Whatever the bytes, this holds: what is reported does not depend on how the input is cut into
 * pieces, nor on the receiver stopping the parser at each report; a value that is accepted is
 * written as one line of ASCII, which is read as the same value, by json-c's own parser too; and
 * after the end of the input the parser is as new.
 */
#include "tests/fuzz/fuzz.h"

#include <stdbool.h>
#include <string.h>

#include "qmp/qmp-json.h"

/* The reports of one pass over the input, as text. */
typedef struct Log {
    QmpJsonParser *parser;
    GString *text;
    bool stops; /* at each report */
} Log;

static void take_report(json_object *value, GError *error, void *opaque)
{
    Log *log = opaque;

    g_string_append_printf(log->text, "%u ", qmp_json_parser_get_line(log->parser));
    if (error) {
        fuzz_assert(value == NULL && error->domain == QMP_JSON_ERROR && *error->message != '\0');
        g_string_append_printf(log->text, "! %d %s\n", error->code, error->message);
        g_error_free(error);
    } else {
        qmp_json_write(log->text, value);
        g_string_append_c(log->text, '\n');
        json_object_put(value);
    }
    if (log->stops) {
        qmp_json_parser_stop(log->parser);
    }
}

/* Feed bytes, again from where the parser stopped. */
static void feed(Log *log, const char *data, size_t len)
{
    size_t used = 0;
    bool stuck = false;

    while (used < len) {
        size_t n = qmp_json_parser_feed(log->parser, data + used, len - used);

        fuzz_assert(n <= len - used && (log->stops || n == len - used));
        /* It may stop at the report of a number before the byte that shows the number's end. */
        fuzz_assert(n > 0 || !stuck);
        stuck = n == 0;
        used += n;
    }
}

/* The reports for the input in pieces of @piece bytes, each a copy that ends where the piece does.
 */
static char *reports_of(const char *data, size_t len, const QmpJsonLimits *limits, size_t piece,
                        bool stops)
{
    Log log = { .text = g_string_new(NULL), .stops = stops };
    char *reports;

    log.parser = qmp_json_parser_new(limits, take_report, &log);
    for (size_t i = 0; i < len; i += MIN(piece, len - i)) {
        g_autofree char *copy = g_memdup2(data + i, MIN(piece, len - i));

        feed(&log, copy, MIN(piece, len - i));
    }
    qmp_json_parser_finish(log.parser);
    reports = g_strdup(log.text->str);
    g_string_truncate(log.text, 0);
    feed(&log, "7 ", 2);
    fuzz_assert(strcmp(log.text->str, "1 7\n") == 0);
    qmp_json_parser_free(log.parser);
    g_string_free(log.text, TRUE);
    return reports;
}

static void expect_same(const char *expected, char *reports)
{
    if (strcmp(reports, expected) != 0) {
        fuzz_fail("in one piece:\n%s\nelse:\n%s", expected, reports);
    }
    g_free(reports);
}

/* Every way to cut the input gives the same reports, which are returned. */
static char *check_cuts(const char *data, size_t len, const QmpJsonLimits *limits)
{
    char *whole = reports_of(data, len, limits, len, false);

    expect_same(whole, reports_of(data, len, limits, 1, false));
    expect_same(whole, reports_of(data, len, limits, 3 + len % 11, false));
    expect_same(whole, reports_of(data, len, limits, len, true));
    return whole;
}

/* @text, a value as the writer has written it, is read as that by others and by us. */
static void check_written(const char *text)
{
    size_t len = strlen(text);
    json_tokener *tokener = json_tokener_new_ex((int)QMP_JSON_DEFAULT_MAX_DEPTH + 2);
    g_autofree char *again = reports_of(text, len, NULL, len, false);
    json_object *value;

    for (size_t i = 0; i < len; i++) {
        fuzz_assert(text[i] >= ' ' && text[i] <= '~');
    }
    fuzz_assert(g_str_has_prefix(again, "1 ") && g_str_has_suffix(again, "\n"));
    fuzz_assert(strlen(again) == len + 3 && strncmp(again + 2, text, len) == 0);

    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
    value = json_tokener_parse_ex(tokener, text, (int)len + 1);
    fuzz_assert(json_tokener_get_error(tokener) == json_tokener_success);
    json_object_put(value);
    json_tokener_free(tokener);
}

static void check_all_written(const char *reports)
{
    g_auto(GStrv) lines = g_strsplit(reports, "\n", -1);

    for (char **line = lines; *line && **line != '\0'; line++) {
        const char *report = strchr(*line, ' ') + 1;

        if (*report != '!') {
            check_written(report);
        }
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    fuzz_log_init();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const QmpJsonLimits tight = { .max_bytes = 48, .max_depth = 3, .max_tokens = 12 };
    g_autofree char *reports = check_cuts((const char *)data, size, NULL);

    check_all_written(reports);
    g_free(check_cuts((const char *)data, size, &tight));
    return 0;
}
