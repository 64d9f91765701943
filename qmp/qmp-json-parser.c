/*
 * JSON parser: bytes in, json_objects out, one pass and one byte at a time.
 *
 * Every byte takes three steps. Bytes become characters (UTF-8 is checked, and what can't occur
 * anywhere is caught); characters become tokens (the state says which one is being read); tokens
 * become a tree (expect says which ones may come now). The tree grows from its root: a container
 * joins its parent when it opens, so one reference holds all of an unfinished value, and an
 * explicit stack of the open containers is all that nesting costs.
 *
 * Recovery. The value that an error breaks is freed at once and the rest of it is skipped: only
 * strings and brackets are still followed, to find its end. Where the end can't be known for sure
 * the parser turns quiet: it delivers objects and arrays, but keeps errors, numbers, strings and
 * words, which may be remains of the broken value, to itself up to the end of the line or the
 * next object or array.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "qmp/qmp-json.h"

/* How much of the input an error text repeats, in bytes. */
#define EXCERPT_MAX 32
/* A text buffer that one large string has made larger than this is not kept for the next value. */
#define TEXT_KEPT 4096

/* What is being read. */
typedef enum {
    STATE_BETWEEN, /* tokens; at depth 0 with no token seen, this is the initial state */
    STATE_STRING,
    STATE_ESCAPE,     /* after a backslash */
    STATE_HEX,        /* among the digits of \u */
    STATE_LOW_ESCAPE, /* after a high surrogate, before the backslash of the low one */
    STATE_LOW_U,      /* after that backslash */
    STATE_NUMBER,
    STATE_WORD,
    /* The same while a broken value is skipped; these come last. */
    STATE_SKIP_BETWEEN,
    STATE_SKIP_STRING,
    STATE_SKIP_ESCAPE,
    STATE_SKIP_SCALAR, /* a broken number or word at depth 0 */
} State;

/* The parts of a number, each named for what has just been read. */
typedef enum {
    NUMBER_START,
    NUMBER_MINUS,
    NUMBER_ZERO,
    NUMBER_DIGITS,
    NUMBER_POINT,
    NUMBER_FRACTION,
    NUMBER_E,
    NUMBER_E_SIGN,
    NUMBER_EXPONENT,
    NUMBER_BAD,
} NumberPart;

/* Which tokens may come next. */
typedef enum {
    EXPECT_VALUE, /* at top level */
    EXPECT_MEMBER_VALUE,
    EXPECT_ELEMENT,
    EXPECT_ELEMENT_OR_END,
    EXPECT_NAME,
    EXPECT_NAME_OR_END,
    EXPECT_COLON,
    EXPECT_COMMA_OR_END,
} Expect;

struct QmpJsonParser {
    QmpJsonLimits limits;
    QmpJsonFunc *func;
    void *opaque;

    unsigned line;
    unsigned reported_line;
    bool stopped;
    bool quiet;

    /* The character that is not complete yet. */
    char sequence[4];
    unsigned sequence_len;                     /* bytes read of it; 0 is none */
    unsigned sequence_need;                    /* bytes still to come */
    unsigned char sequence_low, sequence_high; /* the range of the next one */

    /* The token. */
    State state;
    char quote;
    NumberPart number;
    unsigned hex_left; /* digits to come */
    unsigned hex;
    unsigned high_surrogate; /* 0 is none */
    GString *text;

    /* The value. */
    bool active; /* its first character was seen */
    bool unsure; /* while it is skipped: turn quiet at its end */
    unsigned begin_line;
    size_t used; /* bytes */
    size_t tokens;
    Expect expect;
    json_object *root;
    GString *name;   /* of the member whose value comes next */
    GPtrArray *open; /* the open containers, which root owns; empty while skipping */
    uint8_t *kinds;  /* one bit for each open bracket: whether it is an array */
    size_t depth;    /* bits in use */
    size_t excess;   /* while skipping: brackets opened beyond the last bit, of any kind */
};

G_DEFINE_QUARK(qmp - json - error - quark, qmp_json_error)

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
    g_string_free(parser->text, TRUE);
    g_string_free(parser->name, TRUE);
    g_ptr_array_unref(parser->open);
    g_free(parser->kinds);
    g_free(parser);
}

