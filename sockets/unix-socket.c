/*
 * Listening unix sockets: made without a moment at which another process, or a client without the
 * right to, could come in between.
 *
 * Daemons that start at the same time take turns by a lock on the socket's directory, from looking
 * whether there is one to listening. Until it listens nobody can connect, so permissions and group
 * are set before that.
 */
#include "config.h"
#include "sockets/unix-socket.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "loop/aio.h"

/* How long a socket that answers may be one whose process has ended, and one whose process is
 * about to end, in ms. */
#define GONE_WITHIN_MS  1000
#define DYING_WITHIN_MS 100

/* Altogether so long is waited for the lock: 2 s. */
static const int lock_tries = 200;
static const gulong lock_pause_us = 10000;

struct UnixSocket {
    UnixSocketFile file; /* its inode is 0 while there is none */
    int fd;
};

static bool fail(GError **errp, const char *what)
{
    g_set_error_literal(errp, AIO_ERROR, AIO_ERROR_SYSTEM, what);
    return false;
}

static bool fail_errno(GError **errp, const char *operation)
{
    g_set_error(errp, AIO_ERROR, AIO_ERROR_SYSTEM, "%s: %s", operation, g_strerror(errno));
    return false;
}

static bool make_address(const char *path, struct sockaddr_un *address, GError **errp)
{
    if (path[0] == '\0') {
        return fail(errp, "the path is empty");
    }
    if (strlen(path) >= sizeof(address->sun_path)) {
        g_set_error(errp, AIO_ERROR, AIO_ERROR_INVALID, "the path is longer than %zu bytes",
                    sizeof(address->sun_path) - 1);
        return false;
    }
    *address = (struct sockaddr_un){ .sun_family = AF_UNIX };
    strcpy(address->sun_path, path);
    return true;
}

/* Daemons hold the lock for a moment; but whoever may read the directory could hold it for good. */
static bool lock_in_time(int fd)
{
    for (int tries = 0; tries < lock_tries; tries++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
            return true;
        }
        if (errno != EWOULDBLOCK && errno != EINTR) {
            return false;
        }
        g_usleep(lock_pause_us);
    }
    errno = ETIMEDOUT;
    return false;
}

/* Lock the directory of @path; the descriptor holds the lock, -1 is an error. */
static int lock_directory(const char *path, GError **errp)
{
    g_autofree char *directory = g_path_get_dirname(path);
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || !lock_in_time(fd)) {
        g_set_error(errp, AIO_ERROR, AIO_ERROR_SYSTEM, "directory '%s': %s", directory,
                    errno == ETIMEDOUT ? "another process keeps it locked" : g_strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    return fd;
}

/* Whether the process that has begun to listen on the other side of the connection @fd runs. When
 * it does not, another one may listen, to whom it has left the socket. */
static bool listener_runs(int fd)
{
    struct pollfd pollfd = { .events = POLLIN };
    struct ucred peer;
    socklen_t length = sizeof(peer);
    bool runs;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0 || peer.pid <= 0) {
        return false;
    }
    pollfd.fd = (int)syscall(SYS_pidfd_open, peer.pid, 0);
    if (pollfd.fd < 0) {
        return false;
    }
    /* One that has ended and that nobody has waited for is readable. */
    runs = poll(&pollfd, 1, 0) == 0;
    close(pollfd.fd);
    return runs;
}

/*
 * Whether nobody will ever accept the connection @fd. The socket of a process that was killed goes
 * on listening until the kernel has taken its io_uring apart, which it does some time after the
 * process has ended; then connections that nobody has accepted are reset. A server that lives
 * says something, or, when it is no evloopd, keeps silent; or it turns this client away, by
 * closing, which is an end of file and no reset.
 */
static bool listener_is_gone(int fd)
{
    struct pollfd pollfd = { .fd = fd, .events = POLLIN };
    int timeout_ms = listener_runs(fd) ? DYING_WITHIN_MS : GONE_WITHIN_MS;
    char byte;

    return poll(&pollfd, 1, timeout_ms) == 1 && recv(fd, &byte, 1, MSG_DONTWAIT) < 0 &&
           errno == ECONNRESET;
}

