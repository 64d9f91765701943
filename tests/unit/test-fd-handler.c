/*
 * Readiness of descriptors: who is called, when, and how often. Changing handlers while the loop
 * runs is in test-fd-change.c.
 */
#include "config.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tests/unit/loop-fixture.h"

typedef struct Counted {
    int fd;
    int reads;
    int writes;
    bool drain; /* the read handler takes one byte */
} Counted;

static void counted_read(void *opaque)
{
    Counted *counted = opaque;

    counted->reads++;
    if (counted->drain) {
        test_read_byte(counted->fd);
    }
}

static void counted_write(void *opaque)
{
    Counted *counted = opaque;

    counted->writes++;
}

static void remove_handler(Loop *loop, int fd)
{
    aio_set_fd_handler(loop->ctx, fd, NULL, NULL, NULL, NULL, NULL);
}

static void test_readable(Loop *loop)
{
    int fds[2];

    test_pipe(fds);
    Counted counted = { .fd = fds[0], .drain = true };
    aio_set_fd_handler(loop->ctx, fds[0], counted_read, NULL, NULL, NULL, &counted);
    loop_passes(loop, 3);
    g_assert_cmpint(counted.reads, ==, 0);

    for (int i = 1; i <= 3; i++) {
        test_write_byte(fds[1]);
        while (counted.reads < i) {
            loop_pass(loop, true);
        }
        loop_passes(loop, 3);
        g_assert_cmpint(counted.reads, ==, i);
    }
    remove_handler(loop, fds[0]);
    test_close(fds);
}

static void test_writable(Loop *loop)
{
    int fds[2];
    char buffer[4096] = "";

    test_pipe(fds);
    Counted counted = { .fd = fds[1] };
    aio_set_fd_handler(loop->ctx, fds[1], NULL, counted_write, NULL, NULL, &counted);
    while (counted.writes < 2) {
        loop_pass(loop, true);
    }

    /* A full pipe is not writable; one that was emptied is again. */
    while (write(fds[1], buffer, sizeof(buffer)) > 0) {
    }
    counted.writes = 0;
    loop_passes(loop, 3);
    g_assert_cmpint(counted.writes, ==, 0);
    while (read(fds[0], buffer, sizeof(buffer)) > 0) {
    }
    while (counted.writes == 0) {
        loop_pass(loop, true);
    }
    g_assert_cmpint(counted.reads, ==, 0);
    remove_handler(loop, fds[1]);
    test_close(fds);
}

static void test_unread_data(Loop *loop)
{
    int fds[2];

    test_pipe(fds);
    Counted counted = { .fd = fds[0] };
    aio_set_fd_handler(loop->ctx, fds[0], counted_read, NULL, NULL, NULL, &counted);
    test_write_byte(fds[1]);
    while (counted.reads < 5) {
        loop_pass(loop, true);
    }
    counted.drain = true;
    while (counted.reads < 6) {
        loop_pass(loop, true);
    }
    loop_passes(loop, 3);
    g_assert_cmpint(counted.reads, ==, 6);
    remove_handler(loop, fds[0]);
    test_close(fds);
}

static void test_handler_runs_once_a_pass(Loop *loop)
{
    int fds[2];

    test_socketpair(fds);
    Counted counted = { .fd = fds[0] };
    aio_set_fd_handler(loop->ctx, fds[0], counted_read, counted_write, NULL, NULL, &counted);
    test_write_byte(fds[1]);
    loop_pass(loop, false);
    for (int i = 0; i < 10; i++) {
        int reads = counted.reads, writes = counted.writes;
        loop_pass(loop, false);
        g_assert_cmpint(counted.reads, ==, reads + 1);
        g_assert_cmpint(counted.writes, ==, writes + 1);
    }
    remove_handler(loop, fds[0]);
    test_close(fds);
}

static void test_only_what_is_ready(Loop *loop)
{
    int fds[2];

    test_socketpair(fds);
    Counted counted = { .fd = fds[0] };
    aio_set_fd_handler(loop->ctx, fds[0], counted_read, counted_write, NULL, NULL, &counted);
    while (counted.writes < 3) {
        loop_pass(loop, true);
    }
    g_assert_cmpint(counted.reads, ==, 0);

    /* The same descriptor, watched for reading only: writability is nothing any more. */
    aio_set_fd_handler(loop->ctx, fds[0], counted_read, NULL, NULL, NULL, &counted);
    counted.writes = 0;
    test_write_byte(fds[1]);
    while (counted.reads < 3) {
        loop_pass(loop, true);
    }
    g_assert_cmpint(counted.writes, ==, 0);
    remove_handler(loop, fds[0]);
    test_close(fds);
}

static void test_waits_for_one_event_only(Loop *loop)
{
    int fds[2];

    /* Always writable, but nobody asked for that: the loop sleeps instead of spinning. */
    test_socketpair(fds);
    Counted counted = { .fd = fds[0], .drain = true };
    aio_set_fd_handler(loop->ctx, fds[0], counted_read, NULL, NULL, NULL, &counted);
    loop_start(loop);
    loop_assert_asleep(loop);
    loop_stop(loop);
    g_assert_cmpint(counted.reads, ==, 0);
    remove_handler(loop, fds[0]);
    test_close(fds);
}

