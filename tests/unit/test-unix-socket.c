/*
 * Listening at a path: what may stand there before, and what is left there at the end.
 */
#include "config.h"
#include "sockets/unix-socket.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/loop-fixture.h"

static char *folder;
static char *path;

static void add(const char *name, void (*func)(void))
{
    g_autofree char *full = g_strconcat("/unix-socket/", name, NULL);

    test_add(full, func);
}

/* ---- somebody else removes the socket meanwhile ---- */

static bool remove_before_connect;

int __real_connect(int fd, const struct sockaddr *address, socklen_t length);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t length);

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t length)
{
    if (remove_before_connect) {
        remove_before_connect = false;
        unlink(path);
    }
    return __real_connect(fd, address, length);
}

/* ---- the fixture ---- */

static UnixSocket *make(GError **errp)
{
    return unix_socket_listen(path, UNIX_SOCKET_ANY_MODE, UNIX_SOCKET_ANY_GROUP, errp);
}

static UnixSocket *must_make(void)
{
    g_autoptr(GError) err = NULL;
    UnixSocket *socket = make(&err);

    g_assert_no_error(err);
    return socket;
}

static void assert_error(const char *message)
{
    g_autoptr(GError) err = NULL;

    g_assert_null(make(&err));
    g_assert_nonnull(err);
    g_assert_cmpstr(err->message, ==, message);
}

static void assert_refused(const char *message)
{
    int fds = test_count_fds();

    assert_error(message);
    g_assert_cmpint(test_count_fds(), ==, fds);
}

/* A socket that is bound to the path, and does not listen yet. */
static int bind_socket(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    strcpy(address.sun_path, path);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&address, sizeof(address)), ==, 0);
    return fd;
}

static int listen_at_path(void)
{
    int fd = bind_socket();

    g_assert_cmpint(listen(fd, 8), ==, 0);
    return fd;
}

static int try_connect(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int error;

    strcpy(address.sun_path, path);
    error = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 ? 0 : errno;
    close(fd);
    return error;
}

static mode_t mode_of_path(void)
{
    struct stat st;

    g_assert_cmpint(lstat(path, &st), ==, 0);
    return st.st_mode & 0777;
}

static bool exists(void)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

/* ---- what stands there before ---- */

static void nothing_is_there(void)
{
    UnixSocket *socket = must_make();

    g_assert_cmpint(try_connect(), ==, 0);
    unix_socket_remove(socket);
    g_assert_false(exists());
}

static void a_socket_that_nobody_listens_on_is_replaced(void)
{
    close(listen_at_path());
    g_assert_cmpint(try_connect(), ==, ECONNREFUSED);
    unix_socket_remove(must_make());
    g_assert_false(exists());
    close(bind_socket());
    unix_socket_remove(must_make());
    g_assert_false(exists());
}

static void one_that_is_listened_on_is_left_alone(void)
{
    int fd = listen_at_path();

    assert_refused("another process is listening on it");
    g_assert_cmpint(try_connect(), ==, 0);
    close(fd);
    unlink(path);
}

#define RIVALS 3

static pthread_barrier_t all_are_ready;

static void *make_with_others(void *opaque)
{
    g_autoptr(GError) err = NULL;
    UnixSocket *socket;

    pthread_barrier_wait(&all_are_ready);
    socket = make(&err);
    if (!socket) {
        g_assert_cmpstr(err->message, ==, "another process is listening on it");
    }
    return socket;
}

/* Each of them finds a dead socket at first. */
static void of_many_that_start_at_once_one_gets_it(void)
{
    pthread_barrier_init(&all_are_ready, NULL, RIVALS);
    for (int round = 0; round < 5; round++) {
        pthread_t threads[RIVALS];
        UnixSocket *winner = NULL;

        close(listen_at_path());
        for (int i = 0; i < RIVALS; i++) {
            g_assert_cmpint(pthread_create(&threads[i], NULL, make_with_others, NULL), ==, 0);
        }
        for (int i = 0; i < RIVALS; i++) {
            void *socket;

            pthread_join(threads[i], &socket);
            g_assert_false(winner && socket);
            winner = winner ? winner : socket;
        }
        g_assert_nonnull(winner);
        g_assert_cmpint(try_connect(), ==, 0);
        unix_socket_remove(winner);
    }
    g_assert_false(exists());
    pthread_barrier_destroy(&all_are_ready);
}

