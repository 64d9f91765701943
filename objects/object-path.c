/*
 * Paths in the object tree.
 */
#include "config.h"
#include "objects/object-path.h"

#include <string.h>

#include "qmp/qmp-error.h"

/* The parts of @path, empty ones left out; the caller frees the array with its strings. */
static GPtrArray *split(const char *path)
{
    GPtrArray *parts = g_ptr_array_new_with_free_func(g_free);
    g_auto(GStrv) all = g_strsplit(path, "/", -1);

    for (char **part = all; *part; part++) {
        if (**part) {
            g_ptr_array_add(parts, g_strdup(*part));
        }
    }
    return parts;
}

char *object_path_to_id(const char *path)
{
    g_autoptr(GPtrArray) parts = split(path);
    bool has_container = parts->len > 0 && strcmp(g_ptr_array_index(parts, 0), "objects") == 0;
    guint i = has_container ? 1 : 0;

    if (parts->len != i + 1 || (path[0] == '/' && !has_container)) {
        return NULL;
    }
    return g_strdup(g_ptr_array_index(parts, i));
}

static bool find(ObjectTree *tree, const char *path, ObjectNode *node)
{
    g_autoptr(GPtrArray) parts = split(path);
    bool absolute = path[0] == '/';
    guint i = 0;

    if (parts->len == 0) {
        node->kind = OBJECT_NODE_ROOT;
        return absolute;
    }
    if (strcmp(g_ptr_array_index(parts, 0), "objects") == 0) {
        if (parts->len == 1) {
            node->kind = OBJECT_NODE_OBJECTS;
            return true;
        }
        i = 1;
    } else if (absolute) {
        return false;
    }
    node->kind = OBJECT_NODE_OBJECT;
    node->object = object_find(tree, g_ptr_array_index(parts, i));
    return node->object && parts->len == i + 1;
}

bool object_resolve_path(ObjectTree *tree, const char *path, ObjectNode *node, GError **errp)
{
    *node = (ObjectNode){ 0 };
    if (find(tree, path, node)) {
        return true;
    }
    g_set_error(errp, QMP_ERROR, QMP_ERROR_DEVICE_NOT_FOUND, "There is no object at path '%s'",
                path);
    return false;
}
