/*
 * Readiness is a level, whatever a monitor hears of: a handler is called as long as its descriptor
 * is ready, and never when it is not. Here the descriptors block, so that a call for nothing hangs.
 */
#include "config.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <unistd.h>

#include "tests/unit/loop-fixture.h"

/* More than any monitor needs to take a descriptor for one that is always ready. */
#define LONG 100

typedef struct Reader {
    Loop *loop;
    int fds[2];
    _Atomic int calls;
    int sends; /* how many bytes the callback still sends to itself */
    bool nested;
} Reader;

static void read_one(void *opaque)
{
    Reader *reader = opaque;

    test_read_byte(reader->fds[0]);
    atomic_fetch_add(&reader->calls, 1);
    if (reader->sends > 0) {
        reader->sends--;
        test_write_byte(reader->fds[1]);
    }
}

static void watch(Reader *reader, IOHandler *io_read)
{
    aio_set_fd_handler(reader->loop->ctx, reader->fds[0], io_read, NULL, NULL, NULL, reader);
}

static void reader_init(Reader *reader, Loop *loop, IOHandler *io_read)
{
    *reader = (Reader){ .loop = loop };
    test_pipe(reader->fds);
    fcntl(reader->fds[0], F_SETFL, 0);
    watch(reader, io_read);
}

static void reader_cleanup(Reader *reader)
{
    watch(reader, NULL);
    test_close(reader->fds);
}

static void write_bytes(Reader *reader, int n)
{
    for (int i = 0; i < n; i++) {
        test_write_byte(reader->fds[1]);
    }
}

/* It is called until there have been @n calls, and no more. */
static void assert_calls(Reader *reader, int n)
{
    while (atomic_load(&reader->calls) < n) {
        loop_pass(reader->loop, true);
    }
    loop_passes(reader->loop, 3);
    g_assert_cmpint(atomic_load(&reader->calls), ==, n);
}

static void test_left_over(Loop *loop)
{
    Reader reader;

    reader_init(&reader, loop, read_one);
    for (int n = 1; n <= LONG; n += 11) {
        atomic_store(&reader.calls, 0);
        write_bytes(&reader, n);
        assert_calls(&reader, n);
    }
    reader_cleanup(&reader);
}

static void test_more_comes_in_the_callback(Loop *loop)
{
    Reader reader;

    reader_init(&reader, loop, read_one);
    for (int n = 1; n <= LONG; n += 11) {
        atomic_store(&reader.calls, 0);
        reader.sends = n - 1;
        write_bytes(&reader, 1);
        assert_calls(&reader, n);
    }
    reader_cleanup(&reader);
}

static void read_what_comes(void *opaque)
{
    Reader *reader = opaque;

    read_one(reader);
    test_write_byte(reader->fds[1]);
    test_read_byte(reader->fds[0]);
}

/* A monitor hears of what came in the callback, which has read it. */
static void test_comes_and_goes_in_the_callback(Loop *loop)
{
    Reader reader;

    reader_init(&reader, loop, read_what_comes);
    loop_passes(loop, 2);
    for (int n = 1; n <= LONG; n++) {
        write_bytes(&reader, 1);
        assert_calls(&reader, n);
    }
    reader_cleanup(&reader);
}

static void send_byte(void *opaque)
{
    Reader *reader = opaque;

    test_write_byte(reader->fds[1]);
}

/* A timer comes after the callbacks of descriptors in a pass. */
static void test_more_comes_after_the_callback(Loop *loop)
{
    Reader reader;

    reader_init(&reader, loop, read_one);
    for (int n = 1; n <= 2 * LONG; n += 2) {
        QEMUTimer *timer =
            aio_timer_new(loop->ctx, QEMU_CLOCK_REALTIME, SCALE_NS, send_byte, &reader);

        timer_mod_ns(timer, 0);
        write_bytes(&reader, 1);
        assert_calls(&reader, n + 1);
        timer_free(timer);
    }
    reader_cleanup(&reader);
}

