/*
 * A configuration: all the objects that somebody asks for, with their properties.
 *
 * It is made of the commands object-add and qom-set, of which none is run: together they say what
 * there should be. objects/configuration-difference.h compares that with what there is, and
 * objects/configuration-change.h goes over from the one to the other.
 *
 * Objects that a configuration has asked for are marked (Object.configured). The next one deletes
 * them when it does not ask for them any more, and leaves alone what others have added.
 *
 * A configuration belongs to one thread at a time.
 */
#ifndef OBJECTS_CONFIGURATION_H
#define OBJECTS_CONFIGURATION_H

#include "objects/object.h"

/* An object that is asked for. */
typedef struct ConfiguredObject {
    const ObjectType *type;
    char *id;
    json_object *values; /* what is given of its properties, checked */
    char *where;         /* what asks for it, as an error begins: "FILE: line 3" */
} ConfiguredObject;

typedef struct Configuration {
    GPtrArray *objects; /* of ConfiguredObject, in the order in which they are asked for */
    GHashTable *by_id;  /* of the same */
} Configuration;

Configuration *configuration_new(void);
void configuration_free(Configuration *configuration);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Configuration, configuration_free)

/* Ask for what object-add would add with @arguments, which have been checked. @where is what asks
 * for it. False and @errp, without @where, when that can't be. */
bool configuration_add_object(Configuration *configuration, json_object *arguments,
                              const char *where, GError **errp);

/* Ask for another value of a property of an object that is asked for, as qom-set would set it.
 * False and @errp when that can't be. */
bool configuration_set_property(Configuration *configuration, const char *path, const char *name,
                                json_object *value, GError **errp);

#endif
