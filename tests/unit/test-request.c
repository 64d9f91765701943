/*
 * Requests of io_uring on a context: aio_add_sqe().
 */
#include "config.h"
#include "tests/unit/loop-fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BLOCK 4096

typedef struct Request {
    CqeHandler handler; /* first, so that a callback finds the rest */
    AioContext *ctx;
    int fd;
    char *buffer;
    size_t size;
    off_t offset;
    int calls;
    int32_t res;
    uint32_t flags;
    pthread_t prepared_in, called_in;
    GArray *order; /* where its index goes when it completes, or NULL */
    int index;
} Request;

static void completed(CqeHandler *handler)
{
    Request *request = (Request *)handler;

    request->calls++;
    request->res = handler->res;
    request->flags = handler->flags;
    request->called_in = pthread_self();
    if (request->order) {
        g_array_append_val(request->order, request->index);
    }
}

static void prep_read(struct io_uring_sqe *sqe, void *opaque)
{
    Request *request = opaque;

    request->prepared_in = pthread_self();
    io_uring_prep_read(sqe, request->fd, request->buffer, (unsigned)request->size,
                       (uint64_t)request->offset);
}

static void prep_write(struct io_uring_sqe *sqe, void *opaque)
{
    Request *request = opaque;

    io_uring_prep_write(sqe, request->fd, request->buffer, (unsigned)request->size,
                        (uint64_t)request->offset);
}

static void prep_fsync(struct io_uring_sqe *sqe, void *opaque)
{
    Request *request = opaque;

    io_uring_prep_fsync(sqe, request->fd, 0);
}

static void prep_nop(struct io_uring_sqe *sqe, void *opaque)
{
    Request *request = opaque;

    request->prepared_in = pthread_self();
    io_uring_prep_nop(sqe);
}

static void prep_cancel(struct io_uring_sqe *sqe, void *opaque)
{
    io_uring_prep_cancel(sqe, opaque, 0);
}

static void prep_poll_multishot(struct io_uring_sqe *sqe, void *opaque)
{
    Request *request = opaque;

    io_uring_prep_poll_multishot(sqe, request->fd, POLLIN);
}

static void request_init(Request *request, Loop *loop, int fd)
{
    *request = (Request){ .handler.cb = completed, .ctx = loop->ctx, .fd = fd };
}

/* A socketpair on which a read waits in the kernel for what comes. */
static void blocking_socketpair(int fds[2])
{
    test_socketpair(fds);
    g_assert_cmpint(fcntl(fds[0], F_SETFL, 0), ==, 0);
}

/* Have @request, which was initialised, read a byte into @byte. */
static void read_byte(Request *request, char *byte)
{
    request->buffer = byte;
    request->size = 1;
    aio_add_sqe(request->ctx, prep_read, request, &request->handler);
}

static int open_temporary(void)
{
    g_autofree char *name = NULL;
    g_autoptr(GError) err = NULL;
    int fd = g_file_open_tmp("test-request-XXXXXX", &name, &err);

    g_assert_no_error(err);
    unlink(name);
    return fd;
}

static void run_until_called(Loop *loop, const Request *request)
{
    while (request->calls == 0) {
        loop_pass(loop, true);
    }
    g_assert_cmpint(request->calls, ==, 1);
}

static void test_refused_without_a_ring(Loop *loop)
{
    Request request;

    g_assert_true(aio_has_io_uring(loop->ctx) == (loop->fdmon == AIO_FDMON_IO_URING));
    request_init(&request, loop, -1);
    aio_add_sqe(loop->ctx, prep_nop, &request, &request.handler);
    g_assert_cmpint(request.calls, ==, 0);
    run_until_called(loop, &request);
    g_assert_cmpint(request.res, ==, loop->fdmon == AIO_FDMON_IO_URING ? 0 : -ENOSYS);
}