/* Ready for long, then silent: it lets the loop sleep, and what comes is seen. */
static void test_silent_after_long(Loop *loop)
{
    Reader reader;

    reader_init(&reader, loop, read_one);
    loop_start(loop);
    for (int n = LONG; n <= 5 * LONG; n += LONG) {
        write_bytes(&reader, LONG - 1);
        while (atomic_load(&reader.calls) < n - 1) {
            loop_wait_until_idle(loop);
        }
        loop_assert_asleep(loop);
        write_bytes(&reader, 1);
        while (atomic_load(&reader.calls) < n) {
            loop_wait_until_idle(loop);
        }
    }
    loop_assert_asleep(loop);
    loop_stop(loop);
    g_assert_cmpint(atomic_load(&reader.calls), ==, 5 * LONG);
    reader_cleanup(&reader);
}

/* Make @reader one that has been ready for long, and is. */
static void make_busy(Reader *reader)
{
    write_bytes(reader, LONG);
    while (atomic_load(&reader->calls) < LONG / 2) {
        loop_pass(reader->loop, true);
    }
    reader->sends = 0;
}

static void must_not_be_called(void *opaque)
{
    g_assert_not_reached();
}

static void test_removed_when_busy(Loop *loop)
{
    Reader reader;
    int calls;

    reader_init(&reader, loop, read_one);
    make_busy(&reader);
    watch(&reader, NULL);
    calls = atomic_load(&reader.calls);
    loop_passes(loop, 3);
    g_assert_cmpint(atomic_load(&reader.calls), ==, calls);
    /* Nothing holds the file: its other end finds that nobody reads it any more. */
    close(reader.fds[0]);
    struct pollfd pollfd = { .fd = reader.fds[1] };
    g_assert_cmpint(poll(&pollfd, 1, 0), ==, 1);
    g_assert_true(pollfd.revents & POLLERR);
    close(reader.fds[1]);
    loop_passes(loop, 3);
}

static void test_replaced_when_busy(Loop *loop)
{
    Reader reader;

    reader_init(&reader, loop, read_one);
    make_busy(&reader);
    watch(&reader, read_what_comes);
    assert_calls(&reader, LONG);
    /* What was only written to is silent, and what has a reader again is seen. */
    aio_set_fd_handler(loop->ctx, reader.fds[0], NULL, must_not_be_called, NULL, NULL, &reader);
    write_bytes(&reader, 1);
    loop_passes(loop, 3);
    watch(&reader, read_one);
    assert_calls(&reader, LONG + 1);
    reader_cleanup(&reader);
}

static void test_busy_in_another_thread(Loop *loop)
{
    Reader reader;

    reader_init(&reader, loop, read_one);
    qemu_set_current_aio_context(loop->ctx);
    make_busy(&reader);
    qemu_set_current_aio_context(NULL);
    loop_start(loop);
    while (atomic_load(&reader.calls) < LONG) {
        loop_wait_until_idle(loop);
    }
    loop_assert_asleep(loop);
    write_bytes(&reader, 1);
    while (atomic_load(&reader.calls) < LONG + 1) {
        loop_wait_until_idle(loop);
    }
    loop_stop(loop);
    reader_cleanup(&reader);
}

static void read_in_nested_pass(void *opaque)
{
    Reader *reader = opaque;
    int calls = atomic_load(&reader->calls) + 1;

    read_one(reader);
    if (!reader->nested && calls % 3 == 2) {

        reader->nested = true;
        while (atomic_load(&reader->calls) < calls + 1) {
            aio_poll(reader->loop->ctx, true);
        }
        reader->nested = false;
    }
}

/* Its callback waits for its own next call, as at any other time. */
static void test_nested(Loop *loop)
{
    Reader reader;

    reader_init(&reader, loop, read_in_nested_pass);
    write_bytes(&reader, 3 * LONG);
    assert_calls(&reader, 3 * LONG);
    atomic_store(&reader.calls, 0);
    for (int n = 1; n <= LONG; n += 3) {
        reader.sends = 2;
        write_bytes(&reader, 1);
        assert_calls(&reader, n + 2);
    }
    reader_cleanup(&reader);
}

/* More completions than a ring has room for, of bytes that are read before they are looked at. */
static void test_many_come_and_go(Loop *loop)
{
    enum {
        N = 600
    };
    g_autofree Reader *readers = g_new0(Reader, N);

    for (int i = 0; i < N; i++) {
        reader_init(&readers[i], loop, read_what_comes);
    }
    for (int round = 1; round <= 3; round++) {
        for (int i = 0; i < N; i++) {
            write_bytes(&readers[i], 1);
        }
        for (int i = 0; i < N; i++) {
            assert_calls(&readers[i], round);
        }
    }
    for (int i = 0; i < N; i++) {
        reader_cleanup(&readers[i]);
    }
}

