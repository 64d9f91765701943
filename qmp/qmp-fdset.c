/*
 * Sets of descriptors.
 */
#include "config.h"
#include "qmp/qmp-fdset.h"

#include "qmp/qmp-error.h"
#include "qmp/qmp-fds.h"

typedef struct Entry {
    int64_t id; /* of its set */
    int fd;
    char *opaque; /* or NULL */
} Entry;

/* A set is no more than its entries, which stand together. */
struct QmpFdsets {
    GPtrArray *entries; /* of Entry, by the numbers of their sets, and by age in each */
};

static void entry_free(gpointer data)
{
    Entry *entry = data;

    qmp_fds_close_one(entry->fd);
    g_free(entry->opaque);
    g_free(entry);
}

QmpFdsets *qmp_fdsets_new(void)
{
    QmpFdsets *sets = g_new0(QmpFdsets, 1);

    sets->entries = g_ptr_array_new_with_free_func(entry_free);
    return sets;
}

void qmp_fdsets_free(QmpFdsets *sets)
{
    g_ptr_array_unref(sets->entries);
    g_free(sets);
}

static const Entry *entry_at(const QmpFdsets *sets, guint i)
{
    return g_ptr_array_index(sets->entries, i);
}

static int64_t lowest_free_id(const QmpFdsets *sets)
{
    int64_t id = 0;

    for (guint i = 0; i < sets->entries->len; i++) {
        id += entry_at(sets, i)->id == id;
    }
    return id;
}

int64_t qmp_fdsets_add(QmpFdsets *sets, int64_t id, int fd, const char *opaque, GError **errp)
{
    guint i = sets->entries->len;
    Entry *entry;

    if (i == QMP_MAX_FDSET_FDS) {
        qmp_fds_close_one(fd);
        qmp_error_set(errp, "The descriptor sets hold %d descriptors already, and may hold no more",
                      QMP_MAX_FDSET_FDS);
        return -1;
    }
    entry = g_new0(Entry, 1);
    entry->id = id >= 0 ? id : lowest_free_id(sets);
    entry->fd = fd;
    entry->opaque = g_strdup(opaque);
    while (i > 0 && entry_at(sets, i - 1)->id > entry->id) {
        i--;
    }
    g_ptr_array_insert(sets->entries, (gint)i, entry);
    return entry->id;
}

bool qmp_fdsets_remove(QmpFdsets *sets, int64_t id, int64_t fd, GError **errp)
{
    bool found_set = false;
    bool removed = false;

    for (guint i = sets->entries->len; i > 0; i--) {
        const Entry *entry = entry_at(sets, i - 1);

        if (entry->id == id) {
            found_set = true;
            if (fd < 0 || entry->fd == fd) {
                g_ptr_array_remove_index(sets->entries, i - 1);
                removed = true;
            }
        }
    }
    if (!found_set) {
        return qmp_error_set(
            errp, "Parameter 'fdset-id': there is no descriptor set %" G_GINT64_FORMAT, id);
    }
    if (!removed) {
        return qmp_error_set(errp,
                             "Parameter 'fd': there is no descriptor %" G_GINT64_FORMAT
                             " in descriptor set %" G_GINT64_FORMAT,
                             fd, id);
    }
    return true;
}

void qmp_fdsets_foreach(const QmpFdsets *sets,
                        void (*func)(int64_t id, int fd, const char *opaque, void *data),
                        void *data)
{
    for (guint i = 0; i < sets->entries->len; i++) {
        const Entry *entry = entry_at(sets, i);

        func(entry->id, entry->fd, entry->opaque, data);
    }
}
