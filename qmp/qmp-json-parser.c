/*
 * JSON parser: bytes in, json_objects out, one pass and one byte at a time.
 *
 * Every byte takes three steps. Bytes become characters (UTF-8 is checked, and what can't occur
 * anywhere is caught); characters become tokens (the state says which one is being read); tokens
 * become a tree (expect says which ones may come now). The tree grows from its root: a container
 * joins its parent when it opens, so one reference holds all of an unfinished value, and an
 * explicit stack of the open containers is all that nesting costs. While the input pauses within a
 * container, there is no tree: see qmp-json-held.c.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "qmp/qmp-json-parser-private.h"

/* A text buffer that one large string has made larger than this is not kept for the next value. */
#define TEXT_KEPT 4096

/* What one byte of the input adds to the text at the most: a character. */
#define CHARACTER_MAX 4

GQuark qmp_json_error_quark(void)
{
    return g_quark_from_static_string("qmp-json-error-quark");
}

/* ---- life ---- */

static size_t limit_or_default(size_t limit, size_t standard, size_t highest)
{
    return limit == 0 ? standard : MIN(limit, highest);
}

QmpJsonParser *qmp_json_parser_new(const QmpJsonLimits *limits, QmpJsonFunc *func, void *opaque)
{
    static const QmpJsonLimits defaults;
    QmpJsonParser *p = g_new0(QmpJsonParser, 1);

    limits = limits != NULL ? limits : &defaults;
    p->limits.max_bytes =
        limit_or_default(limits->max_bytes, QMP_JSON_DEFAULT_MAX_BYTES, QMP_JSON_HIGHEST_MAX_BYTES);
    p->limits.max_depth =
        limit_or_default(limits->max_depth, QMP_JSON_DEFAULT_MAX_DEPTH, QMP_JSON_HIGHEST_MAX_DEPTH);
    p->limits.max_tokens =
        limit_or_default(limits->max_tokens, QMP_JSON_DEFAULT_MAX_TOKENS, SIZE_MAX);
    p->func = func;
    p->opaque = opaque;
    p->line = 1;
    p->reported_line = 1;
    p->text = g_string_new(NULL);
    p->name = g_string_new(NULL);
    p->open = g_ptr_array_new();
    p->kinds = g_malloc0(p->limits.max_depth / 8 + 1);
    return p;
}

void qmp_json_parser_free(QmpJsonParser *parser)
{
    if (parser == NULL) {
        return;
    }
    json_object_put(parser->root);
    qmp_json_discard_held(parser);
    g_string_free(parser->text, TRUE);
    g_string_free(parser->name, TRUE);
    g_ptr_array_unref(parser->open);
    g_free(parser->kinds);
    g_free(parser);
}

void qmp_json_empty_text(GString **text)
{
    if ((*text)->allocated_len > TEXT_KEPT) {
        g_string_free(*text, TRUE);
        *text = g_string_new(NULL);
    }
    g_string_truncate(*text, 0);
}

void qmp_json_discard(QmpJsonParser *p)
{
    json_object_put(p->root);
    p->root = NULL;
    g_ptr_array_set_size(p->open, 0);
    qmp_json_discard_held(p);
    qmp_json_empty_text(&p->text);
    qmp_json_empty_text(&p->name);
}

void qmp_json_reset(QmpJsonParser *p)
{
    qmp_json_discard(p);
    p->sequence_len = 0;
    p->state = STATE_BETWEEN;
    p->high_surrogate = 0;
    p->active = false;
    p->unsure = false;
    p->used = 0;
    p->tokens = 0;
    p->expect = EXPECT_VALUE;
    p->depth = 0;
    p->excess = 0;
}

/* ---- memory ---- */

bool qmp_json_reserve(GString *text, size_t more)
{
    size_t needed = text->len + more + 1;
    size_t size = MAX(text->allocated_len, 1);
    char *str;

    while (size < needed) {
        size *= 2;
    }
    if (size > text->allocated_len) {
        str = g_try_realloc(text->str, size);
        if (str == NULL) {
            return false;
        }
        text->str = str;
        text->allocated_len = size;
    }
    return true;
}

void qmp_json_fail_memory(QmpJsonParser *p)
{
    qmp_json_fail(p, QMP_JSON_ERROR_LIMIT, "JSON value is larger than the memory that is left");
}

/* ---- the tree ---- */

