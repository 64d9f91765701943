/*
 * Completion in the shell: the words of the line are taken apart as they would be to run it, and
 * the rest is what bash and zsh have as well, see ctl/complete.h.
 */
#include <string.h>

#include "ctl/shell.h"
#include "ctl/text.h"

/* With so many choices or more, each is a line no longer. */
#define MOST_WITH_HELP 30
#define GAP            2

/* ---- the words of a line ---- */

/* Where the last word of @line begins: at its end when it ends in white space. NULL when that word
 * is quoted, in part or as a whole, or a comment: then there is nothing to offer. */
static const char *find_last_word(const char *line)
{
    const char *start = line;
    bool is_plain = true;
    char quote = '\0';

    for (const char *p = line; *p; p++) {
        if (quote) {
            quote = *p == quote ? '\0' : quote;
            p += *p == '\\' && quote == '"' && p[1];
        } else if (g_ascii_isspace(*p)) {
            start = p + 1;
            is_plain = true;
        } else if (*p == '#' && p == start) {
            return NULL;
        } else if (strchr("'\"\\", *p)) {
            quote = *p == '\\' ? '\0' : *p;
            p += *p == '\\' && p[1];
            is_plain = false;
        }
    }
    return is_plain ? start : NULL;
}

/* The words before @end, up to NULL; NULL when they can't be told. */
static char **split(const char *line, const char *end)
{
    g_autofree char *head = g_strndup(line, (gsize)(end - line));
    g_autoptr(GError) error = NULL;
    char **words = NULL;

    if (!g_shell_parse_argv(head, NULL, &words, &error) &&
        g_error_matches(error, G_SHELL_ERROR, G_SHELL_ERROR_EMPTY_STRING)) {
        return g_new0(char *, 1);
    }
    return words;
}

/* ---- choices ---- */

/* How many bytes @a and @b have in common at their beginnings, whole characters. */
static size_t common_length(const char *a, const char *b)
{
    const char *p = a;

    while (*p && g_utf8_get_char(p) == g_utf8_get_char(b + (p - a))) {
        p = g_utf8_next_char(p);
    }
    return (size_t)(p - a);
}

/* Take the lines of completion_find(). */
static void take_choices(ShellChoices *choices, const char *found)
{
    g_auto(GStrv) lines = g_strsplit(found, "\n", -1);

    for (char **line = lines; *line && **line; line++) {
        char *tab = strchr(*line, '\t');

        g_ptr_array_add(choices->words, g_strndup(*line, (gsize)(tab - *line)));
        g_ptr_array_add(choices->helps, g_strdup(tab + 1));
    }
}

static char *find_rest(const ShellChoices *choices, const char *word)
{
    const char *first;
    size_t length;

    if (choices->words->len == 0) {
        return g_strdup("");
    }
    first = choices->words->pdata[0];
    length = strlen(first);
    for (guint i = 1; i < choices->words->len; i++) {
        length = MIN(length, common_length(first, choices->words->pdata[i]));
    }
    /* What is complete is followed by the next word, but for a name that wants a value. */
    if (choices->words->len == 1 && !g_str_has_suffix(first, "=")) {
        return g_strconcat(first + strlen(word), " ", NULL);
    }
    return g_strndup(first + strlen(word), length - strlen(word));
}

ShellChoices *shell_complete(const Ctl *ctl, const char *typed)
{
    ShellChoices *choices = g_new0(ShellChoices, 1);
    const char *word = find_last_word(typed);
    g_auto(GStrv) words = word ? split(typed, word) : NULL;
    g_autoptr(GString) found = NULL;

    choices->words = g_ptr_array_new_with_free_func(g_free);
    choices->helps = g_ptr_array_new_with_free_func(g_free);
    if (words) {
        found = completion_find(ctl->program, ctl, words, word);
        take_choices(choices, found->str);
    }
    choices->rest = find_rest(choices, word);
    return choices;
}

void shell_choices_free(ShellChoices *choices)
{
    g_ptr_array_unref(choices->words);
    g_ptr_array_unref(choices->helps);
    g_free(choices->rest);
    g_free(choices);
}

/* ---- showing them ---- */

static guint widest(const GPtrArray *words)
{
    guint width = 0;

    for (guint i = 0; i < words->len; i++) {
        width = MAX(width, text_width(words->pdata[i]));
    }
    return width;
}

static void append_with_help(GString *text, const ShellChoices *choices, guint columns)
{
    guint width = MIN(widest(choices->words), columns);

    for (guint i = 0; i < choices->words->len; i++) {
        g_autoptr(GString) line = g_string_new(NULL);

        text_append_cell(line, choices->words->pdata[i], width, false);
        if (width + GAP < columns) {
            g_string_append_printf(line, "%*s", GAP, "");
            text_append_cell(line, choices->helps->pdata[i], columns - width - GAP, false);
        }
        g_string_append_printf(text, "%s\n", g_strchomp(line->str));
    }
}

static void append_in_columns(GString *text, const ShellChoices *choices, guint columns)
{
    guint width = MIN(widest(choices->words), columns);
    guint across = MAX((columns + GAP) / (width + GAP), 1);
    guint count = choices->words->len;
    guint down = (count + across - 1) / across;

    for (guint row = 0; row < down; row++) {
        g_autoptr(GString) line = g_string_new(NULL);

        for (guint i = row; i < count; i += down) {
            text_append_cell(line, choices->words->pdata[i], width, false);
            g_string_append_printf(line, "%*s", i + down < count ? GAP : 0, "");
        }
        g_string_append_printf(text, "%s\n", g_strchomp(line->str));
    }
}

char *shell_choices_to_text(const ShellChoices *choices, guint columns, guint lines)
{
    GString *text = g_string_new(NULL);
    guint count = choices->words->len;

    if (widest(choices->helps) > 0 && count < MOST_WITH_HELP && count + 1 < lines) {
        append_with_help(text, choices, columns);
    } else {
        append_in_columns(text, choices, columns);
    }
    return g_string_free(text, FALSE);
}
