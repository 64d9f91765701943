/*
 * The control sockets: which there are, from where they come and what holds on each.
 *
 * A --qmp may stand for a passed socket, by its path or by its number. The socket is then served
 * with what the option says about access, so the same command line serves with the service
 * manager's socket and without.
 */
#include "config.h"
#include "daemon/control-sockets.h"

#include <unistd.h>

#include "daemon/inherited-socket.h"
#include "daemon/monitor-option.h"
#include "daemon/systemd.h"
#include "daemon/unix-socket.h"
#include "daemon/vsock-socket.h"
#include "qmp/qmp-error.h"

typedef struct ControlSocket {
    int fd; /* -1 once it is the server's */
    bool connected;
    const MonitorOption *option; /* that made it or stands for it; NULL: none */
    char *name;                  /* of one without an option */
    QmpAccess access;
    UnixSocket *file; /* NULL: it was passed, or has been removed, or has none */
} ControlSocket;

struct ControlSockets {
    const GPtrArray *options; /* of MonitorOption */
    GPtrArray *sockets;       /* of ControlSocket */
};

static void control_socket_free(ControlSocket *socket)
{
    g_clear_pointer(&socket->file, unix_socket_remove);
    if (socket->fd >= 0) {
        close(socket->fd);
    }
    g_free(socket->name);
    g_free(socket);
}

static ControlSocket *add_socket(ControlSockets *self, int fd)
{
    ControlSocket *socket = g_new0(ControlSocket, 1);

    socket->fd = fd;
    g_ptr_array_add(self->sockets, socket);
    return socket;
}

ControlSockets *control_sockets_new(const GPtrArray *monitors)
{
    ControlSockets *self = g_new0(ControlSockets, 1);

    self->options = monitors;
    self->sockets = g_ptr_array_new_with_free_func((GDestroyNotify)control_socket_free);
    return self;
}

void control_sockets_free(ControlSockets *self)
{
    g_ptr_array_unref(self->sockets);
    g_free(self);
}

unsigned control_sockets_count(const ControlSockets *self)
{
    return self->sockets->len;
}

/* ---- passed sockets ---- */

static bool add_passed(ControlSockets *self, GError **errp)
{
    g_autoptr(GArray) fds = g_array_new(FALSE, FALSE, sizeof(int));
    bool ok = systemd_take_sockets(fds, errp);

    for (guint i = 0; i < fds->len; i++) {
        ControlSocket *socket = add_socket(self, g_array_index(fds, int, i));

        socket->name = g_strdup_printf("passed socket %d", socket->fd);
        socket->access =
            (QmpAccess){ .name = socket->name, .max_sessions = MONITOR_MAX_CLIENTS_DEFAULT };
    }
    return ok;
}

static ControlSocket *find_socket(ControlSockets *self, int fd)
{
    for (guint i = 0; fd >= 0 && i < self->sockets->len; i++) {
        ControlSocket *socket = g_ptr_array_index(self->sockets, i);

        if (socket->fd == fd) {
            return socket;
        }
    }
    return NULL;
}

static bool set_option(ControlSocket *socket, const MonitorOption *option, GError **errp)
{
    if (socket->option) {
        return qmp_error_set(errp, "'%s' and '%s' are the same socket", socket->option->address,
                             option->address);
    }
    socket->option = option;
    socket->access = option->access;
    return true;
}

/* The passed socket that @option stands for, or NULL. */
static ControlSocket *find_for_option(ControlSockets *self, const MonitorOption *option)
{
    return find_socket(self, option->kind == MONITOR_FD     ? option->fd
                             : option->kind == MONITOR_UNIX ? systemd_find_socket(option->path)
                                                            : -1);
}

static bool inherit(ControlSockets *self, const MonitorOption *option, GError **errp)
{
    bool needs_peers = option->access.uids || option->access.gids;
    ControlSocket *socket = find_for_option(self, option);
    bool connected = false;

    if (!socket && option->kind == MONITOR_FD) {
        if (!inherited_socket_take(option->fd, needs_peers, &connected, errp)) {
            return false;
        }
        socket = add_socket(self, option->fd);
        socket->connected = connected;
    }
    return !socket || set_option(socket, option, errp);
}

bool control_sockets_inherit(ControlSockets *self, GError **errp)
{
    if (!add_passed(self, errp)) {
        return false;
    }
    for (guint i = 0; i < self->options->len; i++) {
        if (!inherit(self, g_ptr_array_index(self->options, i), errp)) {
            g_prefix_error(errp, "--qmp: ");
            return false;
        }
    }
    return true;
}

/* ---- sockets of the daemon's own making ---- */

static bool has_socket(const ControlSockets *self, const MonitorOption *option)
{
    for (guint i = 0; i < self->sockets->len; i++) {
        const ControlSocket *socket = g_ptr_array_index(self->sockets, i);

        if (socket->option == option) {
            return true;
        }
    }
    return false;
}

static bool open_unix(ControlSockets *self, const MonitorOption *option, GError **errp)
{
    UnixSocket *file = unix_socket_listen(option->path, option->mode, option->group, errp);
    ControlSocket *socket;

    if (!file) {
        return false;
    }
    socket = add_socket(self, unix_socket_take_fd(file));
    socket->file = file;
    return set_option(socket, option, errp);
}

static bool open_vsock(ControlSockets *self, const MonitorOption *option, GError **errp)
{
    int fd = vsock_socket_listen(option->cid, option->port, errp);

    if (fd < 0) {
        g_prefix_error(errp, "socket '%s': ", option->address);
        return false;
    }
    return set_option(add_socket(self, fd), option, errp);
}

bool control_sockets_open(ControlSockets *self, GError **errp)
{
    for (guint i = 0; i < self->options->len; i++) {
        const MonitorOption *option = g_ptr_array_index(self->options, i);

        if (!has_socket(self, option) &&
            !(option->kind == MONITOR_VSOCK ? open_vsock(self, option, errp)
                                            : open_unix(self, option, errp))) {
            g_prefix_error(errp, "--qmp: ");
            return false;
        }
    }
    if (self->sockets->len == 0) {
        return qmp_error_set(errp, "there is no control socket: give --qmp unix:PATH");
    }
    return true;
}

/* ---- serving ---- */

void control_sockets_serve(ControlSockets *self, QmpServer *server)
{
    for (guint i = 0; i < self->sockets->len; i++) {
        ControlSocket *socket = g_ptr_array_index(self->sockets, i);
        int fd = socket->fd;

        socket->fd = -1;
        if (socket->connected) {
            qmp_server_connect(server, fd, &socket->access);
        } else {
            qmp_server_listen(server, fd, &socket->access);
        }
    }
}

void control_sockets_remove_files(ControlSockets *self)
{
    for (guint i = 0; i < self->sockets->len; i++) {
        ControlSocket *socket = g_ptr_array_index(self->sockets, i);

        g_clear_pointer(&socket->file, unix_socket_remove);
    }
}
