/*
 * JSON as the control socket speaks it: an incremental parser and an ASCII writer.
 *
 * json-c's json_object is the representation of values; the parser and the writer are our own,
 * because the socket needs what a general one does not give: limits that hold while a value is
 * still arriving, exactly one error for one broken value, a way on after it, and error texts that
 * name what was wrong. The grammar is RFC 8259, with two extensions: strings may be single-quoted,
 * and \' is an escape in strings of either kind. A member name that occurs twice in an object, a
 * lone surrogate escape, \u0000 in a member name and a number that no double can hold are errors.
 *
 * A parser belongs to one thread at a time.
 */
#ifndef QMP_QMP_JSON_H
#define QMP_QMP_JSON_H

#include <stddef.h>
#include <glib.h>
#include <json-c/json.h>

#include "qmp/qmp-text.h"

G_BEGIN_DECLS

#define QMP_JSON_ERROR qmp_json_error_quark()
GQuark qmp_json_error_quark(void);

typedef enum {
    QMP_JSON_ERROR_SYNTAX, /* not JSON */
    QMP_JSON_ERROR_LIMIT,  /* may be JSON, but too much of it */
} QmpJsonError;

/* What a parser accepts of one value when it is not told otherwise. */
#define QMP_JSON_DEFAULT_MAX_BYTES  ((size_t)1 << 20)
#define QMP_JSON_DEFAULT_MAX_DEPTH  ((size_t)1024)
#define QMP_JSON_DEFAULT_MAX_TOKENS ((size_t)128 << 10)

/* The most that a limit can be raised to: json-c's lengths are int, and it frees by recursion. */
#define QMP_JSON_HIGHEST_MAX_BYTES ((size_t)1 << 30)
#define QMP_JSON_HIGHEST_MAX_DEPTH ((size_t)8192)

/*
 * Limits of one top-level value. A member that is 0 stands for its default; one above its highest
 * stands for that.
 */
typedef struct QmpJsonLimits {
    size_t max_bytes;  /* from its first byte to its last, white space between them included */
    size_t max_depth;  /* objects and arrays open at a time */
    size_t max_tokens; /* brackets, commas, colons, strings, numbers and words */
} QmpJsonLimits;

typedef struct QmpJsonParser QmpJsonParser;

/*
 * A complete top-level value, or a broken one. Either @error is NULL, and the callee takes over
 * the reference to @value, which is NULL for JSON's null; or @error is set, and the callee frees
 * it. The callee may call qmp_json_parser_stop(), but must neither feed, finish nor free the
 * parser.
 */
typedef void QmpJsonFunc(json_object *value, GError *error, void *opaque);

/* ---- parser ---- */

/* A new parser that reports to @func with @opaque. @limits is copied; NULL is all defaults. */
QmpJsonParser *qmp_json_parser_new(const QmpJsonLimits *limits, QmpJsonFunc *func, void *opaque);

/* Free @parser, and what it holds of an unfinished value. NULL is ignored. */
void qmp_json_parser_free(QmpJsonParser *parser);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(QmpJsonParser, qmp_json_parser_free)

/*
 * Parse the @len bytes at @data, which go on where the last call's ended; how the input is cut
 * into calls makes no difference to what is reported. An error is reported at the byte that
 * shows it; the rest of the broken value is skipped without memory. A number or word at top
 * level is complete only at the byte after it (or with qmp_json_parser_finish()). Between calls an
 * object or array that is not finished is kept as its bytes; a tree is built when it is complete.
 *
 * Returns how many bytes were consumed: all, unless @func called qmp_json_parser_stop().
 */
size_t qmp_json_parser_feed(QmpJsonParser *parser, const char *data, size_t len);

/*
 * Called by the parser's function: make qmp_json_parser_feed() return with no further report. The
 * caller keeps the bytes that were not consumed and feeds them later, first.
 */
void qmp_json_parser_stop(QmpJsonParser *parser);

/* Called by the parser's function: of how many tokens the value is that it has been given;
 * 0 with an error. */
size_t qmp_json_parser_get_tokens(const QmpJsonParser *parser);

/*
 * The input has ended: complete a number or word at top level, or report a value that is not
 * finished as an error. The parser is then as new, and counts lines from 1 again.
 */
void qmp_json_parser_finish(QmpJsonParser *parser);

/* Where the input that has been fed ends. */
typedef enum {
    QMP_JSON_BETWEEN, /* before a value */
    QMP_JSON_INSIDE,  /* inside a value, which will be reported, good or broken */
    QMP_JSON_SKIPPED, /* inside what is skipped without a report to come */
} QmpJsonPosition;

QmpJsonPosition qmp_json_parser_get_position(const QmpJsonParser *parser);

/* The line, counted from 1, on which the value last reported, good or broken, began. */
unsigned qmp_json_parser_get_line(const QmpJsonParser *parser);

/*
 * The line, counted from 1, that the parser has come to. Called by the parser's function for an
 * error, it is the line on which the error showed.
 */
unsigned qmp_json_parser_get_current_line(const QmpJsonParser *parser);

/* ---- writer ---- */

/*
 * Append @value (NULL is null) to @out as ASCII text on one line, with ", " and ": " between its
 * parts and its members in their order. A number that the parser read as a double is written as
 * it was read. What JSON can't say becomes what it can: NaN and the infinities null, bytes that
 * are not UTF-8 U+FFFD. Two threads must not write the same value at a time, because json-c keeps
 * a number's text in it.
 */
void qmp_json_print(QmpText *out, json_object *value);

/*
 * Append the @len bytes at @text to @out in the form that they have inside a JSON string, without
 * the quotes around it: printable ASCII in every case.
 */
void qmp_json_print_escaped(QmpText *out, const char *text, size_t len);

/* The same into a GString, for texts that are small or are made once. */
void qmp_json_write(GString *out, json_object *value);
void qmp_json_escape(GString *out, const char *text, size_t len);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(json_object, json_object_put)

G_END_DECLS

#endif
