/*
 * Objects: what a user adds, tunes, watches and removes while the daemon runs.
 *
 * A type is a static table: its name, its properties (typed, with range, default, help) and its
 * functions. Objects and the tree belong to the main thread: all functions here are called there.
 */
#ifndef OBJECTS_OBJECT_H
#define OBJECTS_OBJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <glib.h>
#include <json-c/json.h>

#include "qmp/qmp-command.h"
#include "qmp/qmp-server.h"

typedef struct Object Object;
typedef struct ObjectType ObjectType;
typedef struct ObjectTree ObjectTree;

/* The base that an object type's struct begins with. */
struct Object {
    const ObjectType *type;
    ObjectTree *tree;
    char *id;
    void *properties; /* bound by type->properties */
    GPtrArray *users; /* of Object: those that can't be without this one */
    bool deleting;
    void (*deleted)(void *opaque); /* of object_delete() */
    void *deleted_opaque;
};

struct ObjectType {
    const char *name;
    const char *help;          /* one line */
    const QmpType *properties; /* an object type; its struct is object->properties */
    size_t size;               /* of the struct that begins with Object */

    /* Start working with the properties given. False and @errp, leaving nothing behind. */
    bool (*create)(Object *object, GError **errp);

    /* Go over to @properties, which differ from object->properties in @changed. False and @errp
     * when that can't be, with nothing changed. */
    bool (*apply)(Object *object, const QmpMember *changed, const void *properties, GError **errp);

    /* Stop working and free all but the base; call object_finish_delete() when that is done, now
     * or later. */
    void (*delete)(Object *object);
};

/* ---- the tree ---- */

/* An empty tree. */
ObjectTree *object_tree_new(void);

/* Free the tree, which is empty. */
void object_tree_free(ObjectTree *tree);

/* Send events about objects to the sessions of @server; NULL: to nobody. */
void object_tree_set_server(ObjectTree *tree, QmpServer *server);

/* The object @id, or NULL; it may be about to be deleted. */
Object *object_find(ObjectTree *tree, const char *id);

/* Call @func, which may delete the object that it is called with, for the objects in the order of
 * their creation. */
void object_foreach(ObjectTree *tree, void (*func)(Object *object, void *opaque), void *opaque);

unsigned object_count(ObjectTree *tree);

/* The commands of the object model; they need the ObjectTree as their opaque. */
extern const QmpCommand object_commands[];
extern const QmpCommand qom_commands[];
extern const QmpEvent object_events[];

/* ---- an object's life ---- */

/*
 * Create an object of @type. @values, JSON by names, is what has been given for its properties,
 * checked; names that are no property of the type's are passed over. Returns the object, owned by
 * the tree, or NULL and @errp, with nothing left behind.
 */
Object *object_create(ObjectTree *tree, const ObjectType *type, const char *id, json_object *values,
                      GError **errp);

/*
 * Delete @object: @deleted is called with @opaque once it is gone. False and @errp when it is in
 * use, which names the users, or is being deleted already.
 */
bool object_delete(Object *object, void (*deleted)(void *opaque), void *opaque, GError **errp);

/* For ObjectType.delete: all is done. Frees @object. */
void object_finish_delete(Object *object);

/* @user can't be without @object: until object_remove_user(), deleting @object is an error. */
void object_add_user(Object *object, Object *user);
void object_remove_user(Object *object, Object *user);

/* ---- properties ---- */

/* Set a property. False and @errp, which names it, when there is no such property, it can't be set
 * now, or @value does not fit; then nothing has changed. */
bool object_set_property(Object *object, const char *name, json_object *value, GError **errp);

/* Get a property into *@value, a reference for the caller (NULL is null). False and @errp when
 * there is no such property. */
bool object_get_property(Object *object, const char *name, json_object **value, GError **errp);

/* The path of @object in the tree; the caller frees it. */
char *object_path(const Object *object);

#endif
