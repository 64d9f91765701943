/*
 * JSON parser, the inside of strings, numbers and words: what their characters are, and what the
 * token is worth once it is complete.
 */
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "qmp/qmp-json-parser-private.h"

/* ---- strings ---- */

/* Whether the name in text can be taken without a look at the tree, because there is none, and the
 * name is new. Otherwise there is a tree now, or the value is broken because the memory is out. */
static bool take_held_name(QmpJsonParser *p)
{
    switch (qmp_json_add_name(p, p->text->str, p->text->len)) {
    case QMP_JSON_NAME_NEW:
        return true;
    case QMP_JSON_NAME_KNOWN:
        qmp_json_build_held(p);
        break;
    case QMP_JSON_NAME_NO_MEMORY:
        qmp_json_fail_memory(p);
        break;
    }
    return false;
}

static void end_name(QmpJsonParser *p)
{
    bool is_new = p->held && take_held_name(p);

    if (is_skipping(p)) {
        qmp_json_skip_char(p, p->quote);
        return;
    }
    if (!is_new && json_object_object_get_ex(innermost(p), p->text->str, NULL)) {
        g_autofree char *name = qmp_json_excerpt(p->text->str, p->text->len);

        qmp_json_fail(p, QMP_JSON_ERROR_SYNTAX, "JSON syntax error: duplicate member name \"%s\"",
                      name);
        qmp_json_skip_char(p, p->quote);
        return;
    }
    g_string_truncate(p->name, 0);
    if (!qmp_json_reserve(p->name, p->text->len)) {
        qmp_json_fail_memory(p);
        qmp_json_skip_char(p, p->quote);
        return;
    }
    g_string_append_len(p->name, p->text->str, (gssize)p->text->len);
    qmp_json_empty_text(&p->text);
    p->state = STATE_BETWEEN;
    p->expect = EXPECT_COLON;
}

static void end_string(QmpJsonParser *p)
{
    json_object *value = json_object_new_string_len(p->text->str, (int)p->text->len);

    if (value == NULL) {
        qmp_json_fail_memory(p);
        qmp_json_skip_char(p, p->quote);
    } else {
        qmp_json_end_scalar(p, value);
    }
}

static void string_char(QmpJsonParser *p, const char *c, size_t len)
{
    if (*c == '\\') {
        p->state = STATE_ESCAPE;
    } else if (*c != p->quote) {
        if (is_text_kept(p)) {
            g_string_append_len(p->text, c, (gssize)len);
        }
    } else if (is_name(p)) {
        end_name(p);
    } else {
        end_string(p);
    }
}

static void begin_hex(QmpJsonParser *p)
{
    p->hex = 0;
    p->hex_left = 4;
    p->state = STATE_HEX;
}

static void escape_char(QmpJsonParser *p, const char *c, size_t len)
{
    static const char letters[] = "\"\\/'bfnrt";
    static const char meanings[] = "\"\\/'\b\f\n\r\t";
    const char *letter = *c != '\0' ? strchr(letters, *c) : NULL;

    if (letter != NULL) {
        if (is_text_kept(p)) {
            g_string_append_c(p->text, meanings[letter - letters]);
        }
        p->state = STATE_STRING;
    } else if (*c == 'u') {
        begin_hex(p);
    } else {
        g_autofree char *shown = qmp_json_excerpt(c, len);

        qmp_json_fail(p, QMP_JSON_ERROR_SYNTAX,
                      "JSON syntax error: unknown escape '\\%s' in a string", shown);
        qmp_json_skip_char(p, *c);
    }
}

static void fail_surrogate(QmpJsonParser *p, unsigned unit)
{
    qmp_json_fail(p, QMP_JSON_ERROR_SYNTAX, "JSON syntax error: lone surrogate \\u%04x in a string",
                  unit);
}

