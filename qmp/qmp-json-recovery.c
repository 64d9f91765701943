/*
 * JSON parser, what happens at an error and after it.
 *
 * The value that an error breaks is freed at once and the rest of it is skipped: only strings and
 * brackets are still followed, to find its end. Where the end can't be known for sure the parser
 * turns quiet: it delivers objects and arrays, but keeps errors, numbers, strings and words, which
 * may be remains of the broken value, to itself up to the end of the line or the next object or
 * array.
 */
#include <stdbool.h>

#include "qmp/qmp-json-parser-private.h"

/* ---- reports ---- */

char *qmp_json_excerpt(const char *text, size_t len)
{
    GString *out = g_string_new(NULL);
    size_t shown = len;

    if (len > EXCERPT_MAX) {
        shown = EXCERPT_MAX;
        while (shown > 0 && ((unsigned char)text[shown] & 0xc0) == 0x80) {
            shown--;
        }
    }
    qmp_json_escape(out, text, shown);
    if (shown < len) {
        g_string_append(out, "...");
    }
    return g_string_free(out, FALSE);
}

/* Go on as one who looks for the end of the value, from wherever in it the parser is. */
static void begin_skip(QmpJsonParser *p, bool unsure)
{
    if (p->state == STATE_ESCAPE || p->state == STATE_LOW_U) {
        p->state = STATE_SKIP_ESCAPE;
    } else if (is_in_string(p)) {
        p->state = STATE_SKIP_STRING;
    } else if (p->depth > 0) {
        p->state = STATE_SKIP_BETWEEN;
    } else {
        p->state = STATE_SKIP_SCALAR;
        p->unsure = unsure;
    }
    qmp_json_discard(p);
}

void qmp_json_fail(QmpJsonParser *p, QmpJsonError code, const char *format, ...)
{
    GError *error = NULL;
    va_list args;

    if (!p->quiet) {
        va_start(args, format);
        error = g_error_new_valist(QMP_JSON_ERROR, (int)code, format, args);
        va_end(args);
        p->reported_line = p->active ? p->begin_line : p->line;
    }
    begin_skip(p, code == QMP_JSON_ERROR_SYNTAX);
    if (error != NULL) {
        p->delivered_tokens = 0;
        p->func(NULL, error, p->opaque);
    }
}

void qmp_json_fail_and_reset(QmpJsonParser *p, const char *format, ...)
{
    GError *error = NULL;
    va_list args;

    if (!p->quiet && !is_skipping(p)) {
        va_start(args, format);
        error = g_error_new_valist(QMP_JSON_ERROR, QMP_JSON_ERROR_SYNTAX, format, args);
        va_end(args);
        p->reported_line = p->active ? p->begin_line : p->line;
    }
    qmp_json_reset(p);
    p->quiet = true;
    if (error != NULL) {
        p->delivered_tokens = 0;
        p->func(NULL, error, p->opaque);
    }
}

/* What expect allows, in words. */
static char *describe_expected(const QmpJsonParser *p)
{
    g_autofree char *name = qmp_json_excerpt(p->name->str, p->name->len);

    switch (p->expect) {
    case EXPECT_VALUE:
        break;
    case EXPECT_MEMBER_VALUE:
        return g_strdup_printf("a value for member \"%s\"", name);
    case EXPECT_ELEMENT:
        return g_strdup("a value after ','");
    case EXPECT_ELEMENT_OR_END:
        return g_strdup("a value or ']'");
    case EXPECT_NAME:
        return g_strdup("a member name after ','");
    case EXPECT_NAME_OR_END:
        return g_strdup("a member name or '}'");
    case EXPECT_COLON:
        return g_strdup_printf("':' after member name \"%s\"", name);
    case EXPECT_COMMA_OR_END:
        return g_strdup_printf("',' or '%c'", is_array_at(p, p->depth - 1) ? ']' : '}');
    }
    return g_strdup("a value");
}

bool qmp_json_fail_unexpected(QmpJsonParser *p, const char *c, size_t len)
{
    g_autofree char *expected = describe_expected(p);
    g_autofree char *shown = qmp_json_excerpt(c, len);
    g_autofree char *found = is_quote(*c) ? g_strdup("a string") : g_strdup_printf("'%s'", shown);

    if (p->depth == 0) {
        qmp_json_fail_and_reset(p, "JSON syntax error: expected %s, found %s", expected, found);
        return true;
    }
    qmp_json_fail(p, QMP_JSON_ERROR_SYNTAX, "JSON syntax error: expected %s, found %s", expected,
                  found);
    return qmp_json_skip_char(p, *c);
}

/* ---- skipping ---- */

static void end_skip(QmpJsonParser *p)
{
    p->quiet = p->quiet || p->unsure;
    qmp_json_reset(p);
}

static void skip_open(QmpJsonParser *p, bool is_array)
{
    if (p->depth < p->limits.max_depth) {
        push_kind(p, is_array);
    } else {
        p->excess++;
    }
}

/* A closing bracket closes all up to the nearest of its kind that is open, or the whole value. */
static void skip_close(QmpJsonParser *p, bool is_array)
{
    size_t depth = p->depth;

    if (p->excess > 0) {
        p->excess--;
        return;
    }
    while (depth > 0 && is_array_at(p, depth - 1) != is_array) {
        depth--;
    }
    if (depth != p->depth) {
        p->unsure = true;
    }
    p->depth = depth > 0 ? depth - 1 : 0;
    if (p->depth == 0) {
        end_skip(p);
    }
}

static void skip_between(QmpJsonParser *p, char c)
{
    switch (c) {
    case '"':
    case '\'':
        p->quote = c;
        p->state = STATE_SKIP_STRING;
        break;
    case '{':
    case '[':
        skip_open(p, c == '[');
        break;
    case '}':
    case ']':
        skip_close(p, c == ']');
        break;
    case '\n':
        p->quiet = false;
        break;
    }
}

bool qmp_json_skip_char(QmpJsonParser *p, char c)
{
    if (p->state == STATE_SKIP_BETWEEN) {
        skip_between(p, c);
    } else if (p->state == STATE_SKIP_ESCAPE) {
        p->state = STATE_SKIP_STRING;
    } else if (p->state == STATE_SKIP_STRING) {
        if (c == '\\') {
            p->state = STATE_SKIP_ESCAPE;
        } else if (c == p->quote && p->depth > 0) {
            p->state = STATE_SKIP_BETWEEN;
        } else if (c == p->quote) {
            end_skip(p);
        }
    } else if (is_delimiter(c)) {
        end_skip(p);
        return false;
    }
    return true;
}