/* Make way at @path: remove a socket that nobody listens on. Whoever has it may end meanwhile and
 * remove it, for that takes no lock. */
static bool remove_stale(const char *path, const struct sockaddr_un *address, GError **errp)
{
    struct stat st;
    int error;
    int fd;

    if (lstat(path, &st) != 0) {
        return errno == ENOENT || fail_errno(errp, "stat");
    }
    if (!S_ISSOCK(st.st_mode)) {
        return fail(errp, "there is a file that is no socket");
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return fail_errno(errp, "socket");
    }
    error = connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ? 0 : errno;
    if (error == 0 && listener_is_gone(fd)) {
        error = ECONNREFUSED;
    }
    close(fd);
    /* EAGAIN: its backlog is full, so somebody listens. */
    if (error == 0 || error == EAGAIN) {
        return fail(errp, "another process is listening on it");
    }
    if (error != ECONNREFUSED && error != ENOENT) {
        errno = error;
        return fail_errno(errp, "connect");
    }
    return unlink(path) == 0 || errno == ENOENT || fail_errno(errp, "unlink");
}

static bool bind_and_listen(UnixSocket *self, const struct sockaddr_un *address, mode_t mode,
                            gid_t group, GError **errp)
{
    struct stat st;

    self->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (self->fd < 0) {
        return fail_errno(errp, "socket");
    }
    if (bind(self->fd, (const struct sockaddr *)address, sizeof(*address)) != 0) {
        return fail_errno(errp, "bind");
    }
    if (lstat(self->file.path, &st) == 0) {
        self->file.device = st.st_dev;
        self->file.inode = st.st_ino;
    }
    if (group != UNIX_SOCKET_ANY_GROUP && lchown(self->file.path, (uid_t)-1, group) != 0) {
        return fail_errno(errp, "chown");
    }
    if (mode != UNIX_SOCKET_ANY_MODE && chmod(self->file.path, mode) != 0) {
        return fail_errno(errp, "chmod");
    }
    return listen(self->fd, SOMAXCONN) == 0 || fail_errno(errp, "listen");
}

UnixSocket *unix_socket_listen(const char *path, mode_t mode, gid_t group, GError **errp)
{
    struct sockaddr_un address;
    UnixSocket *self;
    int lock;
    bool ok;

    if (!make_address(path, &address, errp)) {
        return NULL;
    }
    lock = lock_directory(path, errp);
    if (lock < 0) {
        return NULL;
    }
    self = g_new0(UnixSocket, 1);
    self->file.path = g_strdup(path);
    self->fd = -1;
    ok = remove_stale(path, &address, errp) && bind_and_listen(self, &address, mode, group, errp);
    close(lock);
    if (!ok) {
        unix_socket_remove(self);
        return NULL;
    }
    return self;
}

int unix_socket_take_fd(UnixSocket *self)
{
    int fd = self->fd;

    self->fd = -1;
    return fd;
}

/* Whether @file is still at its path. */
static bool is_there(const UnixSocketFile *file)
{
    struct stat st;

    return file->inode != 0 && lstat(file->path, &st) == 0 && S_ISSOCK(st.st_mode) &&
           st.st_dev == file->device && st.st_ino == file->inode;
}

static void free_socket(UnixSocket *self)
{
    if (self->fd >= 0) {
        close(self->fd);
    }
    g_free(self->file.path);
    g_free(self);
}

const UnixSocketFile *unix_socket_get_file(const UnixSocket *self)
{
    return &self->file;
}

void unix_socket_leave(UnixSocket *self)
{
    free_socket(self);
}

UnixSocket *unix_socket_take_up(const UnixSocketFile *file)
{
    UnixSocket *self;

    if (!is_there(file)) {
        return NULL;
    }
    self = g_new0(UnixSocket, 1);
    self->file = *file;
    self->file.path = g_strdup(file->path);
    self->fd = -1;
    return self;
}

void unix_socket_remove(UnixSocket *self)
{
    if (is_there(&self->file) && unlink(self->file.path) != 0) {
        g_warning("socket '%s': unlink: %s", self->file.path, g_strerror(errno));
    }
    free_socket(self);
}
