/*
 * The registry of object types.
 */
#ifndef OBJECTS_OBJECT_TYPES_H
#define OBJECTS_OBJECT_TYPES_H

#include "objects/object.h"

/* Each type's table, in the file named after it. */
extern const ObjectType iothread_type;

/* All types, ended by NULL. Constant; any thread. */
extern const ObjectType *const object_types[];

/* The type called @name, or NULL. Any thread. */
const ObjectType *object_type_find(const char *name);

/* The enum of all types' names, in the order of object_types, and the variants of what depends on
 * it. Any thread. */
extern const QmpType object_type_enum;
extern const QmpVariants object_type_variants;

/* The commands that object types bring; they need the ObjectTree as their opaque. */
extern const QmpCommand iothread_commands[];

#endif
