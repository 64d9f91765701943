/*
 * Placement: which loop an object works on, and moving it to another while it works.
 *
 * A type whose table has start and stop is a placed one; its properties begin with
 * PlacedProperties (base = &placed_properties). Crossing over is a bottom half, never a lock: the
 * main thread decides where the object goes, the loop that it leaves runs stop and hands it on, the
 * loop that it goes to runs start and tells the main thread. One change at a time is under way;
 * until the object is settled the main thread leaves alone what start reads.
 *
 *     main thread          loop it leaves      loop it goes to      main thread
 *     placement_change()
 *            '------------> stop
 *                             '---------------> start
 *                                                 '----------------> settled
 */
#ifndef OBJECTS_PLACEMENT_H
#define OBJECTS_PLACEMENT_H

#include "objects/object.h"

/* What the properties of a placed type begin with. */
typedef struct PlacedProperties {
    char *iothread; /* the id of one, or NULL: the main loop */
} PlacedProperties;

extern const QmpType placed_properties;

/* The member of placed_properties whose change is a move. */
extern const QmpMember *const placement_property;

/* ---- for objects/object.c; main thread ---- */

/* Prepare @object, which has its properties, for a place. False and @errp when there is no such
 * place. */
bool placement_init(Object *object, GError **errp);

/* Undo placement_init(), on an object that never was started or has been stopped. */
void placement_cleanup(Object *object);

/* Choose the place of @properties for the next change. False and @errp when there is none. */
bool placement_choose(Object *object, const void *properties, GError **errp);

/* Begin to work. */
void placement_start(Object *object);

/* Go over to new properties, and to the place that was chosen. */
void placement_change(Object *object);

/* End working; then call type->delete. */
void placement_end(Object *object);

bool placement_is_settled(const Object *object);

#endif
