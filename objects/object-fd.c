/*
 * Descriptors that a client has sent for an object.
 */
#include "config.h"
#include "objects/object-fd.h"

#include "qmp/qmp-error.h"

int object_take_fd(Object *object, const char *property, const char *name, GError **errp)
{
    int fd = object->session ? qmp_session_take_fd(object->session, name) : -1;

    if (!object->session) {
        qmp_error_set(errp, "Parameter '%s': descriptor '%s' can only be sent by a session",
                      property, name);
    } else if (fd < 0) {
        qmp_error_set(errp, "Parameter '%s': there is no descriptor '%s'; getfd keeps one",
                      property, name);
    }
    return fd;
}

void object_give_fd_back(Object *object, const char *name, int fd)
{
    qmp_session_add_fd(object->session, name, fd, NULL);
}
