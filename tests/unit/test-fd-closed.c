/*
 * Descriptors that were closed before their handlers were removed, which the contract forbids. Once
 * the poll monitor spun on them, and the epoll monitor reported nodes that were freed, as long as
 * the file was open under another number. Now they are silent, and nothing else suffers.
 */
#include "config.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/unit/loop-fixture.h"

static void watch(Loop *loop, int fd, IOHandler *io_read, int *calls)
{
    aio_set_fd_handler_full(loop->ctx, fd, io_read, NULL, NULL, NULL, calls, "a source", NULL);
}

static void unwatch(Loop *loop, int fd)
{
    aio_set_fd_handler(loop->ctx, fd, NULL, NULL, NULL, NULL, NULL);
}

static void must_not_be_called(void *opaque)
{
    g_assert_not_reached();
}

/* A pipe with a byte in it. */
static void ready_pipe(int fds[2])
{
    test_pipe(fds);
    test_write_byte(fds[1]);
}

/* A handler that was not touched is called as ever, and nothing else keeps the loop awake. */
static void assert_well(Loop *loop)
{
    int fds[2];
    int calls = 0;

    ready_pipe(fds);
    watch(loop, fds[0], test_count, &calls);
    while (calls < 3) {
        loop_pass(loop, true);
    }
    unwatch(loop, fds[0]);
    test_close(fds);
    loop_passes(loop, 3);
    loop_start(loop);
    loop_assert_asleep(loop);
    loop_stop(loop);
    qemu_set_current_aio_context(NULL);
}

/* The monitors poll and io_uring see that it is closed; epoll knows nothing of it any more. */
static void expect_warning(Loop *loop, int fd)
{
    if (loop->fdmon != AIO_FDMON_EPOLL) {
        g_autofree char *pattern = g_strdup_printf("a source: descriptor %d was closed *", fd);

        g_test_expect_message("evloop", G_LOG_LEVEL_WARNING, pattern);
    }
}

static void test_closed_is_silent(Loop *loop)
{
    int fds[2];

    ready_pipe(fds);
    watch(loop, fds[0], must_not_be_called, NULL);
    close(fds[0]);
    expect_warning(loop, fds[0]);
    loop_passes(loop, 5);
    g_test_assert_expected_messages();
    assert_well(loop);
    unwatch(loop, fds[0]);
    close(fds[1]);
    assert_well(loop);
}

static void test_closed_and_replaced(Loop *loop)
{
    int fds[2], other[2];
    int calls = 0;

    ready_pipe(fds);
    watch(loop, fds[0], must_not_be_called, NULL);
    close(fds[0]);
    expect_warning(loop, fds[0]);
    loop_passes(loop, 5);
    g_test_assert_expected_messages();

    /* Another file gets the number, and a handler. */
    ready_pipe(other);
    int fd = dup2(other[0], fds[0]);
    g_assert_cmpint(fd, ==, fds[0]);
    watch(loop, fd, test_count, &calls);
    while (calls < 3) {
        loop_pass(loop, true);
    }
    unwatch(loop, fd);
    close(fd);
    close(fds[1]);
    test_close(other);
    assert_well(loop);
}

/* ---- with the file open under another number ---- */

static void test_removed_after_it_was_closed(Loop *loop)
{
    int fds[2];

    ready_pipe(fds);
    watch(loop, fds[0], must_not_be_called, NULL);
    int duplicate = dup(fds[0]);
    close(fds[0]);
    unwatch(loop, fds[0]);
    assert_well(loop);
    close(duplicate);
    close(fds[1]);
}

static void test_removed_when_the_number_is_anothers(Loop *loop)
{
    int fds[2], other[2];

    ready_pipe(fds);
    test_pipe(other);
    watch(loop, fds[0], must_not_be_called, NULL);
    int duplicate = dup(fds[0]);
    int fd = dup2(other[0], fds[0]);
    g_assert_cmpint(fd, ==, fds[0]);
    unwatch(loop, fd);
    assert_well(loop);
    test_close(fds);
    test_close(other);
    close(duplicate);
}

static void test_replaced_when_the_number_is_anothers(Loop *loop)
{
    int fds[2], other[2];
    int calls = 0;

    ready_pipe(fds);
    ready_pipe(other);
    watch(loop, fds[0], must_not_be_called, NULL);
    int duplicate = dup(fds[0]);
    int fd = dup2(other[0], fds[0]);
    g_assert_cmpint(fd, ==, fds[0]);
    watch(loop, fd, test_count, &calls);
    while (calls < 3) {
        loop_pass(loop, true);
    }
    unwatch(loop, fd);
    assert_well(loop);
    test_close(fds);
    test_close(other);
    close(duplicate);
}

