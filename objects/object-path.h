/*
 * Paths in the object tree: "/", "/objects", "/objects/ID", and partial ones such as "ID".
 */
#ifndef OBJECTS_OBJECT_PATH_H
#define OBJECTS_OBJECT_PATH_H

#include "objects/object.h"

typedef enum {
    OBJECT_NODE_ROOT,    /* a container that holds the next one */
    OBJECT_NODE_OBJECTS, /* a container that holds what users added */
    OBJECT_NODE_OBJECT,
} ObjectNodeKind;

typedef struct ObjectNode {
    ObjectNodeKind kind;
    Object *object; /* of OBJECT_NODE_OBJECT */
} ObjectNode;

/* Find what @path names. A path that does not begin with a slash is the end of one. False and
 * @errp, of class DeviceNotFound, when there is nothing. */
bool object_resolve_path(ObjectTree *tree, const char *path, ObjectNode *node, GError **errp);

/* The id of the object that @path names where there is such an object; the caller frees it. NULL:
 * it names none. Any thread. */
char *object_path_to_id(const char *path);

#endif
