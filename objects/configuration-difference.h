/*
 * The difference between the objects that a configuration asks for and those that there are.
 *
 * Finding it checks all that can be known beforehand: ids, references, who uses what would go. What
 * only the system knows, such as whether an address is free, shows when it is applied.
 */
#ifndef OBJECTS_CONFIGURATION_DIFFERENCE_H
#define OBJECTS_CONFIGURATION_DIFFERENCE_H

#include "objects/configuration.h"

typedef enum {
    DIFFERENCE_KEEP,    /* it is there, and may have other properties */
    DIFFERENCE_ADD,     /* there is none of that id */
    DIFFERENCE_REPLACE, /* it has to be deleted and added anew */
    DIFFERENCE_REMOVE,  /* a configuration made it, and this one does not ask for it */
} DifferenceKind;

/* What becomes of one object. Values are those of all its properties that can be given. */
typedef struct DifferenceEntry {
    DifferenceKind kind;
    char *id;
    char *where;               /* who asks for it; NULL: nobody */
    const ObjectType *former;  /* the type that it has, NULL: it is not there */
    json_object *has;          /* its values */
    const ObjectType *type;    /* the type that is asked for, NULL: none */
    json_object *wants;        /* its values */
    const QmpMember *property; /* of one to be replaced: what can't be set; NULL: the type */
    bool adopted;              /* it is there, but not by a configuration */
    bool late;                 /* it is added after others have gone */
    int visit;                 /* while they are put in order */
} DifferenceEntry;

/* A property that is to be set. */
typedef struct PropertyChange {
    const DifferenceEntry *entry;
    const QmpMember *property;
    json_object *from;
    json_object *to;
    bool for_now; /* another change follows */
} PropertyChange;

typedef struct Difference {
    GPtrArray *entries; /* of DifferenceEntry: first those asked for, each after all that it refers
                         * to, then the others */
    GHashTable *by_id;  /* of the same */
} Difference;

/* Compare. NULL and @errp, which begins with where what is wrong was asked for. Main thread. */
Difference *difference_new(ObjectTree *tree, const Configuration *configuration, GError **errp);
void difference_free(Difference *difference);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Difference, difference_free)

/* The changes of properties of the objects that stay, an array of PropertyChange. */
GPtrArray *difference_get_changes(const Difference *difference);

void property_change_free(PropertyChange *change);

/* Call @func with the id of each object that @values refers to by @property, or by any when that is
 * NULL. */
void object_values_foreach_reference(
    const ObjectType *type, json_object *values, const QmpMember *property,
    void (*func)(const QmpMember *property, const char *id, void *opaque), void *opaque);

/* It as a result of commands: its type, and its value, a reference for the caller. */
extern const QmpType difference_type;
json_object *difference_to_json(const Difference *difference);

#endif
