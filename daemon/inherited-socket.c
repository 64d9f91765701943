/*
 * Sockets that whoever started the daemon has passed to it: are they what they should be?
 */
#include "config.h"
#include "daemon/inherited-socket.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "qmp/qmp-error.h"
#include "sockets/listening-socket.h"

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
    if (socket_option(fd, SO_TYPE) != SOCK_STREAM) {
        return qmp_error_set(errp, "descriptor %d is no stream socket", fd);
    }
    listens = socket_option(fd, SO_ACCEPTCONN) == 1;
    *connected = !listens;
    if (!listens && !is_connected(fd)) {
        return qmp_error_set(errp, "descriptor %d neither listens nor is connected", fd);
    }
    if (needs_peers && socket_option(fd, SO_DOMAIN) != AF_UNIX) {
        return qmp_error_set(errp,
                             "descriptor %d is no unix socket, which allow-uid= and allow-gid= "
                             "need",
                             fd);
    }
    if (listens && !listening_socket_adopt(fd, errp)) {
        g_prefix_error(errp, "descriptor %d: ", fd);
        return false;
    }
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
        return qmp_error_set(errp, "descriptor %d: %s", fd, g_strerror(errno));
    }
    return true;
}