/* Nobody accepts, so connecting fails, but somebody is there. */
static void one_with_a_full_backlog_is_left_alone(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = bind_socket();
    int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    strcpy(address.sun_path, path);
    g_assert_cmpint(listen(fd, 0), ==, 0);
    g_assert_cmpint(connect(client, (struct sockaddr *)&address, sizeof(address)), ==, 0);
    assert_refused("another process is listening on it");
    close(client);
    close(fd);
    unlink(path);
}

static void a_file_that_is_no_socket_is_left_alone(void)
{
    g_autofree char *text = NULL;

    g_assert_true(g_file_set_contents(path, "mine", -1, NULL));
    assert_refused("there is a file that is no socket");
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_assert_cmpstr(text, ==, "mine");
    unlink(path);
}

static void a_link_is_not_followed(void)
{
    g_assert_cmpint(symlink("elsewhere", path), ==, 0);
    assert_refused("there is a file that is no socket");
    g_assert_true(exists());
    unlink(path);
}

/* ---- who listens has ended, and the socket has not ---- */

/* A socket at the path on which a process listens that has ended; this one has it too. */
static int inherit_from_the_dead(void)
{
    int fd = bind_socket();
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        _exit(listen(fd, 8) == 0 ? 0 : 1);
    }
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(status, ==, 0);
    return fd;
}

static void wait_for_client(int fd)
{
    struct pollfd pollfd = { .fd = fd, .events = POLLIN };

    g_assert_cmpint(poll(&pollfd, 1, -1), ==, 1);
}

/* What the kernel does with the socket of one who was killed, some time later. */
static void *close_when_a_client_waits(void *opaque)
{
    int *fd = opaque;

    wait_for_client(*fd);
    close(*fd);
    return NULL;
}

static void the_socket_of_one_who_was_killed_is_waited_for(void)
{
    int fd = inherit_from_the_dead();
    pthread_t thread = test_thread_start(close_when_a_client_waits, &fd);
    UnixSocket *socket = must_make();

    test_thread_join(thread);
    g_assert_cmpint(try_connect(), ==, 0);
    unix_socket_remove(socket);
    g_assert_false(exists());
}

static void *remove_when_a_client_waits(void *opaque)
{
    int *fd = opaque;

    wait_for_client(*fd);
    unlink(path);
    close(*fd);
    return NULL;
}

/* As a daemon that ends does while its successor starts; it takes no lock for that. */
static void one_that_goes_while_it_is_looked_at_is_gone(void)
{
    int fd = listen_at_path();
    UnixSocket *socket;
    pthread_t thread;

    remove_before_connect = true;
    socket = must_make();
    close(fd);
    g_assert_cmpint(try_connect(), ==, 0);
    unix_socket_remove(socket);

    fd = inherit_from_the_dead(); /* so that it is waited for */
    thread = test_thread_start(remove_when_a_client_waits, &fd);
    socket = must_make();
    test_thread_join(thread);
    g_assert_cmpint(try_connect(), ==, 0);
    unix_socket_remove(socket);
    g_assert_false(exists());
}

static void *greet_a_client(void *opaque)
{
    int *fd = opaque;
    int client;

    wait_for_client(*fd);
    client = accept(*fd, NULL, NULL);
    test_write_byte(client);
    close(client);
    return NULL;
}

static void a_socket_that_the_dead_has_left_to_another_is_left_alone(void)
{
    int fd = inherit_from_the_dead();
    int fds = test_count_fds();
    pthread_t thread = test_thread_start(greet_a_client, &fd);

    assert_error("another process is listening on it");
    test_thread_join(thread);
    g_assert_cmpint(test_count_fds(), ==, fds);
    g_assert_true(exists());
    close(fd);
    unlink(path);
}

/* ---- the end ---- */

static void a_socket_that_another_has_put_there_is_left_alone(void)
{
    UnixSocket *socket = must_make();
    int fd;

    unlink(path);
    fd = listen_at_path();
    unix_socket_remove(socket);
    g_assert_cmpint(try_connect(), ==, 0);
    close(fd);
    unlink(path);
}

static void a_descriptor_that_was_taken_outlives_the_file(void)
{
    UnixSocket *socket = must_make();
    int fd = unix_socket_take_fd(socket);

    unix_socket_remove(socket);
    g_assert_false(exists());
    g_assert_cmpint(listen(fd, 1), ==, 0);
    close(fd);
}

