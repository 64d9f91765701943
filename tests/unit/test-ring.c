/*
 * What an fd monitor with a ring could get wrong: work left in its queues, and what is left of
 * threads that drove the loop before. All monitors have to do the same.
 */
#include "config.h"
#include "tests/unit/loop-fixture.h"

#include <errno.h>
#include <liburing.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

/* ---- what the loop asks of the kernel ---- */

static atomic_bool setup_fails;
static _Atomic int n_setups;
static _Atomic unsigned n_submitted, n_wide_cancellations;

/* ld --wrap chooses the names. */
int __real_io_uring_queue_init_params(unsigned entries, struct io_uring *uring,
                                      struct io_uring_params *params);
int __wrap_io_uring_queue_init_params(unsigned entries, struct io_uring *uring,
                                      struct io_uring_params *params);
int __real_io_uring_submit(struct io_uring *uring);
int __wrap_io_uring_submit(struct io_uring *uring);

int __wrap_io_uring_queue_init_params(unsigned entries, struct io_uring *uring,
                                      struct io_uring_params *params)
{
    atomic_fetch_add(&n_setups, 1);
    return atomic_load(&setup_fails) ? -EMFILE
                                     : __real_io_uring_queue_init_params(entries, uring, params);
}

int __wrap_io_uring_submit(struct io_uring *uring)
{
    for (unsigned i = uring->sq.sqe_head; i != uring->sq.sqe_tail; i++) {
        const struct io_uring_sqe *sqe = &uring->sq.sqes[i & uring->sq.ring_mask];

        if (sqe->opcode == IORING_OP_ASYNC_CANCEL && sqe->cancel_flags & IORING_ASYNC_CANCEL_ALL) {
            atomic_fetch_add(&n_wide_cancellations, 1);
        }
        atomic_fetch_add(&n_submitted, 1);
    }
    return __real_io_uring_submit(uring);
}

/* ---- the tests ---- */

typedef struct Reader {
    Loop *loop;
    int fds[2];
    _Atomic int calls;
    CqeHandler request;
} Reader;

static void read_byte(void *opaque)
{
    Reader *reader = opaque;

    test_read_byte(reader->fds[0]);
    atomic_fetch_add(&reader->calls, 1);
}

static void reader_watch(Reader *reader)
{
    aio_set_fd_handler(reader->loop->ctx, reader->fds[0], read_byte, NULL, NULL, NULL, reader);
}

static void reader_init(Reader *reader, Loop *loop)
{
    *reader = (Reader){ .loop = loop };
    test_pipe(reader->fds);
}

static void reader_cleanup(Reader *reader)
{
    aio_set_fd_handler(reader->loop->ctx, reader->fds[0], NULL, NULL, NULL, NULL, NULL);
    test_close(reader->fds);
}

static void *drive_undeclared(void *opaque)
{
    loop_passes(opaque, 2);
    return NULL;
}

/* What the kernel has to say of a thread that has ended must not keep its successor awake. */
static void test_successor_sleeps(Loop *loop)
{
    Reader reader;

    reader_init(&reader, loop);
    reader_watch(&reader);
    test_thread_join(test_thread_start(drive_undeclared, loop));
    test_write_byte(reader.fds[1]);
    loop_start(loop);
    while (atomic_load(&reader.calls) < 1) {
        sched_yield();
    }
    loop_assert_asleep(loop);
    loop_stop(loop);
    reader_cleanup(&reader);
}

typedef struct LateSource {
    GSource source;
    void (*func)(Reader *reader);
    Reader *reader;
    bool done;
} LateSource;

static gboolean late_prepare(GSource *source, gint *timeout_ms)
{
    LateSource *self = (LateSource *)source;

    if (!self->done) {
        self->done = true;
        self->func(self->reader);
    }
    *timeout_ms = -1;
    return FALSE;
}

static gboolean late_check(GSource *source)
{
    (void)source;
    return FALSE;
}

/* Call @func after the context has announced that it may sleep, as GLib calls a later source's
 * prepare, and wait for what it asks for. */
