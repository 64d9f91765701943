/*
 * The qom-* commands: looking at object types and objects, and setting properties.
 */
#include "config.h"
#include "objects/object-path.h"

#include <string.h>

#include "objects/object-types.h"
#include "qmp/qmp-error.h"
#include "qmp/qmp-request.h"

/* ---- qom-list, qom-list-properties: both answer a list of properties ---- */

typedef struct PropertyInfo {
    char *name;
    char *type;
    char *description;
    json_object *default_value;
    bool read_only;
    bool create_only;
} PropertyInfo;

static const QmpMember property_info_members[] = {
    { .name = "name",
      .type = &qmp_type_str,
      .offset = offsetof(PropertyInfo, name),
      .help = "its name" },
    { .name = "type",
      .type = &qmp_type_str,
      .offset = offsetof(PropertyInfo, type),
      .help = "its type; child<TYPE> for an object below" },
    { .name = "description",
      .type = &qmp_type_str,
      .flags = QMP_MEMBER_MAYBE_ABSENT,
      .offset = offsetof(PropertyInfo, description),
      .help = "what it is for" },
    { .name = "default-value",
      .type = &qmp_type_any,
      .flags = QMP_MEMBER_MAYBE_ABSENT,
      .offset = offsetof(PropertyInfo, default_value),
      .help = "its value when none is given" },
    { .name = "read-only",
      .type = &qmp_type_bool,
      .flags = QMP_MEMBER_MAYBE_ABSENT,
      .offset = offsetof(PropertyInfo, read_only),
      .help = "present and true when it can't be set" },
    { .name = "create-only",
      .type = &qmp_type_bool,
      .flags = QMP_MEMBER_MAYBE_ABSENT,
      .offset = offsetof(PropertyInfo, create_only),
      .help = "present and true when it can only be set by object-add" },
    { 0 },
};
static const QmpType property_info_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "ObjectPropertyInfo",
    .members = property_info_members,
    .size = sizeof(PropertyInfo),
};
static const QmpType property_info_list_type = {
    .kind = QMP_KIND_ARRAY,
    .element = &property_info_type,
};

static void add_property(json_object *list, const char *name, const char *type)
{
    PropertyInfo info = { .name = (char *)name, .type = (char *)type };

    json_object_array_add(list, qmp_marshal(&property_info_type, &info));
}

/* Names as QEMU's clients know them; the caller frees it. */
static char *property_type_name(const QmpType *type)
{
    if (type->kind == QMP_KIND_ARRAY) {
        g_autofree char *element = property_type_name(type->element);

        return g_strdup_printf("list<%s>", element);
    }
    return g_strdup(type == &qmp_type_str ? "string" : type->name);
}

static void add_member(json_object *list, const QmpMember *member, bool described)
{
    g_autofree char *type = property_type_name(member->type);
    PropertyInfo info = { .name = (char *)member->name, .type = type };

    if (described) {
        info.description = (char *)member->help;
        info.default_value = qmp_member_default(member);
        info.read_only = member->flags & QMP_MEMBER_READ_ONLY;
        info.create_only = member->flags & QMP_MEMBER_CREATE_ONLY;
    }
    json_object_array_add(list, qmp_marshal(&property_info_type, &info));
    json_object_put(info.default_value);
}

static void add_members(json_object *list, const QmpType *type, bool described)
{
    if (type->base) {
        add_members(list, type->base, described);
    }
    for (const QmpMember *member = type->members; member && member->name; member++) {
        add_member(list, member, described);
    }
}

/* With @described, the properties as a type has them, and what there is to know of each. */
static json_object *list_properties(const ObjectType *type, bool described)
{
    json_object *list = json_object_new_array();

    add_property(list, "type", "string");
    add_members(list, type->properties, described);
    return list;
}

typedef struct PathArgs {
    char *path;
} PathArgs;

static const QmpMember path_members[] = {
    { .name = "path",
      .type = &qmp_type_str,
      .flags = QMP_MEMBER_NAMES_OBJECT,
      .offset = offsetof(PathArgs, path),
      .help = "a path in the object tree, such as /objects/ID, or the end of one" },
    { 0 },
};
static const QmpType path_args = {
    .kind = QMP_KIND_OBJECT,
    .name = "QomPathArgs",
    .members = path_members,
    .size = sizeof(PathArgs),
};

