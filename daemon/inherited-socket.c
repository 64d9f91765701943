/*
 * Sockets that whoever started the daemon has passed to it: are they what they should be?
 */
#include "config.h"
#include "daemon/inherited-socket.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <glib-unix.h>

#include "qmp/qmp-error.h"

/* A socket option that is a number; -1 when @fd has none such, which is when it is no socket. */
static int get_option(int fd, int option)
{
    int value;
    socklen_t len = sizeof(value);

    return getsockopt(fd, SOL_SOCKET, option, &value, &len) == 0 ? value : -1;
}

static bool is_connected(int fd)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof(address);

    return getpeername(fd, (struct sockaddr *)&address, &len) == 0;
}

bool inherited_socket_take(int fd, bool needs_peers, bool *connected, GError **errp)
{
    bool listens;

    if (fcntl(fd, F_GETFD) < 0) {
        return qmp_error_set(errp, "descriptor %d is not open", fd);
    }
    if (get_option(fd, SO_TYPE) != SOCK_STREAM) {
        return qmp_error_set(errp, "descriptor %d is no stream socket", fd);
    }
    listens = get_option(fd, SO_ACCEPTCONN) == 1;
    *connected = !listens;
    if (!listens && !is_connected(fd)) {
        return qmp_error_set(errp, "descriptor %d neither listens nor is connected", fd);
    }
    if (needs_peers && get_option(fd, SO_DOMAIN) != AF_UNIX) {
        return qmp_error_set(errp,
                             "descriptor %d is no unix socket, which allow-uid= and allow-gid= "
                             "need",
                             fd);
    }
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
        return qmp_error_set(errp, "descriptor %d: %s", fd, g_strerror(errno));
    }
    /* On a blocking one a client that has gone again could hold the monitor thread in accept(). */
    if (listens && !g_unix_set_fd_nonblocking(fd, TRUE, errp)) {
        g_prefix_error(errp, "descriptor %d: ", fd);
        return false;
    }
    return true;
}
