/*
 * JSON parser: all short texts of an alphabet, each byte in each place and every kind of UTF-8
 * sequence, against a second opinion on what is JSON.
 */
#include <stdbool.h>
#include <string.h>

#include "tests/unit/json-fixture.h"

/* Call @check_text for every text of up to @max_parts of the @n parts. */
static void for_all_texts(const char *const *parts, size_t n, size_t max_parts,
                          void (*check_text)(const char *text, size_t len))
{
    size_t odometer[8] = { 0 };
    size_t count = 0;

    g_assert_cmpuint(max_parts, <=, G_N_ELEMENTS(odometer));
    while (count <= max_parts) {
        char text[64] = "";
        size_t len = 0;
        size_t i = 0;

        for (size_t k = 0; k < count; k++) {
            size_t part_len = strlen(parts[odometer[k]]);

            memcpy(text + len, parts[odometer[k]], part_len);
            len += part_len;
        }
        check_text(text, len);
        while (i < count && ++odometer[i] == n) {
            odometer[i++] = 0;
        }
        count += i == count;
    }
}

static GRegex *number_regex;

static void check_number(const char *digits, size_t len)
{
    g_autofree char *number = g_strndup(digits, len);
    g_autofree char *text = g_strdup_printf("[%s]", number);

    /* Of nothing there is an array too. */
    if (len > 0) {
        json_check_text(text, len + 2, g_regex_match(number_regex, number, 0, NULL));
    }
}

static void test_all_short_numbers(void)
{
    static const char *const parts[] = { "0", "1", "-", "+", ".", "e", "E" };

    number_regex = g_regex_new("\\A-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][+-]?[0-9]+)?\\z", 0, 0, NULL);
    for_all_texts(parts, G_N_ELEMENTS(parts), 5, check_number);
    g_regex_unref(number_regex);
}

/* A second opinion on texts without white space whose only scalars are 0 and "". */
typedef struct Reader {
    const char *p, *end;
} Reader;

static bool read_token(Reader *reader, const char *token)
{
    size_t len = strlen(token);

    if ((size_t)(reader->end - reader->p) < len || memcmp(reader->p, token, len) != 0) {
        return false;
    }
    reader->p += len;
    return true;
}

static bool read_value(Reader *reader)
{
    if (read_token(reader, "0") || read_token(reader, "\"\"")) {
        return true;
    }
    if (read_token(reader, "[")) {
        if (read_token(reader, "]")) {
            return true;
        }
        do {
            if (!read_value(reader)) {
                return false;
            }
        } while (read_token(reader, ","));
        return read_token(reader, "]");
    }
    /* Two members of a name are refused, and there is but one name. */
    return read_token(reader, "{") &&
           (read_token(reader, "}") || (read_token(reader, "\"\"") && read_token(reader, ":") &&
                                        read_value(reader) && read_token(reader, "}")));
}

static void check_structure(const char *text, size_t len)
{
    Reader reader = { .p = text, .end = text + len };

    json_check_text(text, len, read_value(&reader) && reader.p == reader.end);
}

static void test_all_short_structures(void)
{
    static const char *const parts[] = { "[", "]", "{", "}", ",", ":", "0", "\"\"" };

    for_all_texts(parts, G_N_ELEMENTS(parts), g_test_slow() ? 7 : 5, check_structure);
}

/* Each byte where a value, a string's character, an escape and a hex digit goes. */
static void test_every_byte(void)
{
    for (int c = 0; c < 256; c++) {
        const char value[] = { '[', (char)c, ']' };
        const char character[] = { '"', (char)c, '"' };
        const char escape[] = { '"', '\\', (char)c, '"' };
        const char hex[] = { '"', '\\', 'u', '0', '0', (char)c, '0', '"' };
        const char space[] = { '[', '0', (char)c, '0', ']' };

        json_check_text(value, sizeof(value), c != 0 && strchr(" \t\r\n0123456789", c));
        json_check_text(character, sizeof(character),
                        c >= 0x20 && c < 0x80 && c != '"' && c != '\\');
        json_check_text(escape, sizeof(escape), c != 0 && strchr("\"\\/bfnrt'", c));
        json_check_text(hex, sizeof(hex), c < 0x80 && g_ascii_isxdigit(c));
        json_check_text(space, sizeof(space), c == ',' || c == '.' || c == 'e' || c == 'E');
    }
}

/* Every two bytes, and three and four of those where ranges begin and end. */
static void test_every_utf_8_sequence(void)
{
    static const unsigned char edges[] = { 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf,
                                           0xc0, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee,
                                           0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff };
    char text[] = "\"....\"";

    for (unsigned i = 0x8080; i <= 0xffff; i++) {
        text[1] = (char)(i >> 8);
        text[2] = (char)i;
        text[3] = '"';
        json_check_text(text, 4,
                        g_utf8_validate(text, 4, NULL) && text[2] != '"' && text[2] != '\\');
        i += (i & 0xff) == 0xff ? 0x80 : 0;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(edges); i++) {
        for (size_t j = 0; j < G_N_ELEMENTS(edges); j++) {
            for (size_t k = 0; k < G_N_ELEMENTS(edges); k++) {
                text[1] = (char)edges[i];
                text[2] = (char)edges[j];
                text[3] = (char)edges[k];
                text[4] = '"';
                json_check_text(text, 5, g_utf8_validate(text, 5, NULL));
                text[4] = (char)0x80;
                json_check_text(text, 6, g_utf8_validate(text, 6, NULL));
            }
        }
    }
}

#define ADD(name, function) g_test_add_func("/qmp/json-exhaustive/" name, function)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("all short numbers", test_all_short_numbers);
    ADD("all short structures", test_all_short_structures);
    ADD("every byte in every place", test_every_byte);
    ADD("every UTF-8 sequence at the edges", test_every_utf_8_sequence);
    return g_test_run();
}
