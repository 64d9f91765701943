/*
 * The history of the shell: a file of lines, which each shell appends to as lines are entered, so
 * that several at a time lose nothing. When it has grown to twice what is kept, whoever loads it
 * makes it smaller.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/error.h"
#include "ctl/shell.h"

#define MODE      0600
#define FILE_NAME "evloopctl" G_DIR_SEPARATOR_S "history"

char *shell_history_path(void)
{
    const char *state = g_getenv("XDG_STATE_HOME");
    const char *home = g_get_home_dir();

    if (state && g_path_is_absolute(state)) {
        return g_build_filename(state, FILE_NAME, NULL);
    }
    /* A home that there is not is none to be made: that of a system user, for one. */
    if (!home || !g_path_is_absolute(home) || !g_file_test(home, G_FILE_TEST_IS_DIR)) {
        return NULL;
    }
    return g_build_filename(home, ".local", "state", FILE_NAME, NULL);
}

/* Always false. */
static bool fail(const char *path, const char *why, GError **errp)
{
    g_set_error(errp, CTL_ERROR, CTL_ERROR_OUTPUT, "%s: %s", path, why);
    return false;
}

/* Open it for nobody else to read. -1 and @errp on failure. */
static int open_file(const char *path, int flags, GError **errp)
{
    /* What is there may be no file: one of the kinds that an open() waits for, even. With the home
     * of somebody else, as sudo leaves it, it may be a trap: a link to what is to be spoilt. */
    int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, MODE);
    struct stat st;

    if (fd < 0) {
        fail(path, errno == ELOOP ? "it is a symbolic link" : g_strerror(errno), errp);
        return -1;
    }
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        fail(path, "not a regular file", errp);
    } else if (st.st_uid != geteuid()) {
        fail(path, "it is the file of another user", errp);
    } else if ((st.st_mode & 07777) != MODE && fchmod(fd, MODE) < 0) {
        fail(path, g_strerror(errno), errp);
    } else {
        return fd;
    }
    close(fd);
    return -1;
}

/* ---- loading ---- */

static char *read_all(int fd, const char *path, GError **errp)
{
    g_autoptr(GString) text = g_string_new(NULL);
    char buffer[16 * 1024];
    ssize_t n;

    while ((n = read(fd, buffer, sizeof(buffer))) != 0) {
        if (n > 0) {
            g_string_append_len(text, buffer, n);
        } else if (errno != EINTR) {
            fail(path, g_strerror(errno), errp);
            return NULL;
        }
    }
    return g_string_free(g_steal_pointer(&text), FALSE);
}

/* Whether a line may be in the history at all. */
static bool is_good(const char *line)
{
    return *line && strlen(line) <= SHELL_HISTORY_LONGEST && g_utf8_validate(line, -1, NULL);
}

/* The last lines of @text that are good. */
static char **take_lines(const char *text, bool *is_long)
{
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    guint count = g_strv_length(lines);
    guint first = count > SHELL_HISTORY_LINES ? count - SHELL_HISTORY_LINES - 1 : 0;

    for (guint i = first; i < count; i++) {
        if (is_good(lines[i])) {
            g_strv_builder_add(builder, lines[i]);
        }
    }
    *is_long = count > 2 * SHELL_HISTORY_LINES;
    return g_strv_builder_end(builder);
}

static bool replace(const char *path, char **lines, GError **errp)
{
    g_autofree char *joined = g_strjoinv("\n", lines);
    g_autofree char *text = g_strconcat(joined, "\n", NULL);

    return g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, MODE, errp);
}

char **shell_history_load(const char *path, GError **errp)
{
    g_auto(GStrv) lines = NULL;
    g_autofree char *text = NULL;
    bool is_locked;
    bool is_long;
    int fd;

    if (faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT) {
        return g_new0(char *, 1);
    }
    fd = open_file(path, O_RDONLY, errp);
    if (fd < 0) {
        return NULL;
    }
    is_locked = flock(fd, LOCK_EX | LOCK_NB) == 0;
    text = read_all(fd, path, errp);
    lines = text ? take_lines(text, &is_long) : NULL;
    /* Where another shell is at it, one of those to come makes it smaller. */
    if (lines && is_long && is_locked && !replace(path, lines, errp)) {
        g_clear_pointer(&lines, g_strfreev);
    }
    close(fd);
    return g_steal_pointer(&lines);
}

/* ---- adding ---- */

/* Open it to add to it, and lock it: what is added to one that is being replaced would be lost. */
static int open_to_add(const char *path, GError **errp)
{
    for (;;) {
        int fd = open_file(path, O_WRONLY | O_APPEND | O_CREAT, errp);
        struct stat opened, there;

        if (fd < 0 || flock(fd, LOCK_SH) < 0 || fstat(fd, &opened) < 0) {
            return fd;
        }
        if (stat(path, &there) == 0 && there.st_ino == opened.st_ino &&
            there.st_dev == opened.st_dev) {
            return fd;
        }
        close(fd); /* it has been replaced meanwhile */
    }
}

bool shell_history_add(const char *path, const char *line, GError **errp)
{
    g_autofree char *folder = g_path_get_dirname(path);
    g_autofree char *text = g_strconcat(line, "\n", NULL);
    bool done;
    ssize_t n;
    int fd;

    if (!is_good(line)) {
        return true;
    }
    if (g_mkdir_with_parents(folder, 0700) < 0) {
        return fail(folder, g_strerror(errno), errp);
    }
    fd = open_to_add(path, errp);
    if (fd < 0) {
        return false;
    }
    n = write(fd, text, strlen(text));
    done = n == (ssize_t)strlen(text);
    if (!done) {
        fail(path, g_strerror(n < 0 ? errno : ENOSPC), errp);
    }
    close(fd);
    return done;
}