static const char container_name[] = "container";

static void add_child(Object *object, void *list)
{
    g_autofree char *type = g_strdup_printf("child<%s>", object->type->name);

    add_property(list, object->id, type);
}

static void run_qom_list(QmpRequest *request, void *data)
{
    PathArgs *args = data;
    ObjectTree *tree = qmp_request_get_opaque(request);
    json_object *list;
    ObjectNode node;
    GError *error = NULL;

    if (!object_resolve_path(tree, args->path, &node, &error)) {
        qmp_fail(request, error);
        return;
    }
    if (node.kind == OBJECT_NODE_OBJECT) {
        qmp_return(request, list_properties(node.object->type, false));
        return;
    }
    list = json_object_new_array();
    add_property(list, "type", "string");
    if (node.kind == OBJECT_NODE_ROOT) {
        add_property(list, "objects", "child<container>");
    } else {
        object_foreach(tree, add_child, list);
    }
    qmp_return(request, list);
}

typedef struct TypenameArgs {
    char *type_name;
} TypenameArgs;

static const QmpMember typename_members[] = {
    { .name = "typename",
      .type = &qmp_type_str,
      .offset = offsetof(TypenameArgs, type_name),
      .help = "the name of an object type" },
    { 0 },
};
static const QmpType typename_args = {
    .kind = QMP_KIND_OBJECT,
    .name = "QomTypenameArgs",
    .members = typename_members,
    .size = sizeof(TypenameArgs),
};

static void run_qom_list_properties(QmpRequest *request, void *data)
{
    TypenameArgs *args = data;
    const ObjectType *type = object_type_find(args->type_name);

    if (type) {
        qmp_return(request, list_properties(type, true));
    } else {
        qmp_fail(request, g_error_new(QMP_ERROR, QMP_ERROR_DEVICE_NOT_FOUND,
                                      "There is no object type '%s'", args->type_name));
    }
}

/* ---- qom-get, qom-set ---- */

/* Of qom-get, and the beginning of qom-set's. */
typedef struct PropertyArgs {
    PathArgs path;
    char *property;
} PropertyArgs;

static const QmpMember property_members[] = {
    { .name = "property",
      .type = &qmp_type_str,
      .offset = offsetof(PropertyArgs, property),
      .help = "the property's name" },
    { 0 },
};
static const QmpType property_args = {
    .kind = QMP_KIND_OBJECT,
    .name = "QomPropertyArgs",
    .base = &path_args,
    .members = property_members,
    .size = sizeof(PropertyArgs),
};

typedef struct SetArgs {
    PropertyArgs property;
    json_object *value;
} SetArgs;

static const QmpMember set_members[] = {
    { .name = "value",
      .type = &qmp_type_any,
      .offset = offsetof(SetArgs, value),
      .help = "its new value" },
    { 0 },
};
static const QmpType set_args = {
    .kind = QMP_KIND_OBJECT,
    .name = "QomSetArgs",
    .base = &property_args,
    .members = set_members,
    .size = sizeof(SetArgs),
};

static GError *no_such_property(const PropertyArgs *args)
{
    return g_error_new(QMP_ERROR, QMP_ERROR_GENERIC, "'%s' has no property '%s'", args->path.path,
                       args->property);
}

/* The properties that containers have: their type, and their children, which are paths. */
static json_object *get_of_container(ObjectTree *tree, ObjectNodeKind kind, const char *property,
                                     bool *found)
{
    g_autofree char *path = NULL;
    Object *child;

    *found = true;
    if (strcmp(property, "type") == 0) {
        return json_object_new_string(container_name);
    }
    if (kind == OBJECT_NODE_ROOT && strcmp(property, "objects") == 0) {
        return json_object_new_string("/objects");
    }
    child = kind == OBJECT_NODE_OBJECTS ? object_find(tree, property) : NULL;
    *found = child != NULL;
    path = child ? object_path(child) : NULL;
    return path ? json_object_new_string(path) : NULL;
}