static void empty_text(GString **text)
{
    if ((*text)->allocated_len > TEXT_KEPT) {
        g_string_free(*text, TRUE);
        *text = g_string_new(NULL);
    }
    g_string_truncate(*text, 0);
}

/* Free what the tree and the buffers hold; the kinds of the open brackets stay. */
static void discard(QmpJsonParser *p)
{
    json_object_put(p->root);
    p->root = NULL;
    g_ptr_array_set_size(p->open, 0);
    empty_text(&p->text);
    empty_text(&p->name);
}

/* To the initial state: the next character begins a value. */
static void reset(QmpJsonParser *p)
{
    discard(p);
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

static bool is_skipping(const QmpJsonParser *p)
{
    return p->state >= STATE_SKIP_BETWEEN;
}

static bool is_in_string(const QmpJsonParser *p)
{
    return (p->state >= STATE_STRING && p->state <= STATE_LOW_U) || p->state == STATE_SKIP_STRING ||
           p->state == STATE_SKIP_ESCAPE;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_quote(char c)
{
    return c == '"' || c == '\'';
}

/* Whether @c ends a number or a word. */
static bool is_delimiter(char c)
{
    return is_space(c) || is_quote(c) || (c != '\0' && strchr("{}[]:,", c) != NULL);
}

/* ---- reports ---- */

/* As much of @text as an error text repeats, escaped, and with dots where it was cut. */
static char *excerpt(const char *text, size_t len)
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

/* Hand out @value, which is complete. */
static void deliver(QmpJsonParser *p, json_object *value)
{
    bool is_container = p->root != NULL;

    p->root = NULL;
    p->reported_line = p->begin_line;
    reset(p);
    if (is_container) {
        p->quiet = false;
    } else if (p->quiet) {
        json_object_put(value);
        return;
    }
    p->func(value, NULL, p->opaque);
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
    discard(p);
}

/* Report an error, unless the parser is quiet, and begin to skip the value. */
G_GNUC_PRINTF(3, 4)
static void fail(QmpJsonParser *p, QmpJsonError code, const char *format, ...)
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
        p->func(NULL, error, p->opaque);
    }
}

/* As fail(), for an error after which nothing is known of where the value ends. */
G_GNUC_PRINTF(2, 3)
static void fail_and_reset(QmpJsonParser *p, const char *format, ...)
{
    GError *error = NULL;
    va_list args;

    if (!p->quiet && !is_skipping(p)) {
        va_start(args, format);
        error = g_error_new_valist(QMP_JSON_ERROR, QMP_JSON_ERROR_SYNTAX, format, args);
        va_end(args);
        p->reported_line = p->active ? p->begin_line : p->line;
    }
    reset(p);
    p->quiet = true;
    if (error != NULL) {
        p->func(NULL, error, p->opaque);
    }
}

/* The error for a token that begins with the character @c where expect allows none such. */
static void fail_unexpected(QmpJsonParser *p, const char *c, size_t len)
{
    g_autofree char *name = excerpt(p->name->str, p->name->len);
    g_autofree char *shown = excerpt(c, len);
    g_autofree char *found = is_quote(*c) ? g_strdup("a string") : g_strdup_printf("'%s'", shown);
    const char *prefix = "JSON syntax error: expected";

    switch (p->expect) {
    case EXPECT_VALUE:
        fail_and_reset(p, "%s a value, found %s", prefix, found);
        break;
    case EXPECT_MEMBER_VALUE:
        fail(p, QMP_JSON_ERROR_SYNTAX, "%s a value for member \"%s\", found %s", prefix, name,
             found);
        break;
    case EXPECT_ELEMENT:
        fail(p, QMP_JSON_ERROR_SYNTAX, "%s a value after ',', found %s", prefix, found);
        break;
    case EXPECT_ELEMENT_OR_END:
        fail(p, QMP_JSON_ERROR_SYNTAX, "%s a value or ']', found %s", prefix, found);
        break;
    case EXPECT_NAME:
        fail(p, QMP_JSON_ERROR_SYNTAX, "%s a member name after ',', found %s", prefix, found);
        break;
    case EXPECT_NAME_OR_END:
        fail(p, QMP_JSON_ERROR_SYNTAX, "%s a member name or '}', found %s", prefix, found);
        break;
    case EXPECT_COLON:
        fail(p, QMP_JSON_ERROR_SYNTAX, "%s ':' after member name \"%s\", found %s", prefix, name,
             found);
        break;
    case EXPECT_COMMA_OR_END:
        fail(p, QMP_JSON_ERROR_SYNTAX, "%s ',' or '%c', found %s", prefix,
             json_object_is_type(g_ptr_array_index(p->open, p->open->len - 1), json_type_array)
                 ? ']'
                 : '}',
             found);
        break;
    }
}

