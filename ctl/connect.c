/*
 * Connecting to the daemon's unix socket. Most users who meet an error at all meet one of these: no
 * daemon, or no permission. So each has its own words.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "ctl/connect.h"
#include "ctl/error.h"

/* What the user can do about it that connect() failed with @err. */
static char *connect_hint(const char *path, int err)
{
    struct stat st;
    bool known = stat(path, &st) == 0;

    if (err == ENOENT) {
        return g_strdup("no such socket; is the daemon running?");
    }
    if (err == ECONNREFUSED && known && !S_ISSOCK(st.st_mode)) {
        return g_strdup("not a socket");
    }
    if (err == ECONNREFUSED) {
        return g_strdup("nobody listens there; is the daemon running?");
    }
    if (err == EACCES && known) {
        const struct group *group = getgrgid(st.st_gid);
        g_autofree char *number = g_strdup_printf("%u", (unsigned)st.st_gid);

        return g_strdup_printf("permission denied; the socket's group is %s, are you in it?",
                               group ? group->gr_name : number);
    }
    if (err == EACCES) {
        return g_strdup("permission denied to its folder; are you in the socket's group?");
    }
    if (err == EAGAIN) {
        return g_strdup("timed out, the daemon accepts no connection");
    }
    return g_strdup(g_strerror(err));
}

/* Bound a blocking connect(). A non-blocking one is no choice: where the daemon's queue is full, it
 * fails at once and can't be waited for. */
static void set_connect_timeout(int fd, int ms)
{
    struct timeval timeout = { .tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000 };

    if (ms < 0) {
        return;
    }
    if (ms == 0) {
        timeout.tv_usec = 1; /* zero means for ever */
    }
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
}

/* connect() and make @fd non-blocking; errno on failure. */
static int connect_fd(int fd, const struct sockaddr_un *address)
{
    int flags;

    while (connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0) {
        if (errno != EINTR) { /* nothing is under way yet then: a unix socket connects at once */
            return errno;
        }
    }
    flags = fcntl(fd, F_GETFL);
    return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? errno : 0;
}

int connect_unix(const char *path, int timeout_ms, GError **errp)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    g_autofree char *hint = NULL;
    int fd, err;

    if (g_strlcpy(address.sun_path, path, sizeof(address.sun_path)) >= sizeof(address.sun_path)) {
        g_set_error(errp, CTL_ERROR, CTL_ERROR_CONNECTION,
                    "cannot connect to %s: a socket's path has at most %zu bytes", path,
                    sizeof(address.sun_path) - 1);
        return -1;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        g_set_error(errp, CTL_ERROR, CTL_ERROR_CONNECTION, "cannot make a socket: %s",
                    g_strerror(errno));
        return -1;
    }
    set_connect_timeout(fd, timeout_ms);
    err = connect_fd(fd, &address);
    if (err) {
        hint = connect_hint(path, err);
        g_set_error(errp, CTL_ERROR, err == EAGAIN ? CTL_ERROR_TIMEOUT : CTL_ERROR_CONNECTION,
                    "cannot connect to %s: %s", path, hint);
        close(fd);
        return -1;
    }
    return fd;
}
