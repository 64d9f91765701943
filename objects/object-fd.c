/*
 * Descriptors for an object that is being added.
 */
#include "config.h"
#include "objects/object-fd.h"

#include <unistd.h>

#include "objects/passed-fds.h"
#include "qmp/qmp-error.h"

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

int object_take_fd(Object *object, const char *property, const char *name, GError **errp)
{
    PassedFds *passed = object_tree_get_passed_fds(object->tree);
    int fd = object->session ? qmp_session_take_fd(object->session, name) : -1;

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

    if (passed && passed_fds_is_claimed(passed, name, object)) {
        /* The claim ends with the object, of which nothing comes. */
        close(fd);
    } else {
        qmp_session_add_fd(object->session, name, fd, NULL);
    }
}