/* ---- the stack of open brackets ---- */

static bool is_array_at(const QmpJsonParser *p, size_t level)
{
    return (p->kinds[level / 8] >> level % 8 & 1) != 0;
}

static void push_kind(QmpJsonParser *p, bool is_array)
{
    uint8_t bit = (uint8_t)(1u << p->depth % 8);
    uint8_t *byte = &p->kinds[p->depth / 8];

    *byte = (uint8_t)(is_array ? *byte | bit : *byte & ~bit);
    p->depth++;
}

/* ---- the tree ---- */

/* json-c says NULL when memory is out; GLib's way, and so ours, is to abort. */
static json_object *checked(json_object *value)
{
    if (value == NULL) {
        g_error("out of memory for a JSON value");
    }
    return value;
}

static json_object *innermost(QmpJsonParser *p)
{
    return g_ptr_array_index(p->open, p->open->len - 1);
}

/* Put @value, which is NULL for null, where the grammar has it: into the innermost container. */
static void add_value(QmpJsonParser *p, json_object *value)
{
    json_object *container = innermost(p);
    int failed;

    if (json_object_is_type(container, json_type_array)) {
        failed = json_object_array_add(container, value);
    } else {
        failed =
            json_object_object_add_ex(container, p->name->str, value, JSON_C_OBJECT_ADD_KEY_IS_NEW);
    }
    if (failed != 0) {
        g_error("out of memory for a JSON value");
    }
    p->expect = EXPECT_COMMA_OR_END;
}

/* A string, number or word is complete. */
static void end_scalar(QmpJsonParser *p, json_object *value)
{
    if (p->depth == 0) {
        deliver(p, value);
        return;
    }
    p->state = STATE_BETWEEN;
    empty_text(&p->text);
    add_value(p, value);
}

static void open_container(QmpJsonParser *p, bool is_array)
{
    json_object *container =
        checked(is_array ? json_object_new_array_ext(4) : json_object_new_object());

    if (p->depth == 0) {
        p->root = container;
    } else {
        add_value(p, container);
    }
    g_ptr_array_add(p->open, container);
    push_kind(p, is_array);
    p->expect = is_array ? EXPECT_ELEMENT_OR_END : EXPECT_NAME_OR_END;
}

static void close_container(QmpJsonParser *p)
{
    g_ptr_array_set_size(p->open, (int)p->open->len - 1);
    p->depth--;
    if (p->depth == 0) {
        deliver(p, p->root);
    } else {
        p->expect = EXPECT_COMMA_OR_END;
    }
}

/* ---- skipping ---- */

