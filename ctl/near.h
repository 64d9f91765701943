/*
 * Names that are near a wrong one: what the user may have meant.
 */
#ifndef CTL_NEAR_H
#define CTL_NEAR_H

#include <stdbool.h>
#include <glib.h>

G_BEGIN_DECLS

/* Those of @names, an array of strings, that are like @word, the likeliest first, as "a, b"; when
 * none is, NULL. The caller frees it. */
char *near_names(const char *word, const GPtrArray *names);

G_END_DECLS

#endif
