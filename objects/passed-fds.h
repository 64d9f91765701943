/*
 * Descriptors that were passed to the daemon for its objects, by name.
 *
 * They stay for as long as the daemon runs. An object claims one and gets a duplicate of its own;
 * when that object is gone, another may claim the same. Main thread.
 */
#ifndef OBJECTS_PASSED_FDS_H
#define OBJECTS_PASSED_FDS_H

#include <stdbool.h>
#include <glib.h>

#include "objects/object.h"

PassedFds *passed_fds_new(void);
/* Closes all of them. */
void passed_fds_free(PassedFds *fds);

/* Add @fd, which is taken over, as @name, which others may have too. */
void passed_fds_add(PassedFds *fds, const char *name, int fd);

/* Give @fd away, if it is one of them: it is the caller's. */
void passed_fds_remove(PassedFds *fds, int fd);

/* Give all away that are called @name: an array of int, for the caller, who closes them. */
GArray *passed_fds_take(PassedFds *fds, const char *name);

/* Whether one is called @name; and what all are called, such as "'a', 'b'", to be freed, or NULL
 * when there is none. */
bool passed_fds_has(const PassedFds *fds, const char *name);
char *passed_fds_names(const PassedFds *fds);

/* A duplicate of the only one that is called @name, for @user alone, which closes it. -1 and @errp,
 * which names @name, when there are several, or another object that is not being deleted has
 * claimed it. */
int passed_fds_claim(PassedFds *fds, const char *name, const Object *user, GError **errp);

/* Whether @user has claimed @name. */
bool passed_fds_is_claimed(const PassedFds *fds, const char *name, const Object *user);

/* @user is about to be gone. */
void passed_fds_release(PassedFds *fds, const Object *user);

#endif