static void end_skip(QmpJsonParser *p)
{
    p->quiet = p->quiet || p->unsure;
    reset(p);
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

/* Returns false when @c is not part of what is skipped, which has ended. */
static bool skip_char(QmpJsonParser *p, char c)
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

/* ---- strings ---- */

static void end_name(QmpJsonParser *p)
{
    if (json_object_object_get_ex(innermost(p), p->text->str, NULL)) {
        g_autofree char *name = excerpt(p->text->str, p->text->len);

        fail(p, QMP_JSON_ERROR_SYNTAX, "JSON syntax error: duplicate member name \"%s\"", name);
        skip_char(p, p->quote);
        return;
    }
    g_string_truncate(p->name, 0);
    g_string_append_len(p->name, p->text->str, (gssize)p->text->len);
    empty_text(&p->text);
    p->state = STATE_BETWEEN;
    p->expect = EXPECT_COLON;
}

static bool is_name(const QmpJsonParser *p)
{
    return p->expect == EXPECT_NAME || p->expect == EXPECT_NAME_OR_END;
}

static void string_char(QmpJsonParser *p, const char *c, size_t len)
{
    if (*c == '\\') {
        p->state = STATE_ESCAPE;
    } else if (*c != p->quote) {
        g_string_append_len(p->text, c, (gssize)len);
    } else if (is_name(p)) {
        end_name(p);
    } else {
        end_scalar(p, checked(json_object_new_string_len(p->text->str, (int)p->text->len)));
    }
}

static void escape_char(QmpJsonParser *p, const char *c, size_t len)
{
    static const char letters[] = "\"\\/'bfnrt";
    static const char meanings[] = "\"\\/'\b\f\n\r\t";
    const char *letter = *c != '\0' ? strchr(letters, *c) : NULL;

    if (letter != NULL) {
        g_string_append_c(p->text, meanings[letter - letters]);
        p->state = STATE_STRING;
    } else if (*c == 'u') {
        p->hex = 0;
        p->hex_left = 4;
        p->state = STATE_HEX;
    } else {
        g_autofree char *shown = excerpt(c, len);

        fail(p, QMP_JSON_ERROR_SYNTAX, "JSON syntax error: unknown escape '\\%s' in a string",
             shown);
        skip_char(p, *c);
    }
}

static void fail_surrogate(QmpJsonParser *p, unsigned unit, char c)
{
    fail(p, QMP_JSON_ERROR_SYNTAX, "JSON syntax error: lone surrogate \\u%04x in a string", unit);
    skip_char(p, c);
}

/* The four digits of \u, the last of them @last, are read. */
static void end_hex(QmpJsonParser *p, char last)
{
    bool is_low = p->hex >= 0xdc00 && p->hex <= 0xdfff;
    gunichar c = p->hex;

    if (is_low && p->high_surrogate != 0) {
        c = 0x10000 + ((p->high_surrogate - 0xd800) << 10) + (p->hex - 0xdc00);
        p->high_surrogate = 0;
    } else if (is_low || p->high_surrogate != 0) {
        fail_surrogate(p, is_low ? p->hex : p->high_surrogate, last);
        return;
    } else if (c >= 0xd800 && c <= 0xdbff) {
        p->high_surrogate = c;
        p->state = STATE_LOW_ESCAPE;
        return;
    } else if (c == 0 && is_name(p)) {
        fail(p, QMP_JSON_ERROR_SYNTAX, "JSON syntax error: \\u0000 in a member name");
        skip_char(p, last);
        return;
    }
    g_string_append_unichar(p->text, c);
    p->state = STATE_STRING;
}

static void hex_char(QmpJsonParser *p, char c)
{
    if (!g_ascii_isxdigit(c)) {
        fail(p, QMP_JSON_ERROR_SYNTAX, "JSON syntax error: \\u in a string needs four hex digits");
        skip_char(p, c);
        return;
    }
    p->hex = p->hex << 4 | (unsigned)g_ascii_xdigit_value(c);
    if (--p->hex_left == 0) {
        end_hex(p, c);
    }
}

/* ---- numbers and words ---- */

static NumberPart next_part(NumberPart part, char c)
{
    bool is_digit = g_ascii_isdigit(c);
    bool is_e = c == 'e' || c == 'E';

    switch (part) {
    case NUMBER_START:
    case NUMBER_MINUS:
        if (part == NUMBER_START && c == '-') {
            return NUMBER_MINUS;
        }
        return c == '0' ? NUMBER_ZERO : is_digit ? NUMBER_DIGITS : NUMBER_BAD;
    case NUMBER_ZERO:
    case NUMBER_DIGITS:
        if (part == NUMBER_DIGITS && is_digit) {
            return NUMBER_DIGITS;
        }
        return c == '.' ? NUMBER_POINT : is_e ? NUMBER_E : NUMBER_BAD;
    case NUMBER_POINT:
        return is_digit ? NUMBER_FRACTION : NUMBER_BAD;
    case NUMBER_FRACTION:
        return is_digit ? NUMBER_FRACTION : is_e ? NUMBER_E : NUMBER_BAD;
    case NUMBER_E:
        return is_digit ? NUMBER_EXPONENT : c == '+' || c == '-' ? NUMBER_E_SIGN : NUMBER_BAD;
    case NUMBER_E_SIGN:
    case NUMBER_EXPONENT:
        return is_digit ? NUMBER_EXPONENT : NUMBER_BAD;
    case NUMBER_BAD:
        break;
    }
    return NUMBER_BAD;
}

static bool is_whole_number(NumberPart part)
{
    return part == NUMBER_ZERO || part == NUMBER_DIGITS || part == NUMBER_FRACTION ||
           part == NUMBER_EXPONENT;
}

/* The value of the number in text, or NULL when it is too large for a double. */
static json_object *number_value(const QmpJsonParser *p)
{
    const char *text = p->text->str;
    double d;

    if ((p->number == NUMBER_ZERO || p->number == NUMBER_DIGITS) && strcmp(text, "-0") != 0) {
        int64_t i;
        uint64_t u;

        errno = 0;
        i = g_ascii_strtoll(text, NULL, 10);
        if (errno == 0) {
            return checked(json_object_new_int64(i));
        }
        errno = 0;
        u = *text != '-' ? g_ascii_strtoull(text, NULL, 10) : 0;
        if (errno == 0 && u != 0) {
            return checked(json_object_new_uint64(u));
        }
    }
    d = g_ascii_strtod(text, NULL);
    return isinf(d) ? NULL : checked(json_object_new_double_s(d, text));
}

static void fail_number(QmpJsonParser *p, const char *what)
{
    g_autofree char *shown = excerpt(p->text->str, p->text->len);

    fail(p, QMP_JSON_ERROR_SYNTAX, "JSON syntax error: %s '%s'", what, shown);
}

/* The number in text is followed by @c. Returns whether that is used up. */
static bool end_number(QmpJsonParser *p, char c)
{
    json_object *value;

    if (!is_whole_number(p->number)) {
        fail_number(p, "invalid number");
        return skip_char(p, c);
    }
    value = number_value(p);
    if (value == NULL) {
        fail_number(p, "number out of range");
        return skip_char(p, c);
    }
    end_scalar(p, value);
    return false;
}

static bool number_char(QmpJsonParser *p, const char *c, size_t len)
{
    if (is_delimiter(*c)) {
        return end_number(p, *c);
    }
    g_string_append_len(p->text, c, (gssize)len);
    p->number = next_part(p->number, *c);
    if (p->number == NUMBER_BAD) {
        fail_number(p, "invalid number");
        return skip_char(p, *c);
    }
    return true;
}

/* The word in text is followed by @c. Returns whether that is used up. */
static bool end_word(QmpJsonParser *p, char c)
{
    const char *word = p->text->str;
    g_autofree char *shown = NULL;

    if (strcmp(word, "true") == 0 || strcmp(word, "false") == 0) {
        end_scalar(p, checked(json_object_new_boolean(*word == 't')));
        return false;
    }
    if (strcmp(word, "null") == 0) {
        end_scalar(p, NULL);
        return false;
    }
    shown = excerpt(word, p->text->len);
    fail(p, QMP_JSON_ERROR_SYNTAX, "JSON syntax error: unknown word '%s'", shown);
    return skip_char(p, c);
}

static bool word_char(QmpJsonParser *p, const char *c, size_t len)
{
    if (is_delimiter(*c)) {
        return end_word(p, *c);
    }
    g_string_append_len(p->text, c, (gssize)len);
    return p->text->len <= EXCERPT_MAX ? true : end_word(p, *c);
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
        open_container(p, *c == '[');
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
            number_char(p, c, len);
        } else {
            p->state = STATE_WORD;
            word_char(p, c, len);
        }
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
        fail_unexpected(p, c, len);
        return is_skipping(p) ? skip_char(p, *c) : true;
    }
    if (!p->active) {
        begin_value(p);
    }
    if (++p->tokens > p->limits.max_tokens) {
        fail(p, QMP_JSON_ERROR_LIMIT, "JSON value has more than %zu tokens", p->limits.max_tokens);
        return skip_char(p, *c);
    }
    if ((*c == '{' || *c == '[') && p->depth == p->limits.max_depth) {
        fail(p, QMP_JSON_ERROR_LIMIT, "JSON value is nested deeper than %zu levels",
             p->limits.max_depth);
        return skip_char(p, *c);
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
        string_char(p, c, len);
        return true;
    case STATE_ESCAPE:
        escape_char(p, c, len);
        return true;
    case STATE_HEX:
        hex_char(p, *c);
        return true;
    case STATE_LOW_ESCAPE:
        if (*c == '\\') {
            p->state = STATE_LOW_U;
        } else {
            fail_surrogate(p, p->high_surrogate, *c);
        }
        return true;
    case STATE_LOW_U:
        if (*c == 'u') {
            escape_char(p, c, len);
        } else {
            fail_surrogate(p, p->high_surrogate, *c);
        }
        return true;
    case STATE_NUMBER:
        return number_char(p, c, len);
    case STATE_WORD:
        return word_char(p, c, len);
    case STATE_SKIP_BETWEEN:
    case STATE_SKIP_STRING:
    case STATE_SKIP_ESCAPE:
    case STATE_SKIP_SCALAR:
        break;
    }
    return skip_char(p, *c);
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
    fail_and_reset(p, "JSON syntax error: byte 0x%02x is not valid UTF-8", byte);
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
    bool ends_before = p->depth == 0 && (p->state == STATE_NUMBER || p->state == STATE_WORD) &&
                       p->sequence_len == 0 && is_delimiter((char)c);

    return p->active && p->used >= p->limits.max_bytes && !is_skipping(p) && !ends_before;
}