static void run_qom_get(QmpRequest *request, void *data)
{
    PropertyArgs *args = data;
    ObjectTree *tree = qmp_request_get_opaque(request);
    json_object *value = NULL;
    GError *error = NULL;
    ObjectNode node;
    bool found;

    if (!object_resolve_path(tree, args->path.path, &node, &error)) {
        qmp_fail(request, error);
        return;
    }
    if (node.kind != OBJECT_NODE_OBJECT) {
        value = get_of_container(tree, node.kind, args->property, &found);
        error = found ? NULL : no_such_property(args);
    } else if (strcmp(args->property, "type") == 0) {
        value = json_object_new_string(node.object->type->name);
    } else {
        object_get_property(node.object, args->property, &value, &error);
    }
    if (error) {
        qmp_fail(request, error);
    } else {
        qmp_return(request, value);
    }
}

/* Nothing of a container can be set. */
static GError *error_for_container(ObjectTree *tree, ObjectNodeKind kind, const PropertyArgs *args)
{
    bool found;

    json_object_put(get_of_container(tree, kind, args->property, &found));
    return found ? g_error_new(QMP_ERROR, QMP_ERROR_GENERIC, "Property '%s' is read-only",
                               args->property)
                 : no_such_property(args);
}

static void run_qom_set(QmpRequest *request, void *data);

/* A request that waits until another change of its object is over. */
typedef struct DeferredSet {
    QmpRequest *request;
    void *args;
} DeferredSet;

static void run_deferred(void *opaque)
{
    g_autofree DeferredSet *deferred = opaque;

    run_qom_set(deferred->request, deferred->args);
}

static void defer_set(Object *object, QmpRequest *request, void *args)
{
    DeferredSet *deferred = g_new(DeferredSet, 1);

    *deferred = (DeferredSet){ .request = request, .args = args };
    object_when_settled(object, run_deferred, deferred);
}

static void answer_set(void *request)
{
    qmp_return_empty(request);
}

/* Whether the property is one that counts while its object is being deleted, as it is. Whoever has
 * reserved the tree may wait for that deletion, so this does not wait for them. */
static bool hastens_deletion(ObjectTree *tree, const PropertyArgs *args)
{
    const QmpMember *property;
    ObjectNode node;

    if (!object_resolve_path(tree, args->path.path, &node, NULL) ||
        node.kind != OBJECT_NODE_OBJECT || !node.object->deleting) {
        return false;
    }
    property = qmp_type_find_member(node.object->type->properties, args->property);
    return property && (property->flags & QMP_MEMBER_SET_LATE);
}

static void run_qom_set(QmpRequest *request, void *data)
{
    SetArgs *args = data;
    PropertyArgs *property = &args->property;
    ObjectTree *tree = qmp_request_get_opaque(request);
    GError *error = NULL;
    ObjectNode node;

    if (!hastens_deletion(tree, property) && object_tree_hold(tree, run_qom_set, request, data)) {
        return;
    }
    if (!object_resolve_path(tree, property->path.path, &node, &error)) {
        qmp_fail(request, error);
    } else if (strcmp(property->property, "type") == 0) {
        qmp_fail_generic(request, "Property 'type' is read-only");
    } else if (node.kind != OBJECT_NODE_OBJECT) {
        qmp_fail(request, error_for_container(tree, node.kind, property));
    } else if (!object_is_settled(node.object) && !node.object->deleting) {
        defer_set(node.object, request, data);
    } else if (!object_set_property(node.object, property->property, args->value, &error)) {
        qmp_fail(request, error);
    } else if (node.object->deleting) {
        answer_set(request); /* it will not settle any more */
    } else {
        object_when_settled(node.object, answer_set, request);
    }
}

/* ---- qom-list-types ---- */

typedef struct ListTypesArgs {
    char *implements;
    bool abstract;
} ListTypesArgs;

static const QmpMember list_types_members[] = {
    { .name = "implements",
      .type = &qmp_type_str,
      .flags = QMP_MEMBER_OPTIONAL,
      .offset = offsetof(ListTypesArgs, implements),
      .help = "only types that are, or come from, this one" },
    { .name = "abstract",
      .type = &qmp_type_bool,
      .flags = QMP_MEMBER_OPTIONAL,
      .offset = offsetof(ListTypesArgs, abstract),
      .help = "true: also types that no object can have" },
    { 0 },
};
static const QmpType list_types_args = {
    .kind = QMP_KIND_OBJECT,
    .name = "QomListTypesArgs",
    .members = list_types_members,
    .size = sizeof(ListTypesArgs),
};

