/*
 * The control sockets: which there are, from where they come and what holds on each.
 *
 * Of the descriptors that the service manager passes, those are control sockets whose names say so,
 * or that have no name of their own. A --qmp may stand for a passed socket, by its path or by its
 * number, whatever it is called. The socket is then served with what the option says about access,
 * so the same command line serves with the service manager's socket and without.
 */
#include "config.h"
#include "daemon/control-sockets.h"

#include <string.h>
#include <unistd.h>
#include <sys/socket.h>
#include <linux/vm_sockets.h>

#include "daemon/inherited-socket.h"
#include "daemon/monitor-option.h"
#include "daemon/systemd.h"
#include "qmp/qmp-error.h"
#include "sockets/listening-socket.h"
#include "sockets/unix-socket.h"

typedef struct ControlSocket {
    int fd; /* -1 once it is the server's */
    bool connected;
    const MonitorOption *option; /* that made it or stands for it; NULL: none */
    char *name;                  /* of one without an option */
    bool only_reads;             /* by its name, whatever the option says */
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

/* The names by which the service manager's units say what a socket is for. */
static const char control_name[] = "qmp";
static const char read_only_name[] = "qmp-ro";

/* Whether a descriptor of this name is a control socket. Others than the two that say so are those
 * that nobody has chosen: what libsystemd makes of no names at all, and the name of a socket unit.
 */
static bool is_control_name(const char *name)
{
    return strcmp(name, control_name) == 0 || strcmp(name, read_only_name) == 0 ||
           name[0] == '\0' || strcmp(name, "unknown") == 0 || g_str_has_suffix(name, ".socket");
}

static void add_passed_control(ControlSockets *self, int fd, const char *name)
{
    ControlSocket *socket = add_socket(self, fd);

    socket->name = g_strdup_printf("passed socket %d", fd);
    socket->only_reads = strcmp(name, read_only_name) == 0;
    socket->access = (QmpAccess){ .name = socket->name,
                                  .read_only = socket->only_reads,
                                  .max_sessions = MONITOR_MAX_CLIENTS_DEFAULT };
}

/* Whether @fd, which the service manager has named @name, is a control socket. */
static bool check_passed_control(int fd, const char *name, GError **errp)
{
    if (socket_option(fd, SO_DOMAIN) != AF_UNIX || !listening_socket_adopt(fd, NULL)) {
        return qmp_error_set(errp,
                             "socket activation: descriptor %d ('%s') is no listening unix stream "
                             "socket, as a control socket must be",
                             fd, name);
    }
    return true;
}

/* All of them are taken over before one is found to be wrong. */
static bool add_passed(ControlSockets *self, PassedFds *others, GError **errp)
{
    g_auto(GStrv) names = systemd_take_fds(errp);

    for (int i = 0; names && names[i]; i++) {
        if (is_control_name(names[i])) {
            add_passed_control(self, SYSTEMD_FIRST_FD + i, names[i]);
        } else {
            passed_fds_add(others, names[i], SYSTEMD_FIRST_FD + i);
        }
    }
    for (int i = 0; names && names[i]; i++) {
        if (is_control_name(names[i]) &&
            !check_passed_control(SYSTEMD_FIRST_FD + i, names[i], errp)) {
            return false;
        }
    }
    return names;
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
    socket->access.read_only = option->access.read_only || socket->only_reads;
    return true;
}

/* The passed descriptor that @option stands for, or -1. */
static int find_fd(const MonitorOption *option)
{
    switch (option->kind) {
    case MONITOR_FD:
        return option->fd;
    case MONITOR_UNIX:
        return systemd_find_socket(option->path);
    case MONITOR_VSOCK:
        break;
    }
    return -1;
}

static bool inherit(ControlSockets *self, PassedFds *others, const MonitorOption *option,
                    GError **errp)
{
    bool needs_peers = option->access.uids || option->access.gids;
    int fd = find_fd(option);
    ControlSocket *socket = find_socket(self, fd);
    bool connected = false;

    if (!socket && fd >= 0) {
        if (!inherited_socket_take(fd, needs_peers, &connected, errp)) {
            return false;
        }
        passed_fds_remove(others, fd);
        socket = add_socket(self, fd);
        socket->connected = connected;
    }
    return !socket || set_option(socket, option, errp);
}

bool control_sockets_inherit(ControlSockets *self, PassedFds *others, GError **errp)
{
    if (!add_passed(self, others, errp)) {
        return false;
    }
    for (guint i = 0; i < self->options->len; i++) {
        if (!inherit(self, others, g_ptr_array_index(self->options, i), errp)) {
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
        g_prefix_error(errp, "socket '%s': ", option->path);
        return false;
    }
    socket = add_socket(self, unix_socket_take_fd(file));
    socket->file = file;
    return set_option(socket, option, errp);
}

static bool open_vsock(ControlSockets *self, const MonitorOption *option, GError **errp)
{
    const struct sockaddr_vm address = { .svm_family = AF_VSOCK,
                                         .svm_cid = option->cid,
                                         .svm_port = option->port };
    int fd = listening_socket_open((const struct sockaddr *)&address, sizeof(address), errp);

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
