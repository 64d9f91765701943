/*
 * Objects and their tree.
 */
#include "config.h"
#include "objects/object.h"

#include <pthread.h>
#include <string.h>

#include "objects/keep-store.h"
#include "objects/passed-fds.h"
#include "objects/placement.h"
#include "qmp/qmp-error.h"

struct ObjectTree {
    GHashTable *by_id;    /* id -> Object */
    GPtrArray *objects;   /* of Object, in the order of creation; owns them */
    QmpServer *server;    /* for events, or NULL; does not change while there are objects */
    PassedFds *passed;    /* or NULL; likewise */
    Kept *kept;           /* for objects that are created, or NULL */
    bool reserved;        /* for one who changes it in many steps */
    GQueue held;          /* of HeldRequest: those who wait for that */
    pthread_mutex_t lock; /* held by the main thread when it changes by_id or an object's deleting,
                           * and by other threads when they look at these */
};

/* A command that waits until the tree is not reserved any more. */
typedef struct HeldRequest {
    void (*run)(QmpRequest *request, void *args);
    QmpRequest *request;
    void *args;
} HeldRequest;

/* Somebody who waits for an object to settle. */
typedef struct Waiter {
    void (*func)(void *opaque);
    void *opaque;
} Waiter;

/* ---- events ---- */

typedef struct ObjectEvent {
    char *id;
    char *qom_type;
    char *path;
} ObjectEvent;

static const QmpMember object_event_members[] = {
    { .name = "id",
      .type = &qmp_type_str,
      .offset = offsetof(ObjectEvent, id),
      .help = "the object's id" },
    { .name = "qom-type",
      .type = &qmp_type_str,
      .offset = offsetof(ObjectEvent, qom_type),
      .help = "its type" },
    { .name = "path",
      .type = &qmp_type_str,
      .offset = offsetof(ObjectEvent, path),
      .help = "its path in the tree" },
    { 0 },
};
static const QmpType object_event_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "ObjectEvent",
    .members = object_event_members,
    .size = sizeof(ObjectEvent),
};

typedef struct PropertyEvent {
    ObjectEvent object;
    char *property;
    json_object *value;
} PropertyEvent;

static const QmpMember property_event_members[] = {
    { .name = "property",
      .type = &qmp_type_str,
      .offset = offsetof(PropertyEvent, property),
      .help = "the property's name" },
    { .name = "value",
      .type = &qmp_type_any,
      .offset = offsetof(PropertyEvent, value),
      .help = "its new value" },
    { 0 },
};
static const QmpType property_event_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "ObjectPropertyEvent",
    .base = &object_event_type,
    .members = property_event_members,
    .size = sizeof(PropertyEvent),
};

/* In the order of the table below. */
enum {
    OBJECT_ADDED,
    OBJECT_DELETED,
    OBJECT_PROPERTY_CHANGED
};

const QmpEvent object_events[] = {
    [OBJECT_ADDED] = { .name = "OBJECT_ADDED",
                       .data = &object_event_type,
                       .help = "an object has been added" },
    [OBJECT_DELETED] = { .name = "OBJECT_DELETED",
                         .data = &object_event_type,
                         .help = "an object has been deleted" },
    [OBJECT_PROPERTY_CHANGED] = { .name = "OBJECT_PROPERTY_CHANGED",
                                  .data = &property_event_type,
                                  .help = "a property of an object has been set" },
    { 0 },
};

void object_emit(const Object *object, const QmpEvent *event, const void *data)
{
    if (object->tree->server) {
        qmp_server_emit(object->tree->server, event, data);
    }
}

static void emit(const Object *object, const QmpEvent *event, const char *property,
                 json_object *value)
{
    g_autofree char *path = object_path(object);
    PropertyEvent data = {
        .object = { .id = object->id, .qom_type = (char *)object->type->name, .path = path },
        .property = (char *)property,
        .value = value,
    };

    object_emit(object, event, &data);
}

/* ---- the tree ---- */

ObjectTree *object_tree_new(void)
{
    ObjectTree *tree = g_new0(ObjectTree, 1);

    tree->by_id = g_hash_table_new(g_str_hash, g_str_equal);
    tree->objects = g_ptr_array_new();
    g_queue_init(&tree->held);
    pthread_mutex_init(&tree->lock, NULL);
    return tree;
}