typedef struct TypeInfo {
    char *name;
    bool abstract;
    char *parent;
} TypeInfo;

static const QmpMember type_info_members[] = {
    { .name = "name",
      .type = &qmp_type_str,
      .offset = offsetof(TypeInfo, name),
      .help = "the type's name" },
    { .name = "abstract",
      .type = &qmp_type_bool,
      .flags = QMP_MEMBER_MAYBE_ABSENT,
      .offset = offsetof(TypeInfo, abstract),
      .help = "present and true when no object can have it" },
    { .name = "parent",
      .type = &qmp_type_str,
      .flags = QMP_MEMBER_MAYBE_ABSENT,
      .offset = offsetof(TypeInfo, parent),
      .help = "the type that it comes from" },
    { 0 },
};
static const QmpType type_info_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "ObjectTypeInfo",
    .members = type_info_members,
    .size = sizeof(TypeInfo),
};
static const QmpType type_info_list_type = {
    .kind = QMP_KIND_ARRAY,
    .element = &type_info_type,
};

/* What the types that users can add objects of come from, as QEMU names it. */
static const char user_creatable_name[] = "user-creatable";
static const char root_type_name[] = "object";

static void add_type(json_object *list, const ListTypesArgs *args, const TypeInfo *info,
                     bool user_creatable)
{
    const char *wanted = args->implements;
    bool matches = !wanted || strcmp(wanted, info->name) == 0 ||
                   strcmp(wanted, root_type_name) == 0 ||
                   (user_creatable && strcmp(wanted, user_creatable_name) == 0);

    if (matches && (args->abstract || !info->abstract)) {
        json_object_array_add(list, qmp_marshal(&type_info_type, info));
    }
}

static void run_qom_list_types(QmpRequest *request, void *args)
{
    TypeInfo root = { .name = (char *)root_type_name, .abstract = true };
    TypeInfo container = { .name = (char *)container_name, .parent = (char *)root_type_name };
    json_object *list = json_object_new_array();

    add_type(list, args, &root, false);
    add_type(list, args, &container, false);
    for (size_t i = 0; object_types[i]; i++) {
        TypeInfo info = {
            .name = (char *)object_types[i]->name,
            .parent = (char *)root_type_name,
        };

        add_type(list, args, &info, true);
    }
    qmp_return(request, list);
}

/* ---- the table ---- */

const QmpCommand qom_commands[] = {
    { .name = "qom-list",
      .flags = QMP_COMMAND_READ_ONLY,
      .args = &path_args,
      .ret = &property_info_list_type,
      .run = run_qom_list,
      .help = "the properties of an object, or the children of a container",
      .errors = "DeviceNotFound when there is nothing at the path" },
    { .name = "qom-get",
      .flags = QMP_COMMAND_READ_ONLY,
      .args = &property_args,
      .ret = &qmp_type_any,
      .run = run_qom_get,
      .help = "the value of a property",
      .errors = "DeviceNotFound when there is nothing at the path, GenericError when it has no "
                "such property" },
    { .name = "qom-set",
      .args = &set_args,
      .ret = &qmp_type_empty,
      .run = run_qom_set,
      .help = "set a property of an object while it works; answered when it is in force",
      .errors = "DeviceNotFound when there is nothing at the path, GenericError when it has no "
                "such property, the property cannot be set, or the value does not fit" },
    { .name = "qom-list-types",
      .flags = QMP_COMMAND_ALLOW_OOB | QMP_COMMAND_READ_ONLY,
      .args = &list_types_args,
      .ret = &type_info_list_type,
      .run = run_qom_list_types,
      .help = "the object types" },
    { .name = "qom-list-properties",
      .flags = QMP_COMMAND_ALLOW_OOB | QMP_COMMAND_READ_ONLY,
      .args = &typename_args,
      .ret = &property_info_list_type,
      .run = run_qom_list_properties,
      .help = "the properties of an object type",
      .errors = "DeviceNotFound when there is no such type" },
    { 0 },
};