static void test_hang_up_of_a_pipe(Loop *loop)
{
    int fds[2];

    test_pipe(fds);
    Counted counted = { .fd = fds[0] };
    aio_set_fd_handler(loop->ctx, fds[0], counted_read, NULL, NULL, NULL, &counted);
    loop_passes(loop, 2);
    close(fds[1]);
    while (counted.reads < 2) {
        loop_pass(loop, true);
    }
    remove_handler(loop, fds[0]);
    close(fds[0]);
}

static void test_error_of_a_pipe(Loop *loop)
{
    char buffer[4096] = "";
    int fds[2];

    test_pipe(fds);
    while (write(fds[1], buffer, sizeof(buffer)) > 0) {
    }
    Counted counted = { .fd = fds[1] };
    aio_set_fd_handler(loop->ctx, fds[1], NULL, counted_write, NULL, NULL, &counted);
    loop_passes(loop, 2);
    g_assert_cmpint(counted.writes, ==, 0);
    close(fds[0]);
    while (counted.writes < 2) {
        loop_pass(loop, true);
    }
    remove_handler(loop, fds[1]);
    close(fds[1]);
}

static void test_hang_up_reaches_each_handler(Loop *loop)
{
    int fds[2];

    /* The read end of a pipe with no writer: only a hang-up, never writable. */
    test_pipe(fds);
    Counted counted = { .fd = fds[0] };
    aio_set_fd_handler(loop->ctx, fds[0], NULL, counted_write, NULL, NULL, &counted);
    close(fds[1]);
    while (counted.writes < 2) {
        loop_pass(loop, true);
    }
    aio_set_fd_handler(loop->ctx, fds[0], counted_read, counted_write, NULL, NULL, &counted);
    counted.writes = 0;
    while (counted.reads < 2 || counted.writes < 2) {
        loop_pass(loop, true);
    }
    remove_handler(loop, fds[0]);
    close(fds[0]);
}

static void test_file_that_poll_calls_always_ready(Loop *loop, int fd)
{
    int fds[2];

    g_assert_cmpint(fd, >=, 0);
    Counted counted = { .fd = fd };
    aio_set_fd_handler(loop->ctx, fd, counted_read, counted_write, NULL, NULL, &counted);
    while (counted.reads < 3 || counted.writes < 3) {
        loop_pass(loop, true);
    }

    /* Another descriptor gets its turn. */
    test_pipe(fds);
    Counted other = { .fd = fds[0], .drain = true };
    aio_set_fd_handler(loop->ctx, fds[0], counted_read, NULL, NULL, NULL, &other);
    test_write_byte(fds[1]);
    while (other.reads == 0) {
        loop_pass(loop, true);
    }

    /* Only the one that is asked for. */
    aio_set_fd_handler(loop->ctx, fd, NULL, counted_write, NULL, NULL, &counted);
    counted = (Counted){ .fd = fd };
    while (counted.writes < 3) {
        loop_pass(loop, true);
    }
    g_assert_cmpint(counted.reads, ==, 0);

    remove_handler(loop, fd);
    counted.writes = 0;
    loop_passes(loop, 3);
    g_assert_cmpint(counted.writes, ==, 0);
    close(fd);

    /* Nothing keeps the loop awake any more, and the other one still works. */
    test_write_byte(fds[1]);
    while (other.reads < 2) {
        loop_pass(loop, true);
    }
    remove_handler(loop, fds[0]);
    test_close(fds);
}

static void test_regular_file(Loop *loop)
{
    g_autofree char *name = NULL;
    g_autoptr(GError) err = NULL;
    int fd = g_file_open_tmp("test-fd-handler-XXXXXX", &name, &err);

    g_assert_no_error(err);
    unlink(name);
    test_file_that_poll_calls_always_ready(loop, fd);
}

static void test_dev_null(Loop *loop)
{
    test_file_that_poll_calls_always_ready(loop, open("/dev/null", O_RDWR | O_CLOEXEC));
}

/* ---- what epoll can't take ---- */

#define CHAIN 5

/* Epoll sets within each other, as deep as the kernel allows: one more takes chain[0] no more. It
 * is readable when @fd is. */
static void epoll_chain(int chain[CHAIN], int fd)
{
    for (int i = CHAIN - 1; i >= 0; i--) {
        struct epoll_event event = { .events = EPOLLIN };

        chain[i] = epoll_create1(EPOLL_CLOEXEC);
        g_assert_cmpint(chain[i], >=, 0);
        int ret = epoll_ctl(chain[i], EPOLL_CTL_ADD, i == CHAIN - 1 ? fd : chain[i + 1], &event);
        g_assert_cmpint(ret, ==, 0);
    }
}

