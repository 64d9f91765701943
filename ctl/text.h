/*
 * Text for a terminal: what comes over the socket made harmless, and put in columns.
 *
 * A column is one cell of a terminal; a character takes none, one or two of them.
 */
#ifndef CTL_TEXT_H
#define CTL_TEXT_H

#include <stdbool.h>
#include <glib.h>

G_BEGIN_DECLS

/* A copy of @text as valid UTF-8 in which a space stands for each control character, and for each
 * that changes the direction of text or separates lines. The caller frees it. */
char *text_clean(const char *text);

/* As text_clean(), as one word: '_' stands for white space, and '-' for no text at all (NULL too).
 */
char *text_clean_word(const char *text);

/* A copy of @json, as json-c writes it, as valid UTF-8 in which those of these characters are
 * escaped too that JSON lets stand, such as U+009B, which a terminal may take for ESC and '['. */
char *text_escape_json(const char *json);

/* How many columns the valid UTF-8 @text takes. */
guint text_width(const char *text);

/*
 * Append the valid UTF-8 @text in exactly @width columns: padded with spaces, on the left of it
 * when it is to stand at the @right, or cut, which a '+' in the last column shows.
 */
void text_append_cell(GString *line, const char *text, guint width, bool right);

G_END_DECLS

#endif
