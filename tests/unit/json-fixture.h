/*
 * What the tests of the JSON parser share: a log of reports, and tables of inputs with the reports
 * expected of them. Every input is parsed whole, cut into pieces of several sizes, the smallest one
 * byte, and, when it is short, in two in each place. It must report the same each time; after each
 * the parser must take a good value.
 */
#ifndef TESTS_UNIT_JSON_FIXTURE_H
#define TESTS_UNIT_JSON_FIXTURE_H

#include <stdbool.h>

#include "qmp/qmp-json.h"

/* What a parser reported, one line a report: a value as JSON, or an error as "! text". */
typedef struct JsonLog {
    GString *text;
    QmpJsonParser *parser;
    unsigned stop_at; /* stop at the report of this number, from 1; 0 is never */
    unsigned reports;
    bool lines; /* begin each report with get_line():get_current_line() */
    bool codes; /* begin each error with its code */
} JsonLog;

/* A new parser that reports to @log. */
void json_log_begin(JsonLog *log, const QmpJsonLimits *limits);
void json_log_end(JsonLog *log);

/* Feed in pieces of @piece bytes, each a heap copy that ends where the piece does. */
void json_log_feed_pieces(JsonLog *log, const char *input, size_t len, size_t piece);

/* Feed a string whole. */
void json_log_feed(JsonLog *log, const char *input);

/* The reports for @input, and for the end of input after it, in pieces of @piece bytes. */
char *json_reports_of(const char *input, size_t len, const QmpJsonLimits *limits, size_t piece);

/* The same, cut at each of the offsets @cuts, which rise. */
char *json_reports_of_cut(const char *input, size_t len, const QmpJsonLimits *limits,
                          const size_t *cuts, size_t n_cuts);

/* Assert that @input, however it is cut, makes the reports @expected. */
void json_assert_reports(const char *input, size_t len, const QmpJsonLimits *limits,
                         const char *expected);

/* Assert that @text is one value and nothing else, or, where @expected is false, that it is not. */
void json_check_text(const char *text, size_t len, bool expected);

/* ---- tables ---- */

typedef struct JsonCase {
    const char *input;
    size_t len;
    const char *expected; /* a log */
} JsonCase;

/* The first two members of a JsonCase, from a literal that may hold NUL bytes. */
#define JSON_IN(literal) literal, sizeof(literal) - 1

void json_run_cases(const JsonCase *cases, size_t n);

/* How the text of a syntax error in a log begins. */
#define JSON_SYNTAX "! JSON syntax error: "

#endif