void object_tree_free(ObjectTree *tree)
{
    g_assert(tree->objects->len == 0);
    g_hash_table_unref(tree->by_id);
    g_ptr_array_unref(tree->objects);
    pthread_mutex_destroy(&tree->lock);
    g_free(tree);
}

void object_tree_set_server(ObjectTree *tree, QmpServer *server)
{
    tree->server = server;
}

void object_tree_set_passed_fds(ObjectTree *tree, PassedFds *fds)
{
    tree->passed = fds;
}

PassedFds *object_tree_get_passed_fds(const ObjectTree *tree)
{
    return tree->passed;
}

bool object_tree_goes_on(const ObjectTree *tree)
{
    return tree->kept != NULL;
}

void object_tree_set_kept(ObjectTree *tree, Kept *kept)
{
    tree->kept = kept;
}

Object *object_find(ObjectTree *tree, const char *id)
{
    return g_hash_table_lookup(tree->by_id, id);
}

bool object_peek(ObjectTree *tree, const char *id, const ObjectType *type,
                 void (*func)(Object *object, void *opaque), void *opaque)
{
    Object *object;
    bool found;

    pthread_mutex_lock(&tree->lock);
    object = g_hash_table_lookup(tree->by_id, id);
    found = object && object->type == type && !object->deleting;
    if (found) {
        func(object, opaque);
    }
    pthread_mutex_unlock(&tree->lock);
    return found;
}

void object_foreach(ObjectTree *tree, void (*func)(Object *object, void *opaque), void *opaque)
{
    guint i = 0;

    while (i < tree->objects->len) {
        Object *object = g_ptr_array_index(tree->objects, i);

        func(object, opaque);
        /* When it is gone, the next one has moved up. */
        if (i < tree->objects->len && g_ptr_array_index(tree->objects, i) == object) {
            i++;
        }
    }
}

unsigned object_count(ObjectTree *tree)
{
    return tree->objects->len;
}

static void hurry(Object *object, void *opaque)
{
    if (object->type->hurry && !object->hurried) {
        object->hurried = true;
        object->type->hurry(object);
    }
}

static void hurry_deleted(Object *object, void *opaque)
{
    if (object->deleting && !object->keep) {
        hurry(object, NULL);
    }
}

void object_tree_hurry(ObjectTree *tree)
{
    object_foreach(tree, hurry, NULL);
}

void object_tree_hurry_deleted(ObjectTree *tree)
{
    object_foreach(tree, hurry_deleted, NULL);
}

void object_tree_reserve(ObjectTree *tree)
{
    g_assert(!tree->reserved);
    tree->reserved = true;
}

void object_tree_release(ObjectTree *tree)
{
    HeldRequest *held;

    tree->reserved = false;
    while ((held = g_queue_pop_head(&tree->held))) {
        held->run(held->request, held->args);
        g_free(held);
    }
}

bool object_tree_hold(ObjectTree *tree, void (*run)(QmpRequest *request, void *args),
                      QmpRequest *request, void *args)
{
    HeldRequest *held;

    if (tree->reserved) {
        held = g_new(HeldRequest, 1);
        *held = (HeldRequest){ .run = run, .request = request, .args = args };
        g_queue_push_tail(&tree->held, held);
    }
    return tree->reserved;
}

char *object_path(const Object *object)
{
    return g_strconcat("/objects/", object->id, NULL);
}

/* ---- life ---- */

bool object_check_id(const char *id, GError **errp)
{
    bool valid = g_ascii_isalpha(id[0]);

    for (const char *p = id; *p; p++) {
        valid = valid && (g_ascii_isalnum(*p) || strchr("-._", *p));
    }
    if (!valid) {
        g_set_error(
            errp, QMP_ERROR, QMP_ERROR_GENERIC,
            "Parameter 'id' expects a letter, then letters, digits, '-', '.', '_', not '%s'", id);
    }
    return valid;
}

static bool check_new_id(ObjectTree *tree, const char *id, GError **errp)
{
    if (!object_check_id(id, errp)) {
        return false;
    }
    if (object_find(tree, id)) {
        return qmp_error_set(errp, "There is an object '%s' already", id);
    }
    return true;
}

static void object_free(Object *object)
{
    if (object->tree->passed) {
        passed_fds_release(object->tree->passed, object);
    }
    qmp_unbind(object->type->properties, object->properties);
    g_free(object->properties);
    g_ptr_array_unref(object->users);
    g_free(object->id);
    g_free(object);
}