static void test_file(Loop *loop)
{
    char out[BLOCK], in[BLOCK] = { 0 };
    Request request;
    int fd;

    fd = open_temporary();
    memset(out, 'e', sizeof(out));
    request_init(&request, loop, fd);
    request.buffer = out;
    request.size = sizeof(out);
    request.offset = BLOCK;
    aio_add_sqe(loop->ctx, prep_write, &request, &request.handler);
    run_until_called(loop, &request);
    g_assert_cmpint(request.res, ==, BLOCK);

    request.calls = 0;
    aio_add_sqe(loop->ctx, prep_fsync, &request, &request.handler);
    run_until_called(loop, &request);
    g_assert_cmpint(request.res, ==, 0);

    request.calls = 0;
    request.buffer = in;
    aio_add_sqe(loop->ctx, prep_read, &request, &request.handler);
    run_until_called(loop, &request);
    g_assert_cmpint(request.res, ==, BLOCK);
    g_assert_cmpmem(in, sizeof(in), out, sizeof(out));

    /* At the end of the file, and where there is none. */
    request.calls = 0;
    request.offset = 10 * BLOCK;
    aio_add_sqe(loop->ctx, prep_read, &request, &request.handler);
    run_until_called(loop, &request);
    g_assert_cmpint(request.res, ==, 0);
    close(fd);
    request.calls = 0;
    aio_add_sqe(loop->ctx, prep_read, &request, &request.handler);
    run_until_called(loop, &request);
    g_assert_cmpint(request.res, ==, -EBADF);
}

static void test_not_before_the_loop(Loop *loop)
{
    Request request;

    request_init(&request, loop, -1);
    aio_add_sqe(loop->ctx, prep_nop, &request, &request.handler);
    g_assert_cmpint(request.calls, ==, 0);
    run_until_called(loop, &request);
    loop_passes(loop, 3);
    g_assert_cmpint(request.calls, ==, 1);
}

/* More at once than the ring has room for, of either kind. */
#define MANY 1000

static void test_many_in_order(Loop *loop)
{
    g_autofree Request *requests = g_new(Request, MANY);
    g_autoptr(GArray) order = g_array_new(FALSE, FALSE, sizeof(int));

    for (int i = 0; i < MANY; i++) {
        request_init(&requests[i], loop, -1);
        requests[i].order = order;
        requests[i].index = i;
        aio_add_sqe(loop->ctx, prep_nop, &requests[i], &requests[i].handler);
    }
    while (order->len < MANY) {
        loop_pass(loop, true);
    }
    for (int i = 0; i < MANY; i++) {
        g_assert_cmpint(requests[i].calls, ==, 1);
        g_assert_cmpint(g_array_index(order, int, i), ==, i);
    }
}

static void test_order_of_completion(Loop *loop)
{
    g_autoptr(GArray) order = g_array_new(FALSE, FALSE, sizeof(int));
    Request requests[3];
    char bytes[3];
    int fds[3][2];

    for (int i = 0; i < 3; i++) {
        blocking_socketpair(fds[i]);
        request_init(&requests[i], loop, fds[i][0]);
        requests[i].order = order;
        requests[i].index = i;
        read_byte(&requests[i], &bytes[i]);
    }
    loop_passes(loop, 3);
    g_assert_cmpint(order->len, ==, 0);
    for (int i = 2; i >= 0; i--) {
        test_write_byte(fds[i][1]);
    }
    while (order->len < 3) {
        loop_pass(loop, true);
    }
    for (int i = 0; i < 3; i++) {
        g_assert_cmpint(g_array_index(order, int, i), ==, 2 - i);
        test_close(fds[i]);
    }
}

static void count_and_add(CqeHandler *handler)
{
    Request *request = (Request *)handler;

    if (++request->calls < MANY) {
        aio_add_sqe(request->ctx, prep_nop, request, handler);
    }
}

static void test_used_again_in_its_callback(Loop *loop)
{
    Request request;

    request_init(&request, loop, -1);
    request.handler.cb = count_and_add;
    aio_add_sqe(loop->ctx, prep_nop, &request, &request.handler);
    while (request.calls < MANY) {
        loop_pass(loop, true);
    }
    loop_passes(loop, 3);
    g_assert_cmpint(request.calls, ==, MANY);
}

static void free_itself(CqeHandler *handler)
{
    int *count = ((Request *)handler)->handler.opaque;

    g_free(handler);
    ++*count;
}

static void prep_nop_for_count(struct io_uring_sqe *sqe, void *opaque)
{
    io_uring_prep_nop(sqe);
}

static void test_freed_in_its_callback(Loop *loop)
{
    Request *request = g_new(Request, 1);
    int count = 0;

    request_init(request, loop, -1);
    request->handler.cb = free_itself;
    aio_add_sqe(loop->ctx, prep_nop_for_count, &count, &request->handler);
    while (count == 0) {
        loop_pass(loop, true);
    }
}

