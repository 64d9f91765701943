/*
 * Cleaning text and fitting it into columns.
 */
#include <string.h>

#include "ctl/text.h"

/* Control characters, and those that change the order in which a terminal shows what follows, or
 * begin another line (Unicode's Bidi_Control, line and paragraph separator). */
static gboolean is_control(gunichar c)
{
    return g_unichar_iscntrl(c) || c == 0x061c || c == 0x200e || c == 0x200f ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

static char *clean(const char *text, gboolean (*is_bad)(gunichar c), char replacement)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    GString *result = g_string_new(NULL);

    for (const char *p = valid; *p; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);

        g_string_append_unichar(result, is_bad(c) ? (gunichar)replacement : c);
    }
    return g_string_free(result, FALSE);
}

char *text_clean(const char *text)
{
    return clean(text, is_control, ' ');
}

char *text_escape_json(const char *json)
{
    g_autofree char *valid = g_utf8_make_valid(json, -1);
    GString *result = g_string_sized_new(strlen(valid));

    for (const char *p = valid; *p; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);

        if (c >= 0x7f && is_control(c)) {
            g_string_append_printf(result, "\\u%04x", (unsigned)c);
        } else {
            g_string_append_unichar(result, c);
        }
    }
    return g_string_free(result, FALSE);
}

static gboolean is_no_part_of_a_word(gunichar c)
{
    return is_control(c) || g_unichar_isspace(c);
}

char *text_clean_word(const char *text)
{
    return text && *text ? clean(text, is_no_part_of_a_word, '_') : g_strdup("-");
}

static guint char_width(gunichar c)
{
    if (g_unichar_iszerowidth(c)) {
        return 0;
    }
    return g_unichar_iswide(c) ? 2 : 1;
}

guint text_width(const char *text)
{
    guint width = 0;

    for (; *text; text = g_utf8_next_char(text)) {
        width += char_width(g_utf8_get_char(text));
    }
    return width;
}

/* How many bytes of @text fit into @width columns; *@used gets the columns that they take. */
static gssize bytes_that_fit(const char *text, guint width, guint *used)
{
    const char *p = text;

    *used = 0;
    while (*p && *used + char_width(g_utf8_get_char(p)) <= width) {
        *used += char_width(g_utf8_get_char(p));
        p = g_utf8_next_char(p);
    }
    return p - text;
}

void text_append_cell(GString *line, const char *text, guint width, bool right)
{
    bool cut = text_width(text) > width;
    guint used;
    gssize size;

    if (width == 0) {
        return;
    }
    size = bytes_that_fit(text, cut ? width - 1 : width, &used);
    if (right && !cut) {
        g_string_append_printf(line, "%*s", (int)(width - used), "");
    }
    g_string_append_len(line, text, size);
    if (cut) {
        g_string_append_c(line, '+');
        used++;
    }
    if (!right || cut) {
        g_string_append_printf(line, "%*s", (int)(width - used), "");
    }
}