/* Get all that the object needs, or leave nothing behind. */
static bool create_placed(Object *object, GError **errp)
{
    bool placed = object->type->start != NULL;

    if (placed && !placement_init(object, errp)) {
        return false;
    }
    if (!object->type->create(object, errp)) {
        if (placed) {
            placement_cleanup(object);
        }
        return false;
    }
    return true;
}

/* The same, with what there is of it, if there is any. */
static bool create(Object *object, QmpSession *session, GError **errp)
{
    Kept *kept = object->tree->kept;
    KeptObject *former = kept ? kept_find(kept, object->type, object->id) : NULL;
    int64_t taken = kept ? kept_count_taken(kept) : 0;
    bool ok;

    object->session = session;
    object->kept = kept;
    object->kept_state = former ? former->state : NULL;
    ok = create_placed(object, errp);
    if (ok && former) {
        former->used = true;
    } else if (former && kept_count_taken(kept) != taken) {
        /* It tells of descriptors that have gone. */
        g_clear_pointer(&former->state, json_object_put);
    }
    object->session = NULL;
    object->kept = NULL;
    object->kept_state = NULL;
    return ok;
}

Object *object_create(ObjectTree *tree, const ObjectType *type, const char *id, json_object *values,
                      QmpSession *session, GError **errp)
{
    Object *object;

    if (!check_new_id(tree, id, errp)) {
        return NULL;
    }
    object = g_malloc0(type->size);
    object->type = type;
    object->tree = tree;
    object->id = g_strdup(id);
    object->users = g_ptr_array_new();
    object->properties = g_malloc0(type->properties->size);
    g_queue_init(&object->waiters);
    qmp_bind(type->properties, values, object->properties);
    object->from_start = session == NULL;
    if (!create(object, session, errp)) {
        object_free(object);
        return NULL;
    }
    pthread_mutex_lock(&tree->lock);
    g_hash_table_insert(tree->by_id, object->id, object);
    pthread_mutex_unlock(&tree->lock);
    g_ptr_array_add(tree->objects, object);
    emit(object, &object_events[OBJECT_ADDED], NULL, NULL);
    if (object->placement) {
        placement_start(object);
    }
    return object;
}

static void fail_in_use(const Object *object, GError **errp)
{
    g_autoptr(GString) users = g_string_new(NULL);
    g_autoptr(GHashTable) named = g_hash_table_new(NULL, NULL);

    for (guint i = 0; i < object->users->len; i++) {
        Object *user = g_ptr_array_index(object->users, i);

        if (g_hash_table_add(named, user)) {
            g_string_append_printf(users, "%s'%s'", i > 0 ? ", " : "", user->id);
        }
    }
    qmp_error_set(errp, "Object '%s' is in use by %s", object->id, users->str);
}

/* What keeps a settled object from going. */
static void begin_delete(Object *object)
{
    if (object->placement) {
        placement_end(object);
    } else {
        object_end(object);
    }
}

void object_end(Object *object)
{
    if (object->keep && object->type->keep) {
        object->type->keep(object, object->keep, object->keep_state);
    } else {
        object->type->delete (object);
    }
}

static void mark_deleting(Object *object, void (*deleted)(void *opaque), void *opaque)
{
    object->deleted = deleted;
    object->deleted_opaque = opaque;
    pthread_mutex_lock(&object->tree->lock);
    object->deleting = true;
    pthread_mutex_unlock(&object->tree->lock);
    if (object_is_settled(object)) {
        begin_delete(object);
    }
}

bool object_delete(Object *object, void (*deleted)(void *opaque), void *opaque, GError **errp)
{
    if (object->deleting) {
        return qmp_error_set(errp, "Object '%s' is being deleted already", object->id);
    }
    if (object->users->len > 0) {
        fail_in_use(object, errp);
        return false;
    }
    mark_deleting(object, deleted, opaque);
    return true;
}

void object_keep(Object *object, Keep *keep, void (*deleted)(void *opaque), void *opaque)
{
    g_assert(!object->deleting && object->users->len == 0);
    object->keep = keep;
    object->keep_state = json_object_new_object();
    mark_deleting(object, deleted, opaque);
}

