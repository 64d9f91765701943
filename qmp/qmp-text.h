/*
 * Text that grows. Unlike a GString it has an end: a lack of memory does not end the program, and
 * there may be a greatest length. What does not fit is left out, with all that would follow it, and
 * the text is marked as cut.
 *
 * A text of all zeroes, but for its greatest length, is empty.
 */
#ifndef QMP_QMP_TEXT_H
#define QMP_QMP_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <glib.h>

typedef struct QmpText {
    char *bytes; /* no NUL at the end; NULL as long as there are none */
    size_t len;
    size_t size; /* of the memory; len once it is cut, so that nothing fits */
    size_t max;  /* bytes that it takes; 0: any number */
    bool cut;    /* something did not fit */
} QmpText;

/* For qmp_text_append_len(): get memory for @len bytes more; returns how many of them fit. */
size_t qmp_text_make_room(QmpText *text, size_t len);

/* Append @len bytes; of what is cut because of the greatest length, as many as fit. */
static inline void qmp_text_append_len(QmpText *text, const char *bytes, size_t len)
{
    if (len > text->size - text->len) {
        len = qmp_text_make_room(text, len);
    }
    if (len > 0) {
        memcpy(text->bytes + text->len, bytes, len);
        text->len += len;
    }
}

static inline void qmp_text_append(QmpText *text, const char *string)
{
    qmp_text_append_len(text, string, strlen(string));
}

static inline void qmp_text_append_c(QmpText *text, char c)
{
    qmp_text_append_len(text, &c, 1);
}

/* Free the memory, and be empty. */
void qmp_text_clear(QmpText *text);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(QmpText, qmp_text_clear)

#endif
