/*
 * Descriptors that were passed to the daemon for its objects.
 */
#include "config.h"
#include "objects/passed-fds.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "qmp/qmp-error.h"

typedef struct PassedFd {
    char *name;
    int fd;
    const Object *user; /* who has claimed it last, and is not gone; or NULL */
} PassedFd;

struct PassedFds {
    GPtrArray *array; /* of PassedFd, as they came */
};

static void passed_fd_free(PassedFd *passed)
{
    if (passed->fd >= 0) {
        close(passed->fd);
    }
    g_free(passed->name);
    g_free(passed);
}

PassedFds *passed_fds_new(void)
{
    PassedFds *fds = g_new0(PassedFds, 1);

    fds->array = g_ptr_array_new_with_free_func((GDestroyNotify)passed_fd_free);
    return fds;
}

void passed_fds_free(PassedFds *fds)
{
    g_ptr_array_unref(fds->array);
    g_free(fds);
}

void passed_fds_add(PassedFds *fds, const char *name, int fd)
{
    PassedFd *passed = g_new0(PassedFd, 1);

    passed->name = g_strdup(name);
    passed->fd = fd;
    g_ptr_array_add(fds->array, passed);
}

void passed_fds_remove(PassedFds *fds, int fd)
{
    for (guint i = 0; i < fds->array->len; i++) {
        PassedFd *passed = g_ptr_array_index(fds->array, i);

        if (passed->fd == fd) {
            passed->fd = -1;
            g_ptr_array_remove_index(fds->array, i);
            return;
        }
    }
}

GArray *passed_fds_take(PassedFds *fds, const char *name)
{
    GArray *taken = g_array_new(FALSE, FALSE, sizeof(int));
    guint i = 0;

    while (i < fds->array->len) {
        PassedFd *passed = g_ptr_array_index(fds->array, i);

        if (strcmp(passed->name, name) == 0) {
            g_array_append_val(taken, passed->fd);
            passed->fd = -1;
            g_ptr_array_remove_index(fds->array, i);
        } else {
            i++;
        }
    }
    return taken;
}

/* ---- names ---- */

/* The first one that is called @name, or NULL, and in *@count how many are. */
static PassedFd *find(const PassedFds *fds, const char *name, unsigned *count)
{
    PassedFd *found = NULL;

    *count = 0;
    for (guint i = 0; i < fds->array->len; i++) {
        PassedFd *passed = g_ptr_array_index(fds->array, i);

        if (strcmp(passed->name, name) == 0) {
            found = found ? found : passed;
            (*count)++;
        }
    }
    return found;
}

bool passed_fds_has(const PassedFds *fds, const char *name)
{
    unsigned count;

    return find(fds, name, &count);
}

char *passed_fds_names(const PassedFds *fds)
{
    GString *names = g_string_new(NULL);

    for (guint i = 0; i < fds->array->len; i++) {
        const PassedFd *passed = g_ptr_array_index(fds->array, i);
        unsigned count;

        if (find(fds, passed->name, &count) == passed) {
            g_string_append_printf(names, "%s'%s'", names->len > 0 ? ", " : "", passed->name);
        }
    }
    return g_string_free(names, names->len == 0);
}

/* ---- claims ---- */

int passed_fds_claim(PassedFds *fds, const char *name, const Object *user, GError **errp)
{
    unsigned count;
    PassedFd *passed = find(fds, name, &count);
    int fd;

    g_assert(passed);
    if (count > 1) {
        qmp_error_set(errp, "%u descriptors were passed as '%s', expected one alone", count, name);
        return -1;
    }
    if (passed->user && passed->user != user && !passed->user->deleting) {
        qmp_error_set(errp, "descriptor '%s' is in use by '%s'", name, passed->user->id);
        return -1;
    }
    fd = fcntl(passed->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0) {
        qmp_error_set(errp, "descriptor '%s': %s", name, g_strerror(errno));
        return -1;
    }
    passed->user = user;
    return fd;
}

bool passed_fds_is_claimed(const PassedFds *fds, const char *name, const Object *user)
{
    unsigned count;
    const PassedFd *passed = find(fds, name, &count);

    return passed && passed->user == user;
}

void passed_fds_release(PassedFds *fds, const Object *user)
{
    for (guint i = 0; i < fds->array->len; i++) {
        PassedFd *passed = g_ptr_array_index(fds->array, i);

        if (passed->user == user) {
            passed->user = NULL;
        }
    }
}
