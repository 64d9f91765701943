/*
 * object-add and object-del.
 */
#include "config.h"
#include "objects/object-types.h"
#include "qmp/qmp-request.h"

/* ---- object-add, object-del ---- */

/* It is in every event of the object. */
#define MAX_ID 255

typedef struct ObjectAddArgs {
    int qom_type; /* index in object_types */
    char *id;
} ObjectAddArgs;

static const QmpMember object_add_members[] = {
    { .name = "qom-type",
      .type = &object_type_enum,
      .offset = offsetof(ObjectAddArgs, qom_type),
      .help = "the type of the new object" },
    { .name = "id",
      .type = &qmp_type_str,
      .flags = QMP_MEMBER_NAMES_OBJECT,
      .max = MAX_ID,
      .offset = offsetof(ObjectAddArgs, id),
      .help = "its id: a letter, then letters, digits, '-', '.', '_'" },
    { 0 },
};
static const QmpType object_add_args = {
    .kind = QMP_KIND_OBJECT,
    .name = "ObjectOptions",
    .members = object_add_members,
    .variants = &object_type_variants,
    .size = sizeof(ObjectAddArgs),
};

static void answer(void *request)
{
    qmp_return_empty(request);
}

static void run_object_add(QmpRequest *request, void *data)
{
    ObjectAddArgs *args = data;
    ObjectTree *tree = qmp_request_get_opaque(request);
    GError *error = NULL;
    Object *object;

    if (object_tree_hold(tree, run_object_add, request, data)) {
        return;
    }
    object =
        object_create(tree, object_types[args->qom_type], args->id,
                      qmp_request_get_arguments(request), qmp_request_get_session(request), &error);
    if (object) {
        object_when_settled(object, answer, request);
    } else {
        qmp_fail(request, error);
    }
}

typedef struct ObjectDelArgs {
    char *id;
} ObjectDelArgs;

static const QmpMember object_del_members[] = {
    { .name = "id",
      .type = &qmp_type_str,
      .flags = QMP_MEMBER_NAMES_OBJECT,
      .offset = offsetof(ObjectDelArgs, id),
      .help = "the object's id" },
    { 0 },
};
static const QmpType object_del_args = {
    .kind = QMP_KIND_OBJECT,
    .name = "ObjectDelArgs",
    .members = object_del_members,
    .size = sizeof(ObjectDelArgs),
};

static void run_object_del(QmpRequest *request, void *data)
{
    ObjectDelArgs *args = data;
    ObjectTree *tree = qmp_request_get_opaque(request);
    GError *error = NULL;
    Object *object;

    if (object_tree_hold(tree, run_object_del, request, data)) {
        return;
    }
    object = object_find(tree, args->id);
    if (!object) {
        qmp_fail_generic(request, "There is no object '%s'", args->id);
    } else if (!object_delete(object, answer, request, &error)) {
        qmp_fail(request, error);
    }
}

/* ---- the table ---- */

const QmpCommand object_commands[] = {
    { .name = "object-add",
      .args = &object_add_args,
      .ret = &qmp_type_empty,
      .run = run_object_add,
      .help = "add an object, with properties of its type; answered when it works",
      .errors = "GenericError when there is an object with that id already, or it cannot be made "
                "as its properties say" },
    { .name = "object-del",
      .args = &object_del_args,
      .ret = &qmp_type_empty,
      .run = run_object_del,
      .help = "delete an object; answered when it is gone",
      .errors = "GenericError when there is no object with that id, it is in use, or it is being "
                "deleted already" },
    { 0 },
};