/* Hand out @value, which is complete. */
static void deliver(QmpJsonParser *p, json_object *value)
{
    bool is_container = p->root != NULL;

    p->root = NULL;
    p->reported_line = p->begin_line;
    p->delivered_tokens = p->tokens;
    qmp_json_reset(p);
    if (is_container) {
        p->quiet = false;
    } else if (p->quiet) {
        json_object_put(value);
        return;
    }
    p->func(value, NULL, p->opaque);
}

/* Put @value, which is NULL for null, where the grammar has it: into the innermost container, or
 * nowhere when there is no tree. When the memory is out for that, the value is broken, and @value
 * freed. */
static bool add_value(QmpJsonParser *p, json_object *value)
{
    json_object *container;
    int failed;

    p->expect = EXPECT_COMMA_OR_END;
    if (p->held) {
        json_object_put(value);
        return true;
    }
    container = innermost(p);
    if (json_object_is_type(container, json_type_array)) {
        failed = json_object_array_add(container, value);
    } else {
        failed =
            json_object_object_add_ex(container, p->name->str, value, JSON_C_OBJECT_ADD_KEY_IS_NEW);
    }
    if (failed != 0) {
        json_object_put(value);
        qmp_json_fail_memory(p);
        return false;
    }
    return true;
}

void qmp_json_end_scalar(QmpJsonParser *p, json_object *value)
{
    if (p->depth == 0) {
        deliver(p, value);
        return;
    }
    p->state = STATE_BETWEEN;
    qmp_json_empty_text(&p->text);
    add_value(p, value);
}

/* Put a new container into the tree. Returns false when the memory is out. */
static bool grow_tree(QmpJsonParser *p, bool is_array)
{
    json_object *container =
        checked(is_array ? json_object_new_array_ext(4) : json_object_new_object());

    if (p->depth == 0) {
        p->root = container;
    } else if (!add_value(p, container)) {
        return false;
    }
    g_ptr_array_add(p->open, container);
    return true;
}

static void open_container(QmpJsonParser *p, char bracket)
{
    bool is_array = bracket == '[';

    if (!p->held && !grow_tree(p, is_array)) {
        qmp_json_skip_char(p, bracket);
        return;
    }
    if (p->held && !is_array) {
        qmp_json_open_names(p);
    }
    push_kind(p, is_array);
    p->expect = is_array ? EXPECT_ELEMENT_OR_END : EXPECT_NAME_OR_END;
}

static void close_container(QmpJsonParser *p)
{
    p->depth--;
    if (!p->held) {
        g_ptr_array_set_size(p->open, (int)p->open->len - 1);
    } else if (!is_array_at(p, p->depth)) {
        qmp_json_close_names(p);
    }
    if (p->depth == 0) {
        deliver(p, p->root);
    } else {
        p->expect = EXPECT_COMMA_OR_END;
    }
}

/* ---- tokens ---- */

static bool is_expected(const QmpJsonParser *p, char c)
{
    bool begins_value = strchr("}]:,", c) == NULL;

    switch (p->expect) {
    case EXPECT_VALUE:
    case EXPECT_MEMBER_VALUE:
    case EXPECT_ELEMENT:
        return begins_value;
    case EXPECT_ELEMENT_OR_END:
        return begins_value || c == ']';
    case EXPECT_NAME:
        return is_quote(c);
    case EXPECT_NAME_OR_END:
        return is_quote(c) || c == '}';
    case EXPECT_COLON:
        return c == ':';
    case EXPECT_COMMA_OR_END:
        return c == ',' || c == (is_array_at(p, p->depth - 1) ? ']' : '}');
    }
    return false;
}

static void begin_value(QmpJsonParser *p)
{
    p->active = true;
    p->begin_line = p->line;
}

/* Take the token that begins with @c, which is expected and within the limits. */
static void begin_token(QmpJsonParser *p, const char *c, size_t len)
{
    switch (*c) {
    case '{':
    case '[':
        open_container(p, *c);
        break;
    case '}':
    case ']':
        close_container(p);
        break;
    case ':':
        p->expect = EXPECT_MEMBER_VALUE;
        break;
    case ',':
        p->expect = is_array_at(p, p->depth - 1) ? EXPECT_ELEMENT : EXPECT_NAME;
        break;
    case '"':
    case '\'':
        p->quote = *c;
        p->state = STATE_STRING;
        break;
    default:
        if (strchr("+-.0123456789", *c) != NULL) {
            p->number = NUMBER_START;
            p->state = STATE_NUMBER;
        } else {
            p->state = STATE_WORD;
        }
        qmp_json_scalar_char(p, c, len);
    }
}