/* The third change reaches what the first has left, and leaves what the second has added. */
static void test_number_goes_to_and_fro(Loop *loop)
{
    int first[2], second[2];
    int calls = 0;

    ready_pipe(first);
    ready_pipe(second);
    int fd = dup(first[0]);
    watch(loop, fd, must_not_be_called, NULL);
    dup2(second[0], fd);
    watch(loop, fd, must_not_be_called, NULL);
    dup2(first[0], fd);
    watch(loop, fd, test_count, &calls);
    while (calls < 3) {
        loop_pass(loop, true);
    }
    unwatch(loop, fd);
    close(fd);
    assert_well(loop);
    test_close(first);
    test_close(second);
}

static void test_many_while_the_loop_sleeps(Loop *loop)
{
    int fds[2], kept[2];
    int calls = 0;

    if (loop->fdmon != AIO_FDMON_EPOLL) {
        g_test_skip("this monitor may notice, and then warns");
        return;
    }
    test_pipe(fds);
    test_pipe(kept);
    watch(loop, kept[0], test_count, &calls);
    loop_start(loop);
    for (int i = 0; i < 1000; i++) {
        int fd = dup(fds[0]);

        watch(loop, fd, must_not_be_called, NULL);
        close(fd);
        unwatch(loop, fd);
    }
    loop_assert_asleep(loop);
    loop_stop(loop);
    /* All of them are of this file, which becomes ready. */
    test_write_byte(fds[1]);
    assert_well(loop);
    test_write_byte(kept[1]);
    while (calls == 0) {
        loop_pass(loop, true);
    }
    unwatch(loop, kept[0]);
    test_close(kept);
    test_close(fds);
}

#define FEW 64

/* Have all descriptors below FEW taken; returns those that this has opened. */
static GArray *exhaust_descriptors(struct rlimit *before)
{
    GArray *fds = g_array_new(FALSE, FALSE, sizeof(int));
    struct rlimit few;
    int fd;

    g_assert_cmpint(getrlimit(RLIMIT_NOFILE, before), ==, 0);
    few = *before;
    few.rlim_cur = FEW;
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &few), ==, 0);
    while ((fd = dup(STDERR_FILENO)) >= 0) {
        g_array_append_val(fds, fd);
    }
    return fds;
}

static void give_descriptors_back(GArray *fds, const struct rlimit *before)
{
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, before), ==, 0);
    for (guint i = 0; i < fds->len; i++) {
        close(g_array_index(fds, int, i));
    }
    g_array_unref(fds);
}

/* Then the epoll monitor can't make a new set, and the poll monitor takes over. */
static void test_out_of_descriptors(Loop *loop)
{
    struct rlimit limit;
    GArray *taken;
    int fds[2], kept[2];
    int calls = 0;

    if (loop->fdmon != AIO_FDMON_EPOLL) {
        g_test_skip("this monitor needs no descriptor");
        return;
    }
    ready_pipe(fds);
    ready_pipe(kept);
    watch(loop, kept[0], test_count, &calls);
    loop_pass(loop, false);
    watch(loop, fds[0], must_not_be_called, NULL);
    int duplicate = dup(fds[0]);
    int number = fds[0];
    close(fds[0]);
    unwatch(loop, number);
    taken = exhaust_descriptors(&limit);
    g_test_expect_message("evloop", G_LOG_LEVEL_WARNING,
                          "a context goes on with the slower fd monitor poll*Too many open files*");
    loop_passes(loop, 5);
    g_test_assert_expected_messages();
    give_descriptors_back(taken, &limit);
    g_assert_cmpstr(aio_context_get_fdmon(loop->ctx), ==, "poll");
    calls = 0;
    while (calls < 3) {
        loop_pass(loop, true);
    }
    unwatch(loop, kept[0]);
    test_close(kept);
    close(duplicate);
    close(fds[1]);
    assert_well(loop);
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    loop_test_add("closed-is-silent", test_closed_is_silent);
    loop_test_add("closed-and-replaced", test_closed_and_replaced);
    loop_test_add("removed-after-it-was-closed", test_removed_after_it_was_closed);
    loop_test_add("removed-when-the-number-is-another's", test_removed_when_the_number_is_anothers);
    loop_test_add("replaced-when-the-number-is-another's",
                  test_replaced_when_the_number_is_anothers);
    loop_test_add("number-goes-to-and-fro", test_number_goes_to_and_fro);
    loop_test_add("many-while-the-loop-sleeps", test_many_while_the_loop_sleeps);
    loop_test_add("out-of-descriptors", test_out_of_descriptors);
    return g_test_run();
}
