/*
 * Nearness of names: by the characters that one has to change to get from one to the other, case
 * and '-' for '_' aside; or one is a part of the other.
 */
#include "ctl/near.h"

#include <string.h>

/* So many are enough to choose from. */
#define MOST 5

/* Parts shorter than this say nothing. */
#define SHORTEST_PART 3

typedef struct Near {
    const char *name;
    size_t distance;
} Near;

/* Characters to change, add or leave out, to get from @a to @b. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t columns = strlen(b) + 1;
    g_autofree size_t *row = g_new(size_t, columns);

    for (size_t j = 0; j < columns; j++) {
        row[j] = j;
    }
    for (size_t i = 0; a[i]; i++) {
        size_t diagonal = row[0];

        row[0] = i + 1;
        for (size_t j = 1; j < columns; j++) {
            size_t change = diagonal + (a[i] != b[j - 1]);

            diagonal = row[j];
            row[j] = MIN(change, MIN(row[j], row[j - 1]) + 1);
        }
    }
    return row[columns - 1];
}

static gint compare_near(gconstpointer a, gconstpointer b)
{
    const Near *left = a;
    const Near *right = b;

    if (left->distance != right->distance) {
        return left->distance < right->distance ? -1 : 1;
    }
    return strcmp(left->name, right->name);
}

static char *fold(const char *word)
{
    return g_strdelimit(g_ascii_strdown(word, -1), "_", '-');
}

static bool is_near(const char *word, const char *name, size_t distance)
{
    return distance <= MAX(strlen(word) / 3, 1) ||
           (strlen(word) >= SHORTEST_PART && strstr(name, word)) ||
           (strlen(name) >= SHORTEST_PART && strstr(word, name));
}

char *near_names(const char *word, const GPtrArray *names)
{
    g_autofree char *folded_word = fold(word);
    g_autoptr(GArray) found = g_array_new(FALSE, FALSE, sizeof(Near));
    GString *text;

    for (guint i = 0; i < names->len; i++) {
        g_autofree char *folded = fold(names->pdata[i]);
        Near near = { names->pdata[i], edit_distance(folded_word, folded) };

        if (is_near(folded_word, folded, near.distance)) {
            g_array_append_val(found, near);
        }
    }
    if (found->len == 0) {
        return NULL;
    }
    g_array_sort(found, compare_near);
    text = g_string_new(NULL);
    for (guint i = 0; i < MIN(found->len, MOST); i++) {
        g_string_append_printf(text, "%s%s", i > 0 ? ", " : "", g_array_index(found, Near, i).name);
    }
    return g_string_free(text, FALSE);
}
