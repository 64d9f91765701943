/*
 * The table of names of sources.
 */
#include "config.h"
#include "objects/source-name.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <glib.h>

/* Guards the table. A leaf lock. */
static pthread_mutex_t names_lock = PTHREAD_MUTEX_INITIALIZER;
static GHashTable *names; /* a set of strings; NULL until there is one */

/* The one that is like @name; NULL when there is no room for it. With the lock held. */
static const char *intern_locked(const char *name)
{
    char *interned;

    if (!names) {
        names = g_hash_table_new(g_str_hash, g_str_equal);
    }
    interned = g_hash_table_lookup(names, name);
    if (!interned && g_hash_table_size(names) < SOURCE_NAMES_MAX) {
        interned = g_strdup(name);
        g_hash_table_add(names, interned);
        if (g_hash_table_size(names) == SOURCE_NAMES_MAX) {
            g_info("there have been %d names of sources: from now on new ones are without ids",
                   SOURCE_NAMES_MAX);
        }
    }
    return interned;
}

const char *source_name(const char *callback, const char *id)
{
    char name[SOURCE_NAME_LENGTH + 1];
    const char *interned = NULL;

    if (id && snprintf(name, sizeof(name), "%s(%s)", callback, id) <= SOURCE_NAME_LENGTH) {
        pthread_mutex_lock(&names_lock);
        interned = intern_locked(name);
        pthread_mutex_unlock(&names_lock);
    }
    return interned ? interned : callback;
}

char *source_name_get_id(const char *source)
{
    const char *id = strchr(source, '(');
    size_t length = id ? strlen(id) : 0;

    /* Neither bracket can be in an id. */
    return length > 2 && id[length - 1] == ')' ? g_strndup(id + 1, length - 2) : NULL;
}
