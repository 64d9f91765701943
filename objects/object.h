/*
 * Objects: what a user adds, tunes, watches, moves and removes while the daemon runs.
 *
 * A type is a static table: its name, its properties (typed, with range, default, help), its
 * functions, its commands and its events. Objects and the tree belong to the main thread: all
 * functions here are called there, unless they say something else. An object that works on a loop
 * is a placed one, see objects/placement.h: what it does there belongs to that loop's thread.
 */
#ifndef OBJECTS_OBJECT_H
#define OBJECTS_OBJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <glib.h>
#include <json-c/json.h>

#include "loop/aio.h"
#include "qmp/qmp-command.h"
#include "qmp/qmp-server.h"

typedef struct Object Object;
typedef struct ObjectType ObjectType;
typedef struct ObjectTree ObjectTree;
typedef struct Keep Keep;           /* objects/keep.h */
typedef struct Kept Kept;           /* likewise */
typedef struct PassedFds PassedFds; /* objects/passed-fds.h */
typedef struct Placement Placement;

/* The base that an object type's struct begins with. */
struct Object {
    const ObjectType *type;
    ObjectTree *tree;
    char *id;
    void *properties;        /* bound by type->properties */
    GPtrArray *users;        /* of Object: those that can't be without this one */
    Placement *placement;    /* of a placed one, else NULL */
    QmpSession *session;     /* during type->create: who adds it, or NULL */
    Kept *kept;              /* during type->create: what the process before has left, or NULL */
    json_object *kept_state; /* likewise: what its type->keep wrote, a JSON object, or NULL */
    GQueue waiters;          /* of object_when_settled() */
    bool configured;         /* a configuration asked for it, see objects/configuration.h */
    bool from_start;         /* it was added by nobody's session, but as the daemon started */
    Keep *keep;              /* that it goes into as it ends; NULL: it is deleted */
    json_object *keep_state; /* what type->keep writes */
    bool deleting;
    bool hurried;                  /* type->hurry has been called */
    void (*deleted)(void *opaque); /* of object_delete() */
    void *deleted_opaque;
};

struct ObjectType {
    const char *name;
    const char *help;           /* one line */
    const QmpType *properties;  /* an object type; its struct is object->properties */
    size_t size;                /* of the struct that begins with Object */
    const QmpCommand *commands; /* that the type brings, ended by one without a name, or NULL; their
                                 * opaque is the ObjectTree */
    const QmpEvent *events;     /* likewise */

    /* Whether @properties can be those of an object, as far as they show that by themselves; what
     * create and apply find wrong beside is only known then. False and @errp. NULL: they always
     * can. */
    bool (*check)(const void *properties, GError **errp);

    /* Get all that the object needs, with the properties given. False and @errp, leaving nothing
     * behind. */
    bool (*create)(Object *object, GError **errp);

    /* Go over to @properties, which differ from object->properties in @changed. False and @errp
     * when that can't be, with nothing changed. NULL when no property can be set. A placed object
     * is stopped and started after it, in its loop's thread; a change of its placement is not
     * asked for here. While the object is being deleted only what may be set then is. */
    bool (*apply)(Object *object, const QmpMember *changed, const void *properties, GError **errp);

    /* Free all but the base; call object_finish_delete() when that is done, now or later. A placed
     * object has been stopped. */
    void (*delete)(Object *object);

    /*
     * As delete, but such that another process can go on with it: what others hold (connections,
     * sockets, files) stays as it is. What the next type->create needs for that goes into @state, a
     * JSON object, until object_finish_delete(), now or later; @keep and @state are there till
     * then. NULL: as delete; nothing of it goes on but its properties.
     */
    void (*keep)(Object *object, Keep *keep, json_object *state);

    /* Before a read-only property is read: bring them up to date in object->properties. NULL: they
     * always are. */
    void (*refresh)(Object *object);

    /*
     * Of placed objects only, both in the thread of the loop concerned: begin to work on @ctx, and
     * end that, such that nothing of the object runs there any more, and nothing that came or fell
     * due meanwhile is lost to the next start. Moving is a stop on one loop and a start on another.
     * start may read the properties that can be set, for these do not change meanwhile; stop not.
     */
    void (*start)(Object *object, AioContext *ctx);
    void (*stop)(Object *object);

    /* Of placed objects; in the main thread: what apply prepared is at work, and what it replaces
     * no more. NULL: nothing to do. */
    void (*settled)(Object *object);

    /* Of objects that have their own way to places: whether no change is under way. The type calls
     * object_tell_settled() at the end of one. NULL: each is over when apply returns. */
    bool (*is_settled)(const Object *object);

    /* The object is to be deleted, or is being deleted, without waiting for anything that it could
     * also break off. NULL: there is no such thing. */
    void (*hurry)(Object *object);
};

/* ---- the tree ---- */

/* An empty tree. */
ObjectTree *object_tree_new(void);

/* Free the tree, which is empty. */
void object_tree_free(ObjectTree *tree);

/* Send events about objects to the sessions of @server; NULL: to nobody. To be called while the
 * tree is empty. */
