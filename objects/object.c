/*
 * Objects and their tree.
 */
#include "config.h"
#include "objects/object.h"

#include <string.h>

#include "qmp/qmp-error.h"

struct ObjectTree {
    GHashTable *by_id;  /* id -> Object */
    GPtrArray *objects; /* of Object, in the order of creation; owns them */
    QmpServer *server;  /* for events, or NULL */
};

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

static void emit(const Object *object, const QmpEvent *event, const char *property,
                 json_object *value)
{
    g_autofree char *path = object_path(object);
    PropertyEvent data = {
        .object = { .id = object->id, .qom_type = (char *)object->type->name, .path = path },
        .property = (char *)property,
        .value = value,
    };

    if (object->tree->server) {
        qmp_server_emit(object->tree->server, event, &data);
    }
}

/* ---- the tree ---- */

ObjectTree *object_tree_new(void)
{
    ObjectTree *tree = g_new0(ObjectTree, 1);

    tree->by_id = g_hash_table_new(g_str_hash, g_str_equal);
    tree->objects = g_ptr_array_new();
    return tree;
}

void object_tree_free(ObjectTree *tree)
{
    g_assert(tree->objects->len == 0);
    g_hash_table_unref(tree->by_id);
    g_ptr_array_unref(tree->objects);
    g_free(tree);
}

void object_tree_set_server(ObjectTree *tree, QmpServer *server)
{
    tree->server = server;
}

Object *object_find(ObjectTree *tree, const char *id)
{
    return g_hash_table_lookup(tree->by_id, id);
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

char *object_path(const Object *object)
{
    return g_strconcat("/objects/", object->id, NULL);
}

/* ---- life ---- */

static bool check_id(ObjectTree *tree, const char *id, GError **errp)
{
    bool valid = g_ascii_isalpha(id[0]);

    for (const char *p = id; *p; p++) {
        valid = valid && (g_ascii_isalnum(*p) || strchr("-._", *p));
    }
    if (!valid) {
        g_set_error(
            errp, QMP_ERROR, QMP_ERROR_GENERIC,
            "Parameter 'id' expects a letter, then letters, digits, '-', '.', '_', not '%s'", id);
        return false;
    }
    if (object_find(tree, id)) {
        return qmp_error_set(errp, "There is an object '%s' already", id);
    }
    return true;
}

static void object_free(Object *object)
{
    qmp_unbind(object->type->properties, object->properties);
    g_free(object->properties);
    g_ptr_array_unref(object->users);
    g_free(object->id);
    g_free(object);
}

Object *object_create(ObjectTree *tree, const ObjectType *type, const char *id, json_object *values,
                      GError **errp)
{
    Object *object;

    if (!check_id(tree, id, errp)) {
        return NULL;
    }
    object = g_malloc0(type->size);
    object->type = type;
    object->tree = tree;
    object->id = g_strdup(id);
    object->users = g_ptr_array_new();
    object->properties = g_malloc0(type->properties->size);
    qmp_bind(type->properties, values, object->properties);
    if (!type->create(object, errp)) {
        object_free(object);
        return NULL;
    }
    g_hash_table_insert(tree->by_id, object->id, object);
    g_ptr_array_add(tree->objects, object);
    emit(object, &object_events[OBJECT_ADDED], NULL, NULL);
    return object;
}

static void fail_in_use(const Object *object, GError **errp)
{
    g_autoptr(GString) users = g_string_new(NULL);

    for (guint i = 0; i < object->users->len; i++) {
        const Object *user = g_ptr_array_index(object->users, i);

        g_string_append_printf(users, "%s'%s'", i > 0 ? ", " : "", user->id);
    }
    qmp_error_set(errp, "Object '%s' is in use by %s", object->id, users->str);
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
    object->deleting = true;
    object->deleted = deleted;
    object->deleted_opaque = opaque;
    object->type->delete (object);
    return true;
}

void object_finish_delete(Object *object)
{
    void (*deleted)(void *opaque) = object->deleted;
    void *opaque = object->deleted_opaque;

    g_hash_table_remove(object->tree->by_id, object->id);
    g_ptr_array_remove(object->tree->objects, object);
    emit(object, &object_events[OBJECT_DELETED], NULL, NULL);
    object_free(object);
    deleted(opaque);
}

void object_add_user(Object *object, Object *user)
{
    g_ptr_array_add(object->users, user);
}

void object_remove_user(Object *object, Object *user)
{
    g_ptr_array_remove(object->users, user);
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
    if (object->deleting) {
        return qmp_error_set(errp, "Object '%s' is being deleted", object->id);
    }
    return true;
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
    properties = g_malloc(type->size);
    qmp_bind_copy(type, object->properties, properties);
    qmp_bind_member(property, value, properties);
    if (!object->type->apply(object, property, properties, errp)) {
        qmp_unbind(type, properties);
        return false;
    }
    qmp_unbind(type, object->properties);
    memcpy(object->properties, properties, type->size);
    emit(object, &object_events[OBJECT_PROPERTY_CHANGED], name, value);
    return true;
}

bool object_get_property(Object *object, const char *name, json_object **value, GError **errp)
{
    const QmpMember *property = find_property(object, name, errp);

    if (property) {
        *value = qmp_marshal_member(property, object->properties);
    }
    return property != NULL;
}
