/*
 * Which fd monitor a context gets by itself: the best that the system allows, which a seccomp
 * filter decides here, as a container's does.
 */
#include "config.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/unit/loop-fixture.h"

/* From now on the system call @number fails with the errno @error, in this process. */
static void forbid(unsigned number, unsigned error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { .len = G_N_ELEMENTS(code), .filter = code };

    g_assert_cmpint(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), ==, 0);
    g_assert_cmpint(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), ==, 0);
}

static AioContext *context_new(void)
{
    g_autoptr(GError) err = NULL;
    AioContext *ctx = aio_context_new(&err);

    g_assert_no_error(err);
    return ctx;
}

/* A context of the monitor @name runs a handler and a bottom half. */
static void assert_works(const char *name)
{
    g_autoptr(AioContext) ctx = context_new();
    int fds[2];
    int reads = 0, runs = 0;

    g_assert_cmpstr(aio_context_get_fdmon(ctx), ==, name);
    test_pipe(fds);
    aio_set_fd_handler(ctx, fds[0], test_count, NULL, NULL, NULL, &reads);
    test_write_byte(fds[1]);
    aio_bh_schedule_oneshot(ctx, test_count, &runs);
    while (reads == 0 || runs == 0) {
        aio_poll(ctx, true);
    }
    aio_set_fd_handler(ctx, fds[0], NULL, NULL, NULL, NULL, NULL);
    test_close(fds);
}

static void expect_message(const char *pattern)
{
    g_test_expect_message("evloop", G_LOG_LEVEL_MESSAGE, pattern);
}

/* Contexts of the monitor @name, with one line in the log altogether, which names @error. */
static void assert_falls_back(const char *name, const char *error)
{
    g_autofree char *pattern = g_strdup_printf("fd monitor %s is used, *: %s", name, error);

    expect_message(pattern);
    assert_works(name);
    g_test_assert_expected_messages();
    assert_works(name);
    assert_works(name);
}

static bool has_io_uring(void)
{
    g_autoptr(AioContext) ctx = aio_context_new_with_fdmon(AIO_FDMON_IO_URING, NULL);

    return ctx != NULL;
}

/* A filter can't be taken back, so what installs one runs in a process of its own. */
static void in_subprocess(void (*func)(void))
{
    alarm(60);
    if (g_test_subprocess()) {
        func();
        return;
    }
    if (!has_io_uring()) {
        g_test_skip("no io_uring here to be forbidden");
        return;
    }
    g_test_trap_subprocess(NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
    g_test_trap_assert_passed();
}

static void not_permitted(void)
{
    forbid(SYS_io_uring_setup, EPERM);
    assert_falls_back("epoll", "io_uring_setup: Operation not permitted");
}

static void test_not_permitted(void)
{
    in_subprocess(not_permitted);
}

static void not_built_in(void)
{
    forbid(SYS_io_uring_setup, ENOSYS);
    assert_falls_back("epoll", "io_uring_setup: Function not implemented");
}

static void test_not_built_in(void)
{
    in_subprocess(not_built_in);
}

static void neither(void)
{
    forbid(SYS_io_uring_setup, EPERM);
    forbid(SYS_epoll_create1, ENOSYS);
    assert_falls_back("poll", "io_uring_setup: Operation not permitted");
}

static void test_neither(void)
{
    in_subprocess(neither);
}

static void forced(void)
{
    g_autoptr(GError) err = NULL;

    forbid(SYS_io_uring_setup, EPERM);
    g_assert_null(aio_context_new_with_fdmon(AIO_FDMON_IO_URING, &err));
    g_assert_error(err, AIO_ERROR, AIO_ERROR_FDMON);
    g_assert_cmpstr(err->message, ==, "io_uring_setup: Operation not permitted");
    g_clear_error(&err);
    g_setenv("EVLOOP_FDMON", "io_uring", TRUE);
    g_assert_null(aio_context_new(&err));
    g_assert_error(err, AIO_ERROR, AIO_ERROR_FDMON);
}

static void test_forced(void)
{
    in_subprocess(forced);
}

static void out_of_descriptors(void)
{
    g_autoptr(GError) err = NULL;
    struct rlimit before, none;

    g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &before), ==, 0);
    none = (struct rlimit){ 0, before.rlim_max };
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &none), ==, 0);
    g_assert_null(aio_context_new(&err));
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &before), ==, 0);
    g_assert_error(err, AIO_ERROR, AIO_ERROR_SYSTEM);
}

/* The next monitor would want descriptors too. */
static void test_out_of_descriptors(void)
{
    in_subprocess(out_of_descriptors);
}

static void test_best(void)
{
    if (!has_io_uring()) {
        g_test_skip("no io_uring here");
        return;
    }
    assert_works("io_uring");
}

int main(int argc, char **argv)
{
    g_unsetenv("EVLOOP_FDMON");
    /* Not test_add(): what it allocates is lost in a subprocess, which runs one test only. */
    loop_test_init(&argc, &argv);
    g_test_add_func("/fdmon-choice/io-uring-where-it-is", test_best);
    g_test_add_func("/fdmon-choice/epoll-when-io-uring-is-not-permitted", test_not_permitted);
    g_test_add_func("/fdmon-choice/epoll-when-io-uring-is-not-built-in", test_not_built_in);
    g_test_add_func("/fdmon-choice/poll-when-neither-is-there", test_neither);
    g_test_add_func("/fdmon-choice/a-forced-one-is-an-error", test_forced);
    g_test_add_func("/fdmon-choice/out-of-descriptors-is-an-error", test_out_of_descriptors);
    return g_test_run();
}