static void test_nested_too_deep(Loop *loop, bool asleep)
{
    int fds[2], other_fds[2], chain[CHAIN];

    test_pipe(fds);
    test_pipe(other_fds);
    epoll_chain(chain, fds[0]);
    Counted other = { .fd = other_fds[0], .drain = true };
    aio_set_fd_handler(loop->ctx, other_fds[0], counted_read, NULL, NULL, NULL, &other);
    test_write_byte(other_fds[1]);
    while (other.reads == 0) {
        loop_pass(loop, true);
    }

    /* epoll refuses it, so everything goes over to the monitor that nothing limits. */
    Counted counted = { .fd = chain[0] };
    if (asleep) {
        loop_start(loop);
        loop_wait_until_idle(loop);
    }
    if (loop->fdmon == AIO_FDMON_EPOLL) {
        g_test_expect_message("evloop", G_LOG_LEVEL_WARNING,
                              "a context goes on with the slower fd monitor poll*");
    }
    aio_set_fd_handler(loop->ctx, chain[0], counted_read, NULL, NULL, NULL, &counted);
    g_test_assert_expected_messages();
    g_assert_cmpstr(aio_context_get_fdmon(loop->ctx), ==,
                    loop->fdmon == AIO_FDMON_EPOLL ? "poll" : loop_fdmon_name(loop));
    if (asleep) {
        loop_assert_asleep(loop);
        loop_stop(loop);
    }
    test_write_byte(fds[1]);
    while (counted.reads < 3) {
        loop_pass(loop, true);
    }
    test_write_byte(other_fds[1]);
    while (other.reads < 2) {
        loop_pass(loop, true);
    }
    remove_handler(loop, chain[0]);
    remove_handler(loop, other_fds[0]);
    counted.reads = 0;
    loop_passes(loop, 3);
    g_assert_cmpint(counted.reads, ==, 0);
    for (int i = 0; i < CHAIN; i++) {
        close(chain[i]);
    }
    test_close(fds);
    test_close(other_fds);
}

static void test_refused_descriptor(Loop *loop)
{
    test_nested_too_deep(loop, false);
}

static void test_refused_descriptor_while_asleep(Loop *loop)
{
    test_nested_too_deep(loop, true);
}

/* More than epoll_wait() or a GLib poll set is asked for at once. */
#define MANY 3000

static void test_many_ready_at_once(Loop *loop)
{
    g_autofree Counted *counted = g_new0(Counted, MANY);
    int total;

    for (int i = 0; i < MANY; i++) {
        counted[i].fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
        g_assert_cmpint(counted[i].fd, >=, 0);
        aio_set_fd_handler(loop->ctx, counted[i].fd, counted_read, NULL, NULL, NULL, &counted[i]);
    }
    /* All stay ready, and yet nobody starves. */
    do {
        loop_pass(loop, true);
        total = 0;
        for (int i = 0; i < MANY; i++) {
            total += counted[i].reads >= 2;
        }
    } while (total < MANY);
    for (int i = 0; i < MANY; i++) {
        uint64_t value;
        ssize_t n = read(counted[i].fd, &value, sizeof(value));
        g_assert_cmpint(n, ==, sizeof(value));
        counted[i].reads = 0;
    }
    loop_passes(loop, 2);
    for (int i = 0; i < MANY; i++) {
        g_assert_cmpint(counted[i].reads, ==, 0);
        remove_handler(loop, counted[i].fd);
        close(counted[i].fd);
    }
}

static void test_progress(Loop *loop)
{
    int fds[2];

    test_pipe(fds);
    Counted counted = { .fd = fds[0], .drain = true };
    aio_set_fd_handler(loop->ctx, fds[0], counted_read, NULL, NULL, NULL, &counted);
    loop_passes(loop, 2);
    g_assert_false(loop_pass(loop, false));
    test_write_byte(fds[1]);
    g_assert_true(loop_pass(loop, false));
    g_assert_false(loop_pass(loop, false));
    remove_handler(loop, fds[0]);
    test_close(fds);
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    loop_test_add("readable-descriptor", test_readable);
    loop_test_add("writable-descriptor", test_writable);
    loop_test_add("handler-that-leaves-data-unread-is-called-again", test_unread_data);
    loop_test_add("each-handler-runs-once-a-pass", test_handler_runs_once_a_pass);
    loop_test_add("only-the-handler-that-is-ready-runs", test_only_what_is_ready);
    loop_test_add("readiness-nobody-asked-for-does-not-wake", test_waits_for_one_event_only);
    loop_test_add("hang-up-reaches-the-reader", test_hang_up_of_a_pipe);
    loop_test_add("error-reaches-the-writer", test_error_of_a_pipe);
    loop_test_add("hang-up-reaches-both-handlers", test_hang_up_reaches_each_handler);
    loop_test_add("regular-file-is-always-ready", test_regular_file);
    loop_test_add("dev-null-is-always-ready", test_dev_null);
    loop_test_add("descriptor-that-epoll-refuses", test_refused_descriptor);
    loop_test_add("descriptor-that-epoll-refuses-while-asleep",
                  test_refused_descriptor_while_asleep);
    loop_test_add("thousands-ready-at-once-all-get-their-turn", test_many_ready_at_once);
    loop_test_add_aio_poll("a-handler-called-is-progress", test_progress);
    return g_test_run();
}