/* ---- permissions ---- */

/* A socket that another process is to go on with: its descriptor, and which file it is. */
static int leave(UnixSocketFile *file)
{
    UnixSocket *socket = must_make();
    int fd = unix_socket_take_fd(socket);

    *file = *unix_socket_get_file(socket);
    file->path = path;
    unix_socket_leave(socket);
    return fd;
}

static void a_socket_that_was_left_is_taken_up(void)
{
    UnixSocketFile file;
    int fd = leave(&file);
    UnixSocket *socket;

    g_assert_cmpint(try_connect(), ==, 0);
    socket = unix_socket_take_up(&file);
    g_assert_nonnull(socket);
    g_assert_cmpstr(unix_socket_get_file(socket)->path, ==, path);
    unix_socket_remove(socket);
    g_assert_false(exists());
    close(fd);
}

static void another_in_its_place_is_not_taken_up(void)
{
    UnixSocketFile file;
    int fd = leave(&file);

    g_assert_cmpint(unlink(path), ==, 0);
    g_assert_null(unix_socket_take_up(&file));
    close(bind_socket());
    g_assert_null(unix_socket_take_up(&file));
    g_assert_true(exists());
    unlink(path);
    close(fd);
}

static void permissions_are_those_asked_for(void)
{
    g_autoptr(GError) err = NULL;
    mode_t umask_before = umask(0077);
    UnixSocket *socket = unix_socket_listen(path, 0640, getgid(), &err);

    g_assert_no_error(err);
    g_assert_cmpint(mode_of_path(), ==, 0640);
    unix_socket_remove(socket);
    socket = must_make();
    g_assert_cmpint(mode_of_path(), ==, 0700);
    unix_socket_remove(socket);
    umask(umask_before);
}

static void paths_that_can_not_be_are_refused(void)
{
    static const char *const cases[][2] = {
        { "", "the path is empty" },
        { "/nowhere/at/all", "directory '/nowhere/at': No such file or directory" },
        { "/dev/null/x", "directory '/dev/null': Not a directory" },
    };
    g_autofree char *longest = g_strnfill(200, 'x');
    g_autoptr(GError) err = NULL;

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_assert_null(unix_socket_listen(cases[i][0], 0600, UNIX_SOCKET_ANY_GROUP, &err));
        g_assert_cmpstr(err->message, ==, cases[i][1]);
        g_clear_error(&err);
    }
    g_assert_null(unix_socket_listen(longest, 0600, UNIX_SOCKET_ANY_GROUP, &err));
    g_assert_cmpstr(err->message, ==, "the path is longer than 107 bytes");
}

int main(int argc, char **argv)
{
    int status;

    loop_test_init(&argc, &argv);
    folder = g_dir_make_tmp("unix-socket-XXXXXX", NULL);
    path = g_build_filename(folder, "socket", NULL);
    add("nothing is there", nothing_is_there);
    add("a socket that nobody listens on is replaced", a_socket_that_nobody_listens_on_is_replaced);
    add("one that is listened on is left alone", one_that_is_listened_on_is_left_alone);
    add("of many that start at once one gets it", of_many_that_start_at_once_one_gets_it);
    add("one with a full backlog is left alone", one_with_a_full_backlog_is_left_alone);
    add("a file that is no socket is left alone", a_file_that_is_no_socket_is_left_alone);
    add("a link is not followed", a_link_is_not_followed);
    add("the socket of one who was killed is waited for",
        the_socket_of_one_who_was_killed_is_waited_for);
    add("one that goes while it is looked at is gone", one_that_goes_while_it_is_looked_at_is_gone);
    add("a socket that the dead has left to another is left alone",
        a_socket_that_the_dead_has_left_to_another_is_left_alone);
    add("a socket that another has put there is left alone",
        a_socket_that_another_has_put_there_is_left_alone);
    add("a descriptor that was taken outlives the file",
        a_descriptor_that_was_taken_outlives_the_file);
    add("a socket that was left is taken up", a_socket_that_was_left_is_taken_up);
    add("another in its place is not taken up", another_in_its_place_is_not_taken_up);
    add("permissions are those asked for", permissions_are_those_asked_for);
    add("paths that can't be are refused", paths_that_can_not_be_are_refused);
    status = g_test_run();
    g_rmdir(folder);
    g_free(path);
    g_free(folder);
    return status;
}
