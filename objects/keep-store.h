/*
 * Keeping, the daemon's side: a Keep becomes parcels, which go to where they outlive the process,
 * and parcels become a Kept. See objects/keep.h, and objects/keep-parcel.h for what a parcel is.
 *
 * The state is JSON in a memfd, with a version. Its "objects" are, in the order of their creation:
 *
 *     { "qom-type": TYPE, "id": ID, "asked-by": "client" | "start" | "configuration",
 *       "properties": { what object-add needs }, "state": { what type->keep has written } }
 */
#ifndef OBJECTS_KEEP_STORE_H
#define OBJECTS_KEEP_STORE_H

#include "objects/keep.h"
#include "objects/object.h"

/* Who asks for an object. */
typedef enum {
    ASKED_BY_CLIENT,
    ASKED_BY_START,         /* an option, each time that the daemon starts */
    ASKED_BY_CONFIGURATION, /* see objects/configuration.h */
} AskedBy;

/* ---- at the end ---- */

/* An empty one, for @max_fds descriptors at the most. */
Keep *keep_new(size_t max_fds);
/* Closes what it has. */
void keep_free(Keep *keep);

/* Have that survive which nobody has taken out of @kept, and which so has the place that it had.
 * Before anything else is added; @kept is to be freed. */
void keep_rest(Keep *keep, Kept *kept);

/* Add the objects of @kept that have not been used, and are not in @keep, and their bytes. */
void keep_rest_objects(Keep *keep, Kept *kept);

/* Add what @object is, without its state. */
void keep_add_object(Keep *keep, const Object *object);

/* Add the state of an object that has been added; it is taken over. */
void keep_set_state(Keep *keep, const char *id, json_object *state);

/* Whether that has been done. */
bool keep_has_state(const Keep *keep, const char *id);

/* Add something else to the state, as @name; it is taken over. */
void keep_set(Keep *keep, const char *name, json_object *value);

/* How many objects and descriptors there are. */
size_t keep_count_objects(const Keep *keep);
size_t keep_count_fds(const Keep *keep);

/* All of it in parcels, an array of int for fds_free(). NULL and @errp. When some descriptors could
 * not be put in, there is a warning, and they are missing. */
GArray *keep_pack(Keep *keep, GError **errp);

/* The parcels have gone where they outlive the process: what there is in the file system is the
 * next daemon's. Else it goes with @keep. */
void keep_hand_over(Keep *keep);

/* ---- at the start ---- */

/* What one daemon has left for the next. */
typedef struct KeptObject {
    const ObjectType *type;
    char *id;
    AskedBy asked_by;
    json_object *properties;
    json_object *state; /* NULL: none */
    bool used;          /* there is an object that has gone on with it */
} KeptObject;

/* Open the @n parcels at @parcels, which stay the caller's, empty. NULL and @errp when that can't
 * be used at all. An object that can't be is a warning, and left out. */
Kept *kept_new(const int *parcels, size_t n, GError **errp);
/* Closes what nobody has taken. */
void kept_free(Kept *kept);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Kept, kept_free)

/* What keep_set() has added as @name, borrowed; NULL: nothing. */
json_object *kept_get(const Kept *kept, const char *name);

/* What there is of the object @id of @type that has not been used; NULL: nothing. */
KeptObject *kept_find(Kept *kept, const ObjectType *type, const char *id);

/* How many descriptors have been taken, and not given back. */
int64_t kept_count_taken(const Kept *kept);

/* All objects, in the order of their creation; of KeptObject, owned by @kept. */
const GPtrArray *kept_get_objects(const Kept *kept);

#endif