void object_tree_set_server(ObjectTree *tree, QmpServer *server);

/* Let objects have what is in @fds, which outlives them; NULL: nothing. To be called while the tree
 * is empty. */
void object_tree_set_passed_fds(ObjectTree *tree, PassedFds *fds);
PassedFds *object_tree_get_passed_fds(const ObjectTree *tree);

/* Objects that are created go on with what there is of them in @kept; NULL: they are new. */
void object_tree_set_kept(ObjectTree *tree, Kept *kept);
/* Whether there is such; that is, at a start after a restart. */
bool object_tree_goes_on(const ObjectTree *tree);

/* The object @id, or NULL; it may be about to be deleted. */
Object *object_find(ObjectTree *tree, const char *id);

/*
 * Call @func with the object @id and @opaque, if there is one of @type that is not being deleted,
 * and return whether there is. It can't go meanwhile. Any thread: for out-of-band commands. @func
 * uses only what is constant or atomic in the object, and calls nothing that waits.
 */
bool object_peek(ObjectTree *tree, const char *id, const ObjectType *type,
                 void (*func)(Object *object, void *opaque), void *opaque);

/* Call @func, which may delete the object that it is called with, for the objects in the order of
 * their creation. */
void object_foreach(ObjectTree *tree, void (*func)(Object *object, void *opaque), void *opaque);

unsigned object_count(ObjectTree *tree);

/* Have all objects go without waiting, those that are being deleted and those that will be; or only
 * the former, as they are now. */
void object_tree_hurry(ObjectTree *tree);
void object_tree_hurry_deleted(ObjectTree *tree);

/* Reserve the tree for one who changes it in many steps, until object_tree_release(). Nobody has it
 * reserved yet. Those who hold a request meanwhile have theirs run when that is over. */
void object_tree_reserve(ObjectTree *tree);
void object_tree_release(ObjectTree *tree);

/* For commands that change objects: when the tree is reserved, see to it that @run is called with
 * @request and @args after that, and return true. */
bool object_tree_hold(ObjectTree *tree, void (*run)(QmpRequest *request, void *args),
                      QmpRequest *request, void *args);

/* The commands of the object model; they need the ObjectTree as their opaque. */
extern const QmpCommand object_commands[];
extern const QmpCommand qom_commands[];
extern const QmpEvent object_events[];

/* ---- an object's life ---- */

/* Whether @id can be one. False and @errp. Any thread. */
bool object_check_id(const char *id, GError **errp);

/*
 * Create an object of @type. @values, JSON by names, is what has been given for its properties,
 * checked; names that are no property of the type's are passed over. What descriptors they name are
 * those of @session, NULL when there is none. Returns the object, owned by the tree, or NULL and
 * @errp, with nothing left behind. A placed object works on its loop once it is settled.
 */
Object *object_create(ObjectTree *tree, const ObjectType *type, const char *id, json_object *values,
                      QmpSession *session, GError **errp);

/*
 * Delete @object: @deleted is called with @opaque once it is gone. False and @errp when it is in
 * use, which names the users, or is being deleted already.
 */
bool object_delete(Object *object, void (*deleted)(void *opaque), void *opaque, GError **errp);

/* As object_delete(), of an object without users that is not being deleted; but with a type that
 * can it goes into @keep, which has been told of it by keep_add_object(). There is no event for
 * that. */
void object_keep(Object *object, Keep *keep, void (*deleted)(void *opaque), void *opaque);

/* For the placement: @object, which has stopped, is to end now, one way or the other. */
void object_end(Object *object);

/* For ObjectType.delete and keep: all is done. Frees @object. */
void object_finish_delete(Object *object);

/* @user can't be without @object: until object_remove_user(), deleting @object is an error. It may
 * be added more than once. */
void object_add_user(Object *object, Object *user);
void object_remove_user(Object *object, Object *user);

/* Whether nothing is under way: what has been asked for is in force, on its loop too. */
bool object_is_settled(const Object *object);

/*
 * Call @func with @opaque when @object is settled, or gone: now, or later from the main loop. Those
 * that wait are called in their order; one may begin another change, for which the rest then wait.
 */
void object_when_settled(Object *object, void (*func)(void *opaque), void *opaque);

/* For the placement, and types with is_settled: @object may have settled. */
void object_tell_settled(Object *object);

/* ---- properties ---- */

/* Set a property of @object, which is settled or being deleted. False and @errp, which names it,
 * when there is no such property, it can't be set now, or @value does not fit; then nothing has
 * changed. */
bool object_set_property(Object *object, const char *name, json_object *value, GError **errp);

/* Get a property into *@value, a reference for the caller (NULL is null). False and @errp when
 * there is no such property. */
bool object_get_property(Object *object, const char *name, json_object **value, GError **errp);

/* The path of @object in the tree; the caller frees it. */
char *object_path(const Object *object);

/* Send an event to the sessions that there are. Any thread. */
void object_emit(const Object *object, const QmpEvent *event, const void *data);

#endif
