/*
 * The registry of object types.
 *
 * The table is made by objects/Makefile.inc out of the names of the files *-type.c that it lists: a
 * type NAME is the variable NAME_type (with _ for -) in objects/NAME-type.c, and nothing else names
 * it. So the types and their order are fixed when the program is linked; there is nothing to be run
 * before main(), and nothing that a linker could leave out.
 */
#ifndef OBJECTS_OBJECT_TYPES_H
#define OBJECTS_OBJECT_TYPES_H

#include "objects/object.h"

/* The type that other objects are placed on. */
extern const ObjectType iothread_type;

/* All types, and their names, each ended by NULL. Constant; any thread. */
extern const ObjectType *const object_types[];
extern const char *const object_type_names[];

/* The type called @name, or NULL. Any thread. */
const ObjectType *object_type_find(const char *name);

/* The enum of all types' names, in the order of object_types, and the variants of what depends on
 * it. Any thread. */
extern const QmpType object_type_enum;
extern const QmpVariants object_type_variants;

/* Add the commands and events of the object model and of all types to @registry. Main thread. */
void object_types_register(QmpRegistry *registry, ObjectTree *tree);

#endif