/* Returns false when the state changed but the byte @c is still to do. */
static bool take_byte(QmpJsonParser *p, unsigned char c)
{
    char character = (char)c;

    if (is_too_long(p, c)) {
        fail(p, QMP_JSON_ERROR_LIMIT, "JSON value is longer than %zu bytes", p->limits.max_bytes);
    }
    if (c >= 0x80 || p->sequence_len > 0) {
        return take_wide_byte(p, c);
    }
    if (c < 0x20 && is_in_string(p)) {
        fail_and_reset(p, "JSON syntax error: control character 0x%02x in a string", c);
        return true;
    }
    if (c < 0x20 && !is_space(character)) {
        fail_and_reset(p, "JSON syntax error: control character 0x%02x", c);
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
    g_string_append_len(p->text, data, (gssize)run);
    p->used += run;
    return run;
}

size_t qmp_json_parser_feed(QmpJsonParser *parser, const char *data, size_t len)
{
    size_t i = 0;

    parser->stopped = false;
    while (i < len && !parser->stopped) {
        size_t run = take_run(parser, data + i, len - i);

        if (run > 0) {
            i += run;
        } else if (take_byte(parser, (unsigned char)data[i])) {
            parser->line += data[i] == '\n';
            parser->used += parser->active;
            i++;
        }
    }
    return i;
}

void qmp_json_parser_stop(QmpJsonParser *parser)
{
    parser->stopped = true;
}

void qmp_json_parser_finish(QmpJsonParser *parser)
{
    bool is_scalar = parser->state == STATE_NUMBER || parser->state == STATE_WORD;

    if (parser->sequence_len > 0) {
        fail_utf8(parser, (unsigned char)parser->sequence[0]);
    } else if (parser->depth == 0 && is_scalar) {
        take_byte(parser, ' ');
    } else if (parser->active && is_in_string(parser)) {
        fail_and_reset(parser, "JSON syntax error: the input ends inside a string");
    } else if (parser->depth > 0) {
        fail_and_reset(parser, "JSON syntax error: the input ends inside an %s",
                       is_array_at(parser, parser->depth - 1) ? "array" : "object");
    }
    reset(parser);
    parser->quiet = false;
    parser->line = 1;
}

unsigned qmp_json_parser_get_line(const QmpJsonParser *parser)
{
    return parser->reported_line;
}

unsigned qmp_json_parser_get_current_line(const QmpJsonParser *parser)
{
    return parser->line;
}