/* Returns whether @c is used up. */
static bool between_char(QmpJsonParser *p, const char *c, size_t len)
{
    if (is_space(*c)) {
        p->quiet = p->quiet && *c != '\n';
        return true;
    }
    if (!is_expected(p, *c)) {
        return qmp_json_fail_unexpected(p, c, len);
    }
    if (p->held && p->depth == 1 && (*c == '}' || *c == ']')) {
        /* It may have to end a number once more. */
        qmp_json_build_held(p);
        return false;
    }
    if (!p->active) {
        begin_value(p);
    }
    if (++p->tokens > p->limits.max_tokens) {
        qmp_json_fail(p, QMP_JSON_ERROR_LIMIT, "JSON value has more than %zu tokens",
                      p->limits.max_tokens);
        return qmp_json_skip_char(p, *c);
    }
    if ((*c == '{' || *c == '[') && p->depth == p->limits.max_depth) {
        qmp_json_fail(p, QMP_JSON_ERROR_LIMIT, "JSON value is nested deeper than %zu levels",
                      p->limits.max_depth);
        return qmp_json_skip_char(p, *c);
    }
    begin_token(p, c, len);
    return true;
}

/* Take one character of @len bytes. Returns false when the state changed but @c is still to do. */
static bool take_char(QmpJsonParser *p, const char *c, size_t len)
{
    switch (p->state) {
    case STATE_BETWEEN:
        return between_char(p, c, len);
    case STATE_STRING:
    case STATE_ESCAPE:
    case STATE_HEX:
    case STATE_LOW_ESCAPE:
    case STATE_LOW_U:
    case STATE_NUMBER:
    case STATE_WORD:
        return qmp_json_scalar_char(p, c, len);
    case STATE_SKIP_BETWEEN:
    case STATE_SKIP_STRING:
    case STATE_SKIP_ESCAPE:
    case STATE_SKIP_SCALAR:
        break;
    }
    return qmp_json_skip_char(p, *c);
}

/* ---- characters ---- */

/* Begin the character whose first byte is @lead. Returns false when none begins so. */
static bool begin_sequence(QmpJsonParser *p, unsigned char lead)
{
    if (lead < 0xc2 || lead > 0xf4) {
        return false;
    }
    p->sequence[0] = (char)lead;
    p->sequence_len = 1;
    p->sequence_need = lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
    /* The second byte's range is what keeps out overlong forms, surrogates and > U+10FFFF. */
    p->sequence_low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    p->sequence_high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    return true;
}

static void fail_utf8(QmpJsonParser *p, unsigned byte)
{
    qmp_json_fail_and_reset(p, "JSON syntax error: byte 0x%02x is not valid UTF-8", byte);
}

/* Take one byte of a character that is more than one byte long. Returns whether it is used up. */
static bool take_wide_byte(QmpJsonParser *p, unsigned char c)
{
    size_t len;

    if (p->sequence_len == 0) {
        if (!begin_sequence(p, c)) {
            fail_utf8(p, c);
        }
        return true;
    }
    if (c < p->sequence_low || c > p->sequence_high) {
        fail_utf8(p, (unsigned char)p->sequence[0]);
        return false;
    }
    p->sequence[p->sequence_len++] = (char)c;
    p->sequence_low = 0x80;
    p->sequence_high = 0xbf;
    if (--p->sequence_need > 0) {
        return true;
    }
    len = p->sequence_len;
    p->sequence_len = 0;
    return take_char(p, p->sequence, len);
}

/* Whether the byte @c would make the value longer than it may be. */
static bool is_too_long(const QmpJsonParser *p, unsigned char c)
{
    bool is_scalar = p->state == STATE_NUMBER || p->state == STATE_WORD;

    if (!p->active || is_skipping(p) || p->used < p->limits.max_bytes) {
        return false;
    }
    /* What ends a number or word at top level is not part of it. */
    return p->depth > 0 || !is_scalar || !is_delimiter((char)c);
}