/* ---- removed while an event of it comes in ---- */

typedef struct Sender {
    int fd;
    atomic_int wanted, done; /* rounds */
} Sender;

static void *send_when_asked(void *opaque)
{
    Sender *sender = opaque;

    for (int round = 1; round <= LONG; round++) {
        while (atomic_load(&sender->wanted) < round) {
            sched_yield();
        }
        test_write_byte(sender->fd);
        atomic_store(&sender->done, round);
    }
    return NULL;
}

/* The home thread waits in user space, so that the kernel has not told it of the event yet. The
 * other end of the socket sees whether the loop keeps it open. */
static void test_removed_while_an_event_comes_in(Loop *loop)
{
    Sender sender = { 0 };
    pthread_t thread = test_thread_start(send_when_asked, &sender);

    for (int round = 1; round <= LONG; round++) {
        struct pollfd pollfd;
        int calls = 0;
        int fds[2];

        test_socketpair(fds);
        aio_set_fd_handler(loop->ctx, fds[0], test_count, NULL, NULL, NULL, &calls);
        loop_pass(loop, false);
        sender.fd = fds[1];
        atomic_store(&sender.wanted, round);
        while (atomic_load(&sender.done) < round) {
        }
        aio_set_fd_handler(loop->ctx, fds[0], NULL, NULL, NULL, NULL, NULL);
        close(fds[0]);
        pollfd = (struct pollfd){ .fd = fds[1] };
        g_assert_cmpint(poll(&pollfd, 1, -1), ==, 1);
        g_assert_cmpint(pollfd.revents & POLLHUP, !=, 0);
        close(fds[1]);
        loop_passes(loop, 2);
        g_assert_cmpint(calls, ==, 0);
    }
    test_thread_join(thread);
}

/* ---- read while it is written ---- */

enum {
    N_WRITTEN = 200000
};

static void *write_all(void *opaque)
{
    Reader *reader = opaque;

    for (int i = 0; i < N_WRITTEN; i++) {
        while (write(reader->fds[1], "", 1) != 1) {
            sched_yield();
        }
    }
    return NULL;
}

static void read_much(void *opaque)
{
    Reader *reader = opaque;
    char bytes[4096];
    ssize_t n = read(reader->fds[0], bytes, sizeof(bytes));

    /* Here it does not block, so that the test fails and does not hang. */
    g_assert_cmpint(n, >, 0);
    atomic_fetch_add(&reader->calls, (int)n);
}

static void test_read_while_it_is_written(Loop *loop)
{
    Reader reader;
    pthread_t thread;

    reader_init(&reader, loop, read_much);
    fcntl(reader.fds[0], F_SETFL, O_NONBLOCK);
    thread = test_thread_start(write_all, &reader);
    while (atomic_load(&reader.calls) < N_WRITTEN) {
        loop_pass(loop, true);
    }
    test_thread_join(thread);
    reader_cleanup(&reader);
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    loop_test_add("what-a-callback-leaves-is-reported-again", test_left_over);
    loop_test_add("what-comes-during-a-callback-is-reported", test_more_comes_in_the_callback);
    loop_test_add("what-comes-and-goes-during-a-callback-is-not-reported",
                  test_comes_and_goes_in_the_callback);
    loop_test_add("what-comes-after-a-callback-is-reported", test_more_comes_after_the_callback);
    loop_test_add("ready-for-long-then-silent", test_silent_after_long);
    loop_test_add("removed-when-ready-for-long", test_removed_when_busy);
    loop_test_add("replaced-when-ready-for-long", test_replaced_when_busy);
    loop_test_add("ready-for-long-and-driven-by-another-thread", test_busy_in_another_thread);
    loop_test_add("its-callback-waits-for-its-next-call", test_nested);
    loop_test_add("hundreds-come-and-go-during-callbacks", test_many_come_and_go);
    loop_test_add("removed-while-an-event-comes-in", test_removed_while_an_event_comes_in);
    loop_test_add("not-called-for-what-it-has-read", test_read_while_it_is_written);
    return g_test_run();
}
