/*
 * Descriptors for an object that is being added.
 */
#include "config.h"
#include "objects/object-fd.h"

#include <unistd.h>

#include "objects/keep.h"
#include "objects/passed-fds.h"
#include "qmp/qmp-error.h"
#include "qmp/qmp-log.h"

static void fail_unknown(const Object *object, const char *property, const char *name,
                         const PassedFds *passed, GError **errp)
{
    g_autofree char *names = passed ? passed_fds_names(passed) : NULL;
    g_autoptr(GString) where = g_string_new(object->session ? "; getfd keeps one" : NULL);

    if (names) {
        g_string_append_printf(where, "; the daemon was passed %s", names);
    } else if (!object->session) {
        g_string_append(where, "; the daemon was passed none");
    }
    qmp_error_set(errp, "Parameter '%s': there is no descriptor '%s'%s", property, name,
                  where->str);
}

/* ---- those that survive the process ---- */

void object_keep_fd(Object *object, Keep *keep, json_object *state, const char *property,
                    const char *name, int fd)
{
    const PassedFds *passed = object_tree_get_passed_fds(object->tree);
    json_object *kept;

    if (name && passed && passed_fds_is_claimed(passed, name, object)) {
        close(fd);
        return;
    }
    kept = json_object_new_object();
    if (name) {
        json_object_object_add(kept, "name", json_object_new_string(name));
    }
    json_object_object_add(kept, "key", json_object_new_int64(keep_fd(keep, fd)));
    json_object_object_add(state, property, kept);
}

int object_take_kept_fd(Object *object, const char *property, const char *name)
{
    json_object *kept = kept_get_object(object->kept_state, property);
    int fd = -1;

    if (kept && g_strcmp0(kept_get_str(kept, "name"), name) == 0) {
        fd = kept_take_fd(object->kept, kept_get_int(kept, "key"));
        if (fd < 0) {
            qmp_log(QMP_LOG_RESTART_OBJECT_FD_LOST,
                    &(QmpLogFields){
                        .object = object->id, .type = object->type->name, .property = property },
                    "restart: '%s' has lost its descriptor '%s'", object->id, property);
        }
    }
    return fd;
}

/* ---- names ---- */

int object_take_fd(Object *object, const char *property, const char *name, GError **errp)
{
    PassedFds *passed = object_tree_get_passed_fds(object->tree);
    int fd = object->session ? qmp_session_take_fd(object->session, name)
                             : object_take_kept_fd(object, property, name);

    if (fd >= 0) {
        return fd;
    }
    if (!passed || !passed_fds_has(passed, name)) {
        fail_unknown(object, property, name, passed, errp);
        return -1;
    }
    fd = passed_fds_claim(passed, name, object, errp);
    if (fd < 0) {
        g_prefix_error(errp, "Parameter '%s': ", property);
    }
    return fd;
}

void object_give_fd_back(Object *object, const char *name, int fd)
{
    const PassedFds *passed = object_tree_get_passed_fds(object->tree);

    if (!object->session || (passed && passed_fds_is_claimed(passed, name, object))) {
        /* The claim ends with the object, of which nothing comes. */
        close(fd);
    } else {
        qmp_session_add_fd(object->session, name, fd, NULL);
    }
}