/* Returns false when the state changed but the byte @c is still to do. */
static bool take_byte(QmpJsonParser *p, unsigned char c)
{
    char character = (char)c;

    if (is_too_long(p, c)) {
        qmp_json_fail(p, QMP_JSON_ERROR_LIMIT, "JSON value is longer than %zu bytes",
                      p->limits.max_bytes);
    } else if (p->active && !is_skipping(p) && !qmp_json_reserve(p->text, CHARACTER_MAX)) {
        qmp_json_fail_memory(p);
    }
    if (c >= 0x80 || p->sequence_len > 0) {
        return take_wide_byte(p, c);
    }
    if (c < 0x20 && is_in_string(p)) {
        qmp_json_fail_and_reset(p, "JSON syntax error: control character 0x%02x in a string", c);
        return true;
    }
    if (c < 0x20 && !is_space(character)) {
        qmp_json_fail_and_reset(p, "JSON syntax error: control character 0x%02x", c);
        return true;
    }
    return take_char(p, &character, 1);
}

/* ---- input ---- */

/* The number of bytes at @data that stand for themselves inside a string. */
static size_t plain_run(const char *data, size_t len, char quote)
{
    size_t i = 0;

    while (i < len && (unsigned char)data[i] >= 0x20 && (unsigned char)data[i] < 0x80 &&
           data[i] != quote && data[i] != '\\') {
        i++;
    }
    return i;
}

/* Take a run of plain bytes of a string at once; 0 where there is none. */
static size_t take_run(QmpJsonParser *p, const char *data, size_t len)
{
    size_t run;

    if (p->sequence_len > 0) {
        return 0;
    }
    if (p->state == STATE_SKIP_STRING) {
        return plain_run(data, len, p->quote);
    }
    if (p->state != STATE_STRING) {
        return 0;
    }
    run = plain_run(data, MIN(len, p->limits.max_bytes - p->used), p->quote);
    if (is_text_kept(p)) {
        if (!qmp_json_reserve(p->text, run)) {
            qmp_json_fail_memory(p);
            return 0;
        }
        g_string_append_len(p->text, data, (gssize)run);
    }
    p->used += run;
    return run;
}

size_t qmp_json_take(QmpJsonParser *p, const char *data, size_t len)
{
    size_t i = 0;

    p->data = data;
    while (i < len && !p->stopped) {
        size_t run = take_run(p, data + i, len - i);

        if (run > 0) {
            i += run;
            continue;
        }
        p->taken = i;
        if (take_byte(p, (unsigned char)data[i])) {
            p->line += data[i] == '\n';
            p->used += p->active;
            i++;
        }
    }
    return i;
}

size_t qmp_json_parser_feed(QmpJsonParser *parser, const char *data, size_t len)
{
    size_t taken;

    parser->stopped = false;
    taken = qmp_json_take(parser, data, len);
    qmp_json_hold(parser, data, taken);
    parser->data = NULL;
    return taken;
}

void qmp_json_parser_stop(QmpJsonParser *parser)
{
    parser->stopped = true;
}

size_t qmp_json_parser_get_tokens(const QmpJsonParser *parser)
{
    return parser->delivered_tokens;
}

void qmp_json_parser_finish(QmpJsonParser *parser)
{
    bool is_scalar = parser->state == STATE_NUMBER || parser->state == STATE_WORD;

    if (parser->sequence_len > 0) {
        fail_utf8(parser, (unsigned char)parser->sequence[0]);
    } else if (parser->depth == 0 && is_scalar) {
        take_byte(parser, ' ');
    } else if (parser->active && is_in_string(parser)) {
        qmp_json_fail_and_reset(parser, "JSON syntax error: the input ends inside a string");
    } else if (parser->depth > 0) {
        qmp_json_fail_and_reset(parser, "JSON syntax error: the input ends inside an %s",
                                is_array_at(parser, parser->depth - 1) ? "array" : "object");
    }
    qmp_json_reset(parser);
    parser->quiet = false;
    parser->line = 1;
}

QmpJsonPosition qmp_json_parser_get_position(const QmpJsonParser *parser)
{
    if (!parser->active) {
        return QMP_JSON_BETWEEN;
    }
    /* While quiet, numbers, strings and words are dropped; a container may end that. */
    return is_skipping(parser) || (parser->quiet && parser->depth == 0) ? QMP_JSON_SKIPPED
                                                                        : QMP_JSON_INSIDE;
}

unsigned qmp_json_parser_get_line(const QmpJsonParser *parser)
{
    return parser->reported_line;
}

unsigned qmp_json_parser_get_current_line(const QmpJsonParser *parser)
{
    return parser->line;
}