static void run_after_prepare(Reader *reader, void (*func)(Reader *reader))
{
    static GSourceFuncs funcs = { .prepare = late_prepare, .check = late_check };
    GSource *source = g_source_new(&funcs, sizeof(LateSource));

    ((LateSource *)source)->func = func;
    ((LateSource *)source)->reader = reader;
    loop_passes(reader->loop, 2);
    g_source_attach(source, reader->loop->main_context);
    while (atomic_load(&reader->calls) == 0) {
        loop_pass(reader->loop, true);
    }
    g_source_destroy(source);
    g_source_unref(source);
}

static void test_watch_after_prepare(Loop *loop)
{
    Reader reader;

    reader_init(&reader, loop);
    test_write_byte(reader.fds[1]);
    run_after_prepare(&reader, reader_watch);
    reader_cleanup(&reader);
}

static void prep_nop(struct io_uring_sqe *sqe, void *opaque)
{
    (void)opaque;
    io_uring_prep_nop(sqe);
}

static void completed(CqeHandler *handler)
{
    Reader *reader = (Reader *)((char *)handler - offsetof(Reader, request));

    atomic_fetch_add(&reader->calls, 1);
}

static void reader_request(Reader *reader)
{
    reader->request.cb = completed;
    aio_add_sqe(reader->loop->ctx, prep_nop, NULL, &reader->request);
}

static void test_request_after_prepare(Loop *loop)
{
    Reader reader = { .loop = loop };

    run_after_prepare(&reader, reader_request);
}

static void prep_making_another(struct io_uring_sqe *sqe, void *opaque)
{
    reader_request(opaque);
    io_uring_prep_nop(sqe);
}

/* The one that is made is submitted at once, and must not take the unfinished one along. */
static void test_request_made_while_one_is_filled(Loop *loop)
{
    Reader reader = { .loop = loop };
    Reader outer_reader = { .loop = loop, .request = { .cb = completed } };

    if (!aio_has_io_uring(loop->ctx)) {
        return;
    }
    g_assert_true(aio_context_set_aio_params(loop->ctx, 1, NULL));
    loop_pass(loop, false);
    aio_add_sqe(loop->ctx, prep_making_another, &reader, &outer_reader.request);
    while (atomic_load(&reader.calls) + atomic_load(&outer_reader.calls) < 2) {
        loop_pass(loop, true);
    }
    g_assert_cmpint(atomic_load(&reader.calls), ==, 1);
    g_assert_cmpint(reader.request.res, ==, 0);
    g_assert_cmpint(outer_reader.request.res, ==, 0);
}

static void prep_with_flags(struct io_uring_sqe *sqe, void *opaque)
{
    io_uring_prep_nop(sqe);
    sqe->flags |= *(const unsigned char *)opaque;
}

/* They would hold up handlers, or the end of the context. */
static void test_flags_refused(Loop *loop)
{
    static const unsigned char flags[] = { IOSQE_IO_DRAIN, IOSQE_IO_LINK, IOSQE_IO_HARDLINK,
                                           IOSQE_CQE_SKIP_SUCCESS };

    for (size_t i = 0; aio_has_io_uring(loop->ctx) && i < G_N_ELEMENTS(flags); i++) {
        Reader reader = { .loop = loop, .request.cb = completed };

        aio_add_sqe(loop->ctx, prep_with_flags, (void *)&flags[i], &reader.request);
        while (atomic_load(&reader.calls) == 0) {
            loop_pass(loop, true);
        }
        g_assert_cmpint(reader.request.res, ==, -EINVAL);
    }
}

