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

static const char find_daemon[] = "is the daemon running? 'systemctl status evloopd' shows it, and "
                                  "--socket names another socket";

static char *group_name(gid_t gid)
{
    const struct group *group = getgrgid(gid);

    return group ? g_strdup(group->gr_name) : g_strdup_printf("%u", (unsigned)gid);
}

/* Whether this process is in the group @gid. */
static bool in_group(gid_t gid)
{
    int count = getgroups(0, NULL);
    g_autofree gid_t *gids = g_new0(gid_t, (gsize)MAX(count, 1));

    count = getgroups(count, gids);
    for (int i = 0; i < count; i++) {
        if (gids[i] == gid) {
            return true;
        }
    }
    return getegid() == gid;
}

/* What a user does who needs @right to @what, whose state is @st. */
static char *permission_hint(const char *what, const struct stat *st, mode_t right)
{
    g_autofree char *group = group_name(st->st_gid);

    if (!(st->st_mode & (right >> 3))) { /* the group's right */
        return g_strdup_printf("permission denied; %s group is %s, which may not connect either: "
                               "its mode is %04o",
                               what, group, (unsigned)(st->st_mode & 07777));
    }
    if (in_group(st->st_gid)) {
        return g_strdup_printf("permission denied; %s group is %s, and you are in it, so another "
                               "rule of the system forbids it",
                               what, group);
    }
    return g_strdup_printf(
        "permission denied; %s group is %s, are you in it? 'usermod -aG %s USER' "
        "as root adds a user, who then logs in again",
        what, group, group);
}

/* The socket itself can't be seen: find the innermost folder on the way that can. */
static char *folder_hint(const char *path)
{
    g_autofree char *folder = g_path_get_dirname(path);
    struct stat st;

    while (stat(folder, &st) < 0 && !g_str_equal(folder, "/") && !g_str_equal(folder, ".")) {
        g_autofree char *inner = folder;

        folder = g_path_get_dirname(inner);
    }
    if (access(folder, X_OK) == 0 || stat(folder, &st) < 0) {
        return g_strdup("permission denied to its folder; are you in the socket's group?");
    }
    return permission_hint("its folder's", &st, S_IXUSR);
}

/* What the user can do about it that connect() failed with @err. */
static char *connect_hint(const char *path, int err)
{
    struct stat st;
    bool known = stat(path, &st) == 0;

    if (err == ENOENT) {
        return g_strdup_printf("no such socket; %s", find_daemon);
    }
    if (err == ECONNREFUSED && known && !S_ISSOCK(st.st_mode)) {
        return g_strdup("not a socket");
    }
    if (err == ECONNREFUSED) {
        return g_strdup_printf("nobody listens there; %s", find_daemon);
    }
    if (err == EACCES) {
        return known ? permission_hint("the socket's", &st, S_IWUSR) : folder_hint(path);
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
