/*
 * Sets of descriptors that clients have handed to the daemon, by add-fd.
 *
 * A set has a number, and a descriptor in it its own number, with a text of the client's. They
 * belong to the daemon: all sessions share them, and they stay when the client leaves.
 */
#ifndef QMP_QMP_FDSET_H
#define QMP_QMP_FDSET_H

#include <stdbool.h>
#include <stdint.h>
#include <glib.h>

typedef struct QmpFdsets QmpFdsets;

/* The most descriptors in all sets together. */
#define QMP_MAX_FDSET_FDS 1024

/* No sets. Main thread, as everything here. */
QmpFdsets *qmp_fdsets_new(void);

/* Close all descriptors and free the sets. */
void qmp_fdsets_free(QmpFdsets *sets);

/* Add @fd, which is taken over, with the text @opaque or NULL to the set @id, which may be a new
 * one; -1: to a new one, of the lowest number that is free. Returns the set's number; -1 and @errp,
 * and @fd is closed, when there are as many as there may be. */
int64_t qmp_fdsets_add(QmpFdsets *sets, int64_t id, int fd, const char *opaque, GError **errp);

/* Close @fd of set @id, or, when it is -1, all of the set. A set without descriptors is gone. False
 * and @errp, which names what is not there. */
bool qmp_fdsets_remove(QmpFdsets *sets, int64_t id, int64_t fd, GError **errp);

/* Call @func for every descriptor: the sets by their numbers, and in each the oldest first. */
void qmp_fdsets_foreach(const QmpFdsets *sets,
                        void (*func)(int64_t id, int fd, const char *opaque, void *data),
                        void *data);

#endif