/* More than its queues hold: polls are handed over in parts, completions overflow. */
static void test_many_ready_at_once(Loop *loop)
{
    enum {
        N = 1000
    };
    g_autofree Reader *readers = g_new0(Reader, N);
    int calls;

    for (int i = 0; i < N; i++) {
        reader_init(&readers[i], loop);
        reader_watch(&readers[i]);
    }
    loop_passes(loop, 2);
    for (int round = 1; round <= 3; round++) {
        for (int i = 0; i < N; i++) {
            test_write_byte(readers[i].fds[1]);
        }
        do {
            loop_pass(loop, true);
            calls = 0;
            for (int i = 0; i < N; i++) {
                calls += atomic_load(&readers[i].calls);
            }
        } while (calls < round * N);
        loop_passes(loop, 2);
        for (int i = 0; i < N; i++) {
            g_assert_cmpint(atomic_load(&readers[i].calls), ==, round);
        }
    }
    for (int i = 0; i < N; i++) {
        reader_cleanup(&readers[i]);
    }
}

/* Open @n eventfds, or as many as the system lets us. */
static Reader *open_eventfds(Loop *loop, int *n)
{
    struct rlimit limit;
    Reader *readers;

    g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &limit), ==, 0);
    limit.rlim_cur = limit.rlim_max;
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);
    *n = (int)MIN((rlim_t)*n, limit.rlim_max - 100);
    readers = g_new0(Reader, *n);
    for (int i = 0; i < *n; i++) {
        int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

        g_assert_cmpint(fd, >=, 0);
        readers[i] = (Reader){ .loop = loop, .fds = { fd, fd } };
    }
    return readers;
}

static void close_eventfds(Reader *readers, int n)
{
    for (int i = 0; i < n; i++) {
        aio_set_fd_handler(readers[i].loop->ctx, readers[i].fds[0], NULL, NULL, NULL, NULL, NULL);
        close(readers[i].fds[0]);
    }
    g_free(readers);
}

static void read_eventfd(void *opaque)
{
    Reader *reader = opaque;
    eventfd_t value;

    g_assert_cmpint(eventfd_read(reader->fds[0], &value), ==, 0);
    atomic_fetch_add(&reader->calls, 1);
}

/*
 * The polls of one thread are cancelled when it gives the context up, and those of a ring that
 * grows too. Once a single request did that, which the kernel took seconds for: it went over all of
 * them again for each.
 */
static void test_many_are_handed_over(Loop *loop)
{
    int n = 10000;
    g_autofree Reader *readers = NULL;

    atomic_store(&n_submitted, 0);
    atomic_store(&n_wide_cancellations, 0);
    qemu_set_current_aio_context(loop->ctx);
    readers = open_eventfds(loop, &n);
    for (int i = 0; i < n; i++) {
        aio_set_fd_handler(loop->ctx, readers[i].fds[0], read_eventfd, NULL, NULL, NULL,
                           &readers[i]);
    }
    loop_passes(loop, 3);
    qemu_set_current_aio_context(NULL);
    loop_start(loop);
    loop_wait_until_idle(loop);
    for (int i = 0; i < n; i++) {
        g_assert_cmpint(eventfd_write(readers[i].fds[0], 1), ==, 0);
    }
    for (int i = 0; i < n; i++) {
        while (atomic_load(&readers[i].calls) == 0) {
            sched_yield();
        }
    }
    loop_assert_asleep(loop);
    loop_stop(loop);
    for (int i = 0; i < n; i++) {
        g_assert_cmpint(atomic_load(&readers[i].calls), ==, 1);
    }
    close_eventfds(g_steal_pointer(&readers), n);
    g_assert_cmpuint(atomic_load(&n_wide_cancellations), ==, 0);
    /* Armed and cancelled by either thread, armed again after the event; and once more in the
     * larger ring. */
    g_assert_cmpuint(atomic_load(&n_submitted), <, 8 * (unsigned)n);
}

