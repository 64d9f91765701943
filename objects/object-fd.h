/*
 * Descriptors for an object that is being added: those that a client has sent, and those that were
 * passed to the daemon.
 *
 * A property that is a descriptor is its name: the one by which the session has kept it with getfd,
 * or, when it has none such, the one by which the daemon was passed it. What an object can't use in
 * the end stays where it was. Main thread, in the type's create.
 */
#ifndef OBJECTS_OBJECT_FD_H
#define OBJECTS_OBJECT_FD_H

#include "objects/object.h"

/* Take the descriptor @name for the property @property of @object, out of the session that adds it
 * or what has been kept, or as a duplicate of the daemon's, which no other object can take until
 * @object is gone; the caller closes it. -1 and @errp, which names both, when there is none. */
int object_take_fd(Object *object, const char *property, const char *name, GError **errp);

/* Undo object_take_fd(): @fd is the session's again, as @name, or is closed. */
void object_give_fd_back(Object *object, const char *name, int fd);

/* In type->keep: have @fd, the descriptor for the property @property that is called @name (NULL:
 * one that the object has made itself), survive, with @state telling of it. It is taken over. One
 * that the daemon was passed does not, for the next one is passed it too. */
void object_keep_fd(Object *object, Keep *keep, json_object *state, const char *property,
                    const char *name, int fd);

/* In type->create: that descriptor, for the caller, if object->kept_state tells of it and it has
 * the same name. -1: there is none. */
int object_take_kept_fd(Object *object, const char *property, const char *name);

#endif