static void test_another_thread_wakes_the_loop(Loop *loop)
{
    loop_start(loop);
    for (int i = 0; i < 100; i++) {
        Request request;
        AioContextStats before, after;

        request_init(&request, loop, -1);
        loop_wait_until_idle(loop);
        aio_context_get_stats(loop->ctx, &before);
        aio_add_sqe(loop->ctx, prep_nop, &request, &request.handler);
        do {
            loop_wait_until_idle(loop);
            aio_context_get_stats(loop->ctx, &after);
        } while (after.request_callbacks == before.request_callbacks);
        loop_wait_until_idle(loop);
        g_assert_true(pthread_equal(request.prepared_in, loop->thread));
        g_assert_true(pthread_equal(request.called_in, loop->thread));
        g_assert_cmpint(request.calls, ==, 1);
    }
    loop_stop(loop);
}

static void *add_many(void *opaque)
{
    Request *requests = opaque;

    for (int i = 0; i < MANY; i++) {
        aio_add_sqe(requests[i].ctx, prep_nop, &requests[i], &requests[i].handler);
    }
    return NULL;
}

static void test_order_of_another_thread(Loop *loop)
{
    g_autofree Request *requests = g_new(Request, MANY);
    g_autoptr(GArray) order = g_array_new(FALSE, FALSE, sizeof(int));

    for (int i = 0; i < MANY; i++) {
        request_init(&requests[i], loop, -1);
        requests[i].order = order;
        requests[i].index = i;
    }
    loop_pass(loop, false);
    pthread_t thread = test_thread_start(add_many, requests);
    while (order->len < MANY) {
        loop_pass(loop, true);
    }
    test_thread_join(thread);
    for (int i = 0; i < MANY; i++) {
        g_assert_cmpint(g_array_index(order, int, i), ==, i);
    }
}

static void test_cancelled_by_another(Loop *loop)
{
    Request request, cancel;
    char byte;
    int fds[2];

    blocking_socketpair(fds);
    request_init(&request, loop, fds[0]);
    read_byte(&request, &byte);
    loop_passes(loop, 3);
    g_assert_cmpint(request.calls, ==, 0);
    request_init(&cancel, loop, -1);
    aio_add_sqe(loop->ctx, prep_cancel, &request.handler, &cancel.handler);
    run_until_called(loop, &request);
    g_assert_cmpint(request.res, ==, -ECANCELED);
    run_until_called(loop, &cancel);
    g_assert_cmpint(cancel.res, ==, 0);
    test_close(fds);
}

static void test_completes_often(Loop *loop)
{
    Request request, cancel;
    int fds[2];

    test_pipe(fds);
    request_init(&request, loop, fds[0]);
    aio_add_sqe(loop->ctx, prep_poll_multishot, &request, &request.handler);
    for (int i = 1; i <= 3; i++) {
        test_write_byte(fds[1]);
        while (request.calls < i) {
            loop_pass(loop, true);
        }
        g_assert_cmpint(request.calls, ==, i);
        g_assert_cmpint(request.res, ==, POLLIN);
        g_assert_true(request.flags & IORING_CQE_F_MORE);
    }
    request_init(&cancel, loop, -1);
    aio_add_sqe(loop->ctx, prep_cancel, &request.handler, &cancel.handler);
    while (request.calls < 4) {
        loop_pass(loop, true);
    }
    g_assert_cmpint(request.res, ==, -ECANCELED);
    g_assert_false(request.flags & IORING_CQE_F_MORE);
    run_until_called(loop, &cancel);
    test_close(fds);
}

static void test_cancelled_at_the_end(Loop *loop)
{
    Request never[3];
    Request left;
    char byte;
    int fds[2];

    blocking_socketpair(fds);
    for (int i = 0; i < 3; i++) {
        request_init(&never[i], loop, fds[0]);
        read_byte(&never[i], &byte);
        if (i < 2) {
            loop_passes(loop, 3);
        }
    }
    request_init(&left, loop, -1);
    aio_add_sqe(loop->ctx, prep_nop, &left, &left.handler);
    g_clear_pointer(&loop->ctx, aio_context_unref);
    for (int i = 0; i < 3; i++) {
        g_assert_cmpint(never[i].calls, ==, 1);
        g_assert_cmpint(never[i].res, ==, -ECANCELED);
    }
    g_assert_cmpint(left.calls, ==, 1);
    test_close(fds);
}

static void test_made_at_the_end(Loop *loop)
{
    Request request;

    request_init(&request, loop, -1);
    request.handler.cb = count_and_add;
    aio_add_sqe(loop->ctx, prep_nop, &request, &request.handler);
    g_clear_pointer(&loop->ctx, aio_context_unref);
    g_assert_cmpint(request.calls, ==, MANY);
}

