/*
 * What an object was given.
 */
#ifndef OBJECTS_OBJECT_VALUES_H
#define OBJECTS_OBJECT_VALUES_H

#include "objects/object.h"

/* The values that an object of @type with these @properties was, or could be, given: JSON by names,
 * a reference for the caller. */
json_object *object_values(const ObjectType *type, const void *properties);

#endif
