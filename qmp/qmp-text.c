/*
 * Growing texts. See the header.
 */
#include "config.h"
#include "qmp/qmp-text.h"

/* The first memory: most answers fit. */
#define FIRST_SIZE ((size_t)256)

static bool grow(QmpText *text, size_t len)
{
    size_t size = MAX(text->size, FIRST_SIZE);
    char *bytes;

    while (size - text->len < len) {
        size *= 2;
    }
    if (text->max > 0) {
        size = MIN(size, text->max);
    }
    bytes = g_try_realloc(text->bytes, size);
    if (!bytes) {
        return false;
    }
    text->bytes = bytes;
    text->size = size;
    return true;
}

size_t qmp_text_make_room(QmpText *text, size_t len)
{
    size_t fits = text->max > 0 ? MIN(len, text->max - text->len) : len;

    if (text->cut) {
        return 0;
    }
    if (fits > text->size - text->len && !grow(text, fits)) {
        fits = 0;
    }
    if (fits < len) {
        text->cut = true;
        text->size = text->len + fits;
    }
    return fits;
}

void qmp_text_clear(QmpText *text)
{
    g_free(text->bytes);
    *text = (QmpText){ 0 };
}