/* A larger ring that the system refuses is not asked for at every wait. */
static void test_growing_fails(Loop *loop)
{
    int n = 500;
    g_autofree Reader *readers = open_eventfds(loop, &n);

    atomic_store(&setup_fails, true);
    atomic_store(&n_setups, 0);
    for (int i = 0; i < n; i++) {
        aio_set_fd_handler(loop->ctx, readers[i].fds[0], read_eventfd, NULL, NULL, NULL,
                           &readers[i]);
        g_assert_cmpint(eventfd_write(readers[i].fds[0], 1), ==, 0);
        loop_pass(loop, true);
    }
    loop_passes(loop, 100);
    atomic_store(&setup_fails, false);
    for (int i = 0; i < n; i++) {
        g_assert_cmpint(atomic_load(&readers[i].calls), ==, 1);
    }
    if (!loop->main_context) {
        g_assert_true((atomic_load(&n_setups) > 0) == (loop->fdmon == AIO_FDMON_IO_URING));
    }
    g_assert_cmpint(atomic_load(&n_setups), <=, 3);
    close_eventfds(g_steal_pointer(&readers), n);
}

static void *drive_for_a_byte(void *opaque)
{
    Reader *reader = opaque;
    int calls = atomic_load(&reader->calls);

    test_write_byte(reader->fds[1]);
    while (atomic_load(&reader->calls) == calls) {
        loop_pass(reader->loop, true);
    }
    return NULL;
}

static void read_what_there_is(void *opaque)
{
    Reader *reader = opaque;
    char byte;

    if (read(reader->fds[0], &byte, 1) == 1) {
        atomic_fetch_add(&reader->calls, 1);
    }
}

/* With a limit of no descriptors poll(2) refuses to look at any, again and again. */
static void test_looking_is_refused(Loop *loop)
{
    struct rlimit before, none;
    Reader reader;

    if (loop->main_context || loop->fdmon == AIO_FDMON_POLL) {
        g_test_skip("it waits by poll(2) itself");
        return;
    }
    reader_init(&reader, loop);
    aio_set_fd_handler(loop->ctx, reader.fds[0], read_what_there_is, NULL, NULL, NULL, &reader);
    loop_passes(loop, 2);
    g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &before), ==, 0);
    none = before;
    none.rlim_cur = 0;
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &none), ==, 0);
    for (int n = 1; n <= 100; n++) {
        test_write_byte(reader.fds[1]);
        while (atomic_load(&reader.calls) < n) {
            loop_pass(loop, true);
        }
    }
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &before), ==, 0);
    loop_passes(loop, 3);
    test_write_byte(reader.fds[1]);
    while (atomic_load(&reader.calls) < 101) {
        loop_pass(loop, true);
    }
    reader_cleanup(&reader);
}

/* One thread after another, none of which says that it gives the context up. */
static void test_home_moves(Loop *loop)
{
    Reader idle, reader;

    reader_init(&idle, loop);
    reader_init(&reader, loop);
    reader_watch(&idle);
    reader_watch(&reader);
    for (int i = 0; i < 20; i++) {
        test_thread_join(test_thread_start(drive_for_a_byte, &reader));
        /* This thread is one of them. */
        drive_for_a_byte(&idle);
    }
    g_assert_cmpint(atomic_load(&reader.calls), ==, 20);
    g_assert_cmpint(atomic_load(&idle.calls), ==, 20);
    reader_cleanup(&idle);
    reader_cleanup(&reader);
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    loop_test_add("a loop sleeps when the thread that drove it before has ended",
                  test_successor_sleeps);
    loop_test_add_gsource("a handler that is added after the context's prepare is waited for",
                          test_watch_after_prepare);
    loop_test_add_gsource("a request that is made after the context's prepare is submitted",
                          test_request_after_prepare);
    loop_test_add("a request that is made while another is being filled",
                  test_request_made_while_one_is_filled);
    loop_test_add("a request can't tie others to it, or end unseen", test_flags_refused);
    loop_test_add("more handlers are ready at once than the queues hold", test_many_ready_at_once);
    loop_test_add("thousands of handlers follow the context to another thread",
                  test_many_are_handed_over);
    loop_test_add("more handlers than the ring was made for, when no larger one can be had",
                  test_growing_fails);
    loop_test_add("what the system refuses to look at is taken for ready", test_looking_is_refused);
    loop_test_add("handlers follow the context from thread to thread", test_home_moves);
    return g_test_run();
}
