/*
 * The shared part of the JSON parser's tests; see json-fixture.h.
 */
#include <stdbool.h>
#include <string.h>

#include "tests/unit/json-fixture.h"

/* Inputs that are longer are not cut in each place. */
#define CUT_LEN_MAX 256

static void log_report(json_object *value, GError *error, void *opaque)
{
    JsonLog *log = opaque;

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
        if (log->codes) {
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

void json_log_begin(JsonLog *log, const QmpJsonLimits *limits)
{
    *log = (JsonLog){ .text = g_string_new(NULL) };
    log->parser = qmp_json_parser_new(limits, log_report, log);
}

void json_log_end(JsonLog *log)
{
    qmp_json_parser_free(log->parser);
    g_string_free(log->text, TRUE);
}

void json_log_feed_pieces(JsonLog *log, const char *input, size_t len, size_t piece)
{
    for (size_t i = 0; i < len; i += piece) {
        size_t n = MIN(piece, len - i);
        g_autofree char *copy = g_memdup2(input + i, n);

        g_assert_cmpuint(qmp_json_parser_feed(log->parser, copy, n), ==, n);
    }
}

void json_log_feed(JsonLog *log, const char *input)
{
    json_log_feed_pieces(log, input, strlen(input), strlen(input));
}

char *json_reports_of(const char *input, size_t len, const QmpJsonLimits *limits, size_t piece)
{
    JsonLog log;
    char *result;

    json_log_begin(&log, limits);
    json_log_feed_pieces(&log, input, len, piece);
    qmp_json_parser_finish(log.parser);
    result = g_strdup(log.text->str);

    g_string_truncate(log.text, 0);
    json_log_feed(&log, "7 ");
    g_assert_cmpstr(log.text->str, ==, "7\n");
    json_log_end(&log);
    return result;
}

char *json_reports_of_cut(const char *input, size_t len, const QmpJsonLimits *limits,
                          const size_t *cuts, size_t n_cuts)
{
    size_t begin = 0;
    JsonLog log;
    char *result;

    json_log_begin(&log, limits);
    for (size_t i = 0; i <= n_cuts; i++) {
        size_t end = i < n_cuts ? cuts[i] : len;

        json_log_feed_pieces(&log, input + begin, end - begin, SIZE_MAX / 2);
        begin = end;
    }
    qmp_json_parser_finish(log.parser);
    result = g_strdup(log.text->str);
    json_log_end(&log);
    return result;
}

/* Each place to cut @input in two. */
static void assert_cuts(const char *input, size_t len, const QmpJsonLimits *limits,
                        const char *expected)
{
    for (size_t cut = 1; cut < len; cut++) {
        g_autofree char *reports = json_reports_of_cut(input, len, limits, &cut, 1);

        if (strcmp(reports, expected) != 0) {
            g_test_message("cut at %zu", cut);
        }
        g_assert_cmpstr(reports, ==, expected);
    }
}

void json_assert_reports(const char *input, size_t len, const QmpJsonLimits *limits,
                         const char *expected)
{
    static const size_t pieces[] = { SIZE_MAX / 2, 1, 2, 3, 7 };

    for (size_t i = 0; i < G_N_ELEMENTS(pieces); i++) {
        g_autofree char *reports = json_reports_of(input, len, limits, pieces[i]);

        if (strcmp(reports, expected) != 0) {
            g_autoptr(GString) shown = g_string_new(NULL);

            qmp_json_escape(shown, input, len);
            g_test_message("input \"%s\" in pieces of %zu", shown->str, pieces[i]);
        }
        g_assert_cmpstr(reports, ==, expected);
    }
    if (len <= CUT_LEN_MAX) {
        assert_cuts(input, len, limits, expected);
    }
}

/* Whether there is one report, which is no error. */
static bool is_one_value(const char *reports)
{
    const char *end = strchr(reports, '\n');

    return *reports != '!' && end && end[1] == '\0';
}

void json_check_text(const char *text, size_t len, bool expected)
{
    for (size_t piece = 1; piece <= 2; piece++) {
        g_autofree char *reports = json_reports_of(text, len, NULL, piece);

        if (is_one_value(reports) != expected) {
            g_autoptr(GString) shown = g_string_new(NULL);

            qmp_json_escape(shown, text, len);
            g_test_message("\"%s\" is %sto be accepted", shown->str, expected ? "" : "not ");
            g_test_fail();
        }
    }
}

void json_run_cases(const JsonCase *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        json_assert_reports(cases[i].input, cases[i].len, NULL, cases[i].expected);
    }
}
