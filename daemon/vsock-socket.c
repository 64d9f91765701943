/*
 * Listening vsocks.
 */
#include "config.h"
#include "daemon/vsock-socket.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <sys/socket.h>
#include <linux/vm_sockets.h>

#include "qmp/qmp-error.h"

static int fail(GError **errp, int fd, const char *operation)
{
    qmp_error_set(errp, "%s: %s", operation, g_strerror(errno));
    if (fd >= 0) {
        close(fd);
    }
    return -1;
}

int vsock_socket_listen(unsigned cid, unsigned port, GError **errp)
{
    struct sockaddr_vm address = { .svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port };
    int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0) {
        return fail(errp, fd, "socket");
    }
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        return fail(errp, fd, "bind");
    }
    if (listen(fd, SOMAXCONN) != 0) {
        return fail(errp, fd, "listen");
    }
    return fd;
}