static void add_once_more(CqeHandler *handler)
{
    Request *request = (Request *)handler;

    g_assert_cmpint(handler->res, ==, -ECANCELED);
    if (++request->calls < 3) {
        aio_add_sqe(request->ctx, prep_read, request, handler);
    }
}

/* Each cancellation has to reach what the callback of the one before it has made. */
static void test_never_ending_made_at_the_end(Loop *loop)
{
    Request request;
    char byte;
    int fds[2];

    test_socketpair(fds);
    fcntl(fds[0], F_SETFL, 0);
    request_init(&request, loop, fds[0]);
    request.handler.cb = add_once_more;
    request.buffer = &byte;
    request.size = 1;
    aio_add_sqe(loop->ctx, prep_read, &request, &request.handler);
    loop_passes(loop, 3);
    g_clear_pointer(&loop->ctx, aio_context_unref);
    g_assert_cmpint(request.calls, ==, 3);
    test_close(fds);
}

static void test_in_flight_when_its_thread_ends(Loop *loop)
{
    Request request;
    char byte;
    int fds[2];

    blocking_socketpair(fds);
    request_init(&request, loop, fds[0]);
    loop_start(loop);
    read_byte(&request, &byte);
    loop_assert_asleep(loop);
    loop_stop(loop);
    run_until_called(loop, &request);
    g_assert_cmpint(request.res, ==, -ECANCELED);
    test_close(fds);
}

static void test_counted(Loop *loop)
{
    Request request;
    AioContextStats stats;

    request_init(&request, loop, -1);
    aio_add_sqe(loop->ctx, prep_nop, &request, &request.handler);
    run_until_called(loop, &request);
    aio_context_get_stats(loop->ctx, &stats);
    g_assert_cmpuint(stats.request_callbacks, ==, 1);
}

static void test_batches(Loop *loop)
{
    g_autoptr(GError) err = NULL;
    Request requests[5];
    char bytes[5] = "abcde";
    int fds[2];

    test_pipe(fds);
    loop_pass(loop, false);
    g_assert_true(aio_context_set_aio_params(loop->ctx, 4, &err));
    g_assert_no_error(err);
    for (int i = 0; i < 5; i++) {
        request_init(&requests[i], loop, fds[1]);
        requests[i].buffer = &bytes[i];
        requests[i].size = 1;
        aio_add_sqe(loop->ctx, prep_write, &requests[i], &requests[i].handler);
    }
    /* Four were submitted, and are done; the fifth waits for the pass to end. */
    char in[6];
    g_assert_cmpint(read(fds[0], in, sizeof(in)), ==, 4);
    g_assert_cmpmem(in, 4, bytes, 4);
    run_until_called(loop, &requests[4]);
    g_assert_cmpint(read(fds[0], in, sizeof(in)), ==, 1);
    test_close(fds);
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    loop_test_add("refused-without-a-ring", test_refused_without_a_ring);
    loop_test_add_io_uring("file-written-synced-and-read", test_file);
    loop_test_add_io_uring("completes-in-the-loop-once", test_not_before_the_loop);
    loop_test_add_io_uring("more-than-the-ring-holds-in-order", test_many_in_order);
    loop_test_add_io_uring("callbacks-in-the-order-of-completion", test_order_of_completion);
    loop_test_add_io_uring("used-again-in-its-callback", test_used_again_in_its_callback);
    loop_test_add_io_uring("freed-in-its-callback", test_freed_in_its_callback);
    loop_test_add_io_uring("another-thread-wakes-the-loop", test_another_thread_wakes_the_loop);
    loop_test_add_io_uring("order-of-another-thread", test_order_of_another_thread);
    loop_test_add_io_uring("cancelled-by-another-request", test_cancelled_by_another);
    loop_test_add_io_uring("completes-more-than-once", test_completes_often);
    loop_test_add_io_uring("cancelled-when-the-context-goes", test_cancelled_at_the_end);
    loop_test_add_io_uring("made-while-the-context-goes", test_made_at_the_end);
    loop_test_add_io_uring("never-ending-made-while-the-context-goes",
                           test_never_ending_made_at_the_end);
    loop_test_add_io_uring("in-flight-when-its-thread-ends", test_in_flight_when_its_thread_ends);
    loop_test_add_io_uring("counted", test_counted);
    loop_test_add_io_uring("submitted-in-batches", test_batches);
    return g_test_run();
}
