/*
 * What the tests of placed objects share: a main loop, a tree, two IOThreads "io0" and "io1", and
 * short forms. Each short form but the refused_*() returns when the object has settled.
 */
#ifndef TESTS_UNIT_OBJECT_FIXTURE_H
#define TESTS_UNIT_OBJECT_FIXTURE_H

#include "objects/object-types.h"
#include "objects/placement.h"

/* The places that there are, as values of the property iothread: NULL (the main loop), the two
 * IOThreads. */
#define PLACES 3
extern const char *const places[PLACES];

/* The tree of the test that runs. */
extern ObjectTree *tree;

/* What add_object() and refused_object() take descriptors from; NULL, as at first: from nowhere. */
extern QmpSession *test_session;

/* Register @func as /main-loop/fdmon/@name, for each fd monitor of the main loop. It leaves no
 * objects but the IOThreads. */
void object_test_add(const char *name, void (*func)(void));

/* Run the main loop until @object has settled. */
void wait_settled(Object *object);

/* Run the main loop until everything that the loop of @place was given before has been done. */
void sync_with(const char *place);

/* Add an object. @json is its properties, an object in JSON; add_object_of() is for a type that is
 * not registered. */
Object *add_object_of(const ObjectType *type, const char *id, const char *json);
Object *add_object(const char *type, const char *id, const char *json);

/* Adding it must fail with @message, and leave nothing. */
void refused_object(const char *type, const char *json, const char *message);

/* Set a property to a value in JSON. */
void set_property(Object *object, const char *name, const char *json);

/* Setting it must fail with @message. */
void refused_property(Object *object, const char *name, const char *json, const char *message);

/* Begin to set it, and do not wait. */
void begin_set_property(Object *object, const char *name, const char *json);

/* Begin to move @object to @place. */
void begin_move(Object *object, const char *place);

/* A property as JSON, on one line. */
void assert_property(Object *object, const char *name, const char *json);

/* A property that is an integer. */
int64_t int_property(Object *object, const char *name);

/* Run the main loop until the integer property @name is @value or more. */
void wait_for_property(Object *object, const char *name, int64_t value);

/* Delete @object, and wait until it is gone. */
void delete_object(Object *object);

/* Deleting it must fail with @message. */
void refused_delete(Object *object, const char *message);

#endif
