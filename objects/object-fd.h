/*
 * Descriptors that a client has sent for an object that it adds.
 *
 * A property that is a descriptor is the name by which the session has kept it with getfd. What an
 * object can't use in the end stays the session's. Main thread, in the type's create.
 */
#ifndef OBJECTS_OBJECT_FD_H
#define OBJECTS_OBJECT_FD_H

#include "objects/object.h"

/* Take the descriptor @name, for the property @property of @object, out of the session that adds
 * it; the caller closes it. -1 and @errp, which names both, when there is none. */
int object_take_fd(Object *object, const char *property, const char *name, GError **errp);

/* Undo object_take_fd(): @fd is the session's again, as @name. */
void object_give_fd_back(Object *object, const char *name, int fd);

#endif
