/*
 * JSON writer: a json_object tree as one line of ASCII text, the form in which everything leaves
 * the control socket. It walks the tree itself; json-c's own printer knows no ASCII-only form and
 * keeps a second copy of the text in every value that it prints. It recurses once for each level
 * of nesting: the parser bounds the depth of what comes from outside, and json-c recurses as deep
 * to free the value.
 */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "qmp/qmp-json.h"

static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static void escape_unit(QmpText *out, unsigned unit)
{
    static const char digits[] = "0123456789abcdef";
    const char text[] = {
        '\\',
        'u',
        digits[unit >> 12 & 15],
        digits[unit >> 8 & 15],
        digits[unit >> 4 & 15],
        digits[unit & 15],
    };

    qmp_text_append_len(out, text, sizeof(text));
}

static void escape_ascii(QmpText *out, unsigned char c)
{
    static const char short_forms[] = "\"\"\\\\\bb\ff\nn\rr\tt";

    for (const char *form = short_forms; *form != '\0'; form += 2) {
        if (*form == (char)c) {
            qmp_text_append_c(out, '\\');
            qmp_text_append_c(out, form[1]);
            return;
        }
    }
    escape_unit(out, c);
}

/* Escape the character that starts with a byte above 0x7f at @text; returns its length. */
static size_t escape_wide(QmpText *out, const char *text, size_t len)
{
    gunichar c = g_utf8_get_char_validated(text, (gssize)MIN(len, 4));

    if (c >= (gunichar)-2) {
        escape_unit(out, 0xfffd);
        return 1;
    }
    if (c < 0x10000) {
        escape_unit(out, c);
        return c < 0x800 ? 2 : 3;
    }
    escape_unit(out, 0xd800 + ((c - 0x10000) >> 10));
    escape_unit(out, 0xdc00 + ((c - 0x10000) & 0x3ff));
    return 4;
}

void qmp_json_print_escaped(QmpText *out, const char *text, size_t len)
{
    size_t i = 0;

    while (i < len && !out->cut) {
        size_t start = i;

        while (i < len && is_plain((unsigned char)text[i])) {
            i++;
        }
        if (i > start) {
            qmp_text_append_len(out, text + start, i - start);
        } else if ((unsigned char)text[i] < 0x80) {
            escape_ascii(out, (unsigned char)text[i++]);
        } else {
            i += escape_wide(out, text + i, len - i);
        }
    }
}

static void write_string(QmpText *out, const char *text, size_t len)
{
    qmp_text_append_c(out, '"');
    qmp_json_print_escaped(out, text, len);
    qmp_text_append_c(out, '"');
}

/* Not by printf(), which takes several times as long. */
static void write_digits(QmpText *out, uint64_t number, bool negative)
{
    char text[24];
    size_t start = sizeof(text);

    do {
        text[--start] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    if (negative) {
        text[--start] = '-';
    }
    qmp_text_append_len(out, text + start, sizeof(text) - start);
}

/* json-c keeps what is too large for an int64 as a uint64, and saturates in between. */
static void write_int(QmpText *out, json_object *value)
{
    int64_t i = json_object_get_int64(value);

    if (i == INT64_MAX) {
        write_digits(out, json_object_get_uint64(value), false);
    } else {
        write_digits(out, i < 0 ? 0 - (uint64_t)i : (uint64_t)i, i < 0);
    }
}

/* The shorter of the two usual precisions that reads back as the same double. */
static void write_double(QmpText *out, double d)
{
    char text[G_ASCII_DTOSTR_BUF_SIZE];

    g_ascii_formatd(text, sizeof(text), "%.15g", d);
    if (g_ascii_strtod(text, NULL) != d) {
        g_ascii_formatd(text, sizeof(text), "%.17g", d);
    }
    qmp_text_append(out, text);
    if (strpbrk(text, ".e") == NULL) {
        qmp_text_append(out, ".0");
    }
}

static void write_number(QmpText *out, json_object *value)
{
    double d = json_object_get_double(value);

    if (!isfinite(d)) {
        qmp_text_append(out, "null");
    } else if (json_object_get_userdata(value) != NULL) {
        /* It has the text that it was read from. */
        qmp_text_append(out, json_object_to_json_string(value));
    } else {
        write_double(out, d);
    }
}

static void write_object(QmpText *out, json_object *value)
{
    const char *separator = "";

    qmp_text_append_c(out, '{');
    json_object_object_foreach (value, name, member) {
        if (out->cut) {
            return;
        }
        qmp_text_append(out, separator);
        write_string(out, name, strlen(name));
        qmp_text_append(out, ": ");
        qmp_json_print(out, member);
        separator = ", ";
    }
    qmp_text_append_c(out, '}');
}

static void write_array(QmpText *out, json_object *value)
{
    size_t n = json_object_array_length(value);

    qmp_text_append_c(out, '[');
    for (size_t i = 0; i < n && !out->cut; i++) {
        qmp_text_append(out, i > 0 ? ", " : "");
        qmp_json_print(out, json_object_array_get_idx(value, i));
    }
    qmp_text_append_c(out, ']');
}

void qmp_json_print(QmpText *out, json_object *value)
{
    switch (json_object_get_type(value)) {
    case json_type_null:
        qmp_text_append(out, "null");
        break;
    case json_type_boolean:
        qmp_text_append(out, json_object_get_boolean(value) ? "true" : "false");
        break;
    case json_type_int:
        write_int(out, value);
        break;
    case json_type_double:
        write_number(out, value);
        break;
    case json_type_string:
        write_string(out, json_object_get_string(value), (size_t)json_object_get_string_len(value));
        break;
    case json_type_object:
        write_object(out, value);
        break;
    case json_type_array:
        write_array(out, value);
        break;
    }
}

/* ---- into a GString ---- */

/* Where a lack of memory ends the program, as it does with all else in GLib. */
static void take_over(GString *out, QmpText *text)
{
    if (text->cut) {
        g_error("no memory for %zu bytes of JSON", text->len);
    }
    g_string_append_len(out, text->bytes, (gssize)text->len);
}

void qmp_json_write(GString *out, json_object *value)
{
    g_auto(QmpText) text = { 0 };

    qmp_json_print(&text, value);
    take_over(out, &text);
}

void qmp_json_escape(GString *out, const char *text, size_t len)
{
    g_auto(QmpText) escaped = { 0 };

    qmp_json_print_escaped(&escaped, text, len);
    take_over(out, &escaped);
}