void object_finish_delete(Object *object)
{
    void (*deleted)(void *opaque) = object->deleted;
    void *opaque = object->deleted_opaque;
    ObjectTree *tree = object->tree;
    GQueue waiters = object->waiters;
    Waiter *waiter;

    pthread_mutex_lock(&tree->lock);
    g_hash_table_remove(tree->by_id, object->id);
    pthread_mutex_unlock(&tree->lock);
    g_ptr_array_remove(tree->objects, object);
    if (object->keep) {
        keep_set_state(object->keep, object->id, object->keep_state);
    } else {
        emit(object, &object_events[OBJECT_DELETED], NULL, NULL);
    }
    object_free(object);
    deleted(opaque);
    while ((waiter = g_queue_pop_head(&waiters))) {
        waiter->func(waiter->opaque);
        g_free(waiter);
    }
}

void object_add_user(Object *object, Object *user)
{
    g_ptr_array_add(object->users, user);
}

void object_remove_user(Object *object, Object *user)
{
    g_ptr_array_remove(object->users, user);
}

bool object_is_settled(const Object *object)
{
    if (object->placement) {
        return placement_is_settled(object);
    }
    return !object->type->is_settled || object->type->is_settled(object);
}

void object_when_settled(Object *object, void (*func)(void *opaque), void *opaque)
{
    Waiter *waiter;

    if (object_is_settled(object) && !object->deleting && g_queue_is_empty(&object->waiters)) {
        func(opaque);
        return;
    }
    waiter = g_new(Waiter, 1);
    *waiter = (Waiter){ .func = func, .opaque = opaque };
    g_queue_push_tail(&object->waiters, waiter);
}

void object_tell_settled(Object *object)
{
    Waiter *waiter;

    while (!object->deleting && object_is_settled(object) &&
           (waiter = g_queue_pop_head(&object->waiters))) {
        waiter->func(waiter->opaque);
        g_free(waiter);
    }
    if (object->deleting && object_is_settled(object)) {
        begin_delete(object);
    }
}

/* ---- properties ---- */

static const QmpMember *find_property(const Object *object, const char *name, GError **errp)
{
    const QmpMember *property = qmp_type_find_member(object->type->properties, name);

    if (!property) {
        qmp_error_set(errp, "Object '%s', of type '%s', has no property '%s'", object->id,
                      object->type->name, name);
    }
    return property;
}

static bool check_settable(const Object *object, const QmpMember *property, GError **errp)
{
    if (property->flags & QMP_MEMBER_READ_ONLY) {
        return qmp_error_set(errp, "Property '%s' is read-only", property->name);
    }
    if (property->flags & QMP_MEMBER_CREATE_ONLY) {
        return qmp_error_set(errp, "Property '%s' can only be set when the object is added",
                             property->name);
    }
    if (object->deleting && !(property->flags & QMP_MEMBER_SET_LATE)) {
        return qmp_error_set(errp, "Object '%s' is being deleted", object->id);
    }
    return true;
}

static bool apply(Object *object, const QmpMember *property, const void *properties, GError **errp)
{
    if (property == placement_property) {
        return placement_choose(object, properties, errp);
    }
    return object->type->apply(object, property, properties, errp);
}

bool object_set_property(Object *object, const char *name, json_object *value, GError **errp)
{
    const QmpType *type = object->type->properties;
    const QmpMember *property = find_property(object, name, errp);
    g_autofree void *properties = NULL;

    if (!property || !check_settable(object, property, errp) ||
        !qmp_check_member(property, value, errp)) {
        return false;
    }
    g_assert(object_is_settled(object) || object->deleting);
    properties = g_malloc(type->size);
    qmp_bind_copy(type, object->properties, properties);
    qmp_bind_member(property, value, properties);
    if (!apply(object, property, properties, errp)) {
        qmp_unbind(type, properties);
        return false;
    }
    qmp_unbind(type, object->properties);
    memcpy(object->properties, properties, type->size);
    if (object->placement) {
        placement_change(object);
    }
    emit(object, &object_events[OBJECT_PROPERTY_CHANGED], name, value);
    return true;
}

bool object_get_property(Object *object, const char *name, json_object **value, GError **errp)
{
    const QmpMember *property = find_property(object, name, errp);

    if (property) {
        if (object->type->refresh && (property->flags & QMP_MEMBER_READ_ONLY)) {
            object->type->refresh(object);
        }
        *value = qmp_marshal_member(property, object->properties);
    }
    return property != NULL;
}