/* The four digits of \u are read. */
static void end_hex(QmpJsonParser *p)
{
    bool is_high = p->hex >= 0xd800 && p->hex <= 0xdbff;
    bool is_low = p->hex >= 0xdc00 && p->hex <= 0xdfff;
    gunichar c = p->hex;

    if (p->high_surrogate != 0 && !is_low) {
        fail_surrogate(p, p->high_surrogate);
        return;
    }
    if (p->high_surrogate == 0 && is_low) {
        fail_surrogate(p, p->hex);
        return;
    }
    if (is_high) {
        p->high_surrogate = p->hex;
        p->state = STATE_LOW_ESCAPE;
        return;
    }
    if (is_low) {
        c = 0x10000 + ((p->high_surrogate - 0xd800) << 10) + (p->hex - 0xdc00);
        p->high_surrogate = 0;
    } else if (c == 0 && is_name(p)) {
        qmp_json_fail(p, QMP_JSON_ERROR_SYNTAX, "JSON syntax error: \\u0000 in a member name");
        return;
    }
    if (is_text_kept(p)) {
        g_string_append_unichar(p->text, c);
    }
    p->state = STATE_STRING;
}

static void hex_char(QmpJsonParser *p, char c)
{
    if (!g_ascii_isxdigit(c)) {
        qmp_json_fail(p, QMP_JSON_ERROR_SYNTAX,
                      "JSON syntax error: \\u in a string needs four hex digits");
        qmp_json_skip_char(p, c);
        return;
    }
    p->hex = p->hex << 4 | (unsigned)g_ascii_xdigit_value(c);
    if (--p->hex_left == 0) {
        end_hex(p);
    }
}

/* Between a high surrogate and the digits of the low one. */
static void low_surrogate_char(QmpJsonParser *p, char c)
{
    if (p->state == STATE_LOW_ESCAPE && c == '\\') {
        p->state = STATE_LOW_U;
    } else if (p->state == STATE_LOW_U && c == 'u') {
        begin_hex(p);
    } else {
        fail_surrogate(p, p->high_surrogate);
        qmp_json_skip_char(p, c);
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

/* The value of the number in text, or NULL: *@in_range is false when it is too large for a double,
 * else the memory is out. */
static json_object *number_value(const QmpJsonParser *p, bool *in_range)
{
    const char *text = p->text->str;
    double d;

    *in_range = true;
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
    *in_range = !isinf(d);
    return *in_range ? json_object_new_double_s(d, text) : NULL;
}

static void fail_number(QmpJsonParser *p, const char *what)
{
    g_autofree char *shown = qmp_json_excerpt(p->text->str, p->text->len);

    qmp_json_fail(p, QMP_JSON_ERROR_SYNTAX, "JSON syntax error: %s '%s'", what, shown);
}

/* The number in text is followed by @c. Returns whether that is used up. */
static bool end_number(QmpJsonParser *p, char c)
{
    json_object *value;
    bool in_range;

    if (!is_whole_number(p->number)) {
        fail_number(p, "invalid number");
        return qmp_json_skip_char(p, c);
    }
    value = number_value(p, &in_range);
    if (value == NULL) {
        if (in_range) {
            qmp_json_fail_memory(p);
        } else {
            fail_number(p, "number out of range");
        }
        return qmp_json_skip_char(p, c);
    }
    qmp_json_end_scalar(p, value);
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
        return qmp_json_skip_char(p, *c);
    }
    return true;
}

/* The word in text is followed by @c. Returns whether that is used up. */
static bool end_word(QmpJsonParser *p, char c)
{
    const char *word = p->text->str;
    g_autofree char *shown = NULL;

    if (strcmp(word, "true") == 0 || strcmp(word, "false") == 0) {
        qmp_json_end_scalar(p, checked(json_object_new_boolean(*word == 't')));
        return false;
    }
    if (strcmp(word, "null") == 0) {
        qmp_json_end_scalar(p, NULL);
        return false;
    }
    shown = qmp_json_excerpt(word, p->text->len);
    qmp_json_fail(p, QMP_JSON_ERROR_SYNTAX, "JSON syntax error: unknown word '%s'", shown);
    return qmp_json_skip_char(p, c);
}

static bool word_char(QmpJsonParser *p, const char *c, size_t len)
{
    if (is_delimiter(*c)) {
        return end_word(p, *c);
    }
    g_string_append_len(p->text, c, (gssize)len);
    return p->text->len <= EXCERPT_MAX ? true : end_word(p, *c);
}

/* ---- all of them ---- */

bool qmp_json_scalar_char(QmpJsonParser *p, const char *c, size_t len)
{
    switch (p->state) {
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
    case STATE_LOW_U:
        low_surrogate_char(p, *c);
        return true;
    case STATE_NUMBER:
        return number_char(p, c, len);
    default:
        return word_char(p, c, len);
    }
}
