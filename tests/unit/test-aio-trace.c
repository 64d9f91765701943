/*
 * The trace of a loop: what is recorded, how records lie in each other, and reading a ring that is
 * being written.
 */
#include "config.h"

#include <sched.h>
#include <semaphore.h>

#include "loop/aio-trace.h"
#include "loop/main-loop.h"
#include "loop/thread-pool.h"
#include "tests/unit/loop-fixture.h"

#define ENOUGH 1000

static void first(void *opaque)
{
    test_count(opaque);
}

static void second(void *opaque)
{
    test_count(opaque);
}

static AioTrace *trace_begin(AioContext *ctx, size_t n_records)
{
    AioTrace *trace = aio_trace_new(n_records);

    g_assert_nonnull(trace);
    aio_context_set_trace(ctx, trace);
    return trace;
}

/* How many records of @kind with the name @name (NULL: without one) there are. */
static int count_records(AioTrace *trace, AioTraceKind kind, const char *name)
{
    size_t n;
    uint64_t n_lost;
    g_autofree AioTraceRecord *records = aio_trace_copy(trace, &n, &n_lost);
    int count = 0;

    for (size_t i = 0; i < n; i++) {
        count += records[i].kind == kind && g_strcmp0(records[i].name, name) == 0;
    }
    return count;
}

/* They are in order, and each lies within those that were open when it began. */
static void assert_nested(const AioTraceRecord *records, size_t n)
{
    int64_t ends[16];
    size_t depth = 0;

    for (size_t i = 0; i < n; i++) {
        const AioTraceRecord *record = &records[i];
        int64_t end = record->begin_ns + record->duration_ns;

        g_assert_cmpint(record->duration_ns, >=, 0);
        g_assert_true(i == 0 || records[i - 1].begin_ns <= record->begin_ns);
        g_assert_true((record->name != NULL) == (record->kind > AIO_TRACE_PASS));
        while (depth > 0 && ends[depth - 1] <= record->begin_ns) {
            depth--;
        }
        g_assert_true(depth == 0 || end <= ends[depth - 1]);
        g_assert_cmpint(depth, <, G_N_ELEMENTS(ends));
        ends[depth++] = end;
    }
}

static size_t assert_well_formed(AioTrace *trace, uint64_t *n_lost)
{
    size_t n;
    g_autofree AioTraceRecord *records = aio_trace_copy(trace, &n, n_lost);

    assert_nested(records, n);
    return n;
}

/* ---- what is recorded ---- */

static int work(void *opaque)
{
    return 0;
}

static void work_is_done(void *opaque, int result)
{
    test_count(opaque);
}

static void read_byte(void *opaque)
{
    int *fds = opaque;

    test_read_byte(fds[0]);
}

static void test_each_kind_of_callback(Loop *loop)
{
    g_autoptr(AioTrace) trace = trace_begin(loop->ctx, ENOUGH);
    int fds[2], runs = 0, fires = 0, jobs = 0;
    QEMUTimer *timer = aio_timer_new(loop->ctx, QEMU_CLOCK_REALTIME, SCALE_NS, second, &fires);
    QEMUBH *bh = aio_bh_new(loop->ctx, first, &runs);
    uint64_t n_lost;

    test_pipe(fds);
    aio_set_fd_handler(loop->ctx, fds[0], read_byte, NULL, NULL, NULL, fds);
    test_write_byte(fds[1]);
    timer_mod(timer, 0);
    qemu_bh_schedule(bh);
    aio_bh_schedule_oneshot(loop->ctx, second, &runs);
    thread_pool_submit(loop->ctx, work, work_is_done, &jobs);
    while (runs < 2 || fires < 1 || jobs < 1 ||
           count_records(trace, AIO_TRACE_FD, "read_byte") == 0) {
        loop_pass(loop, true);
    }
    loop_passes(loop, 2); /* the next ends the pass */

    g_assert_cmpint(count_records(trace, AIO_TRACE_BH, "first"), ==, 1);
    g_assert_cmpint(count_records(trace, AIO_TRACE_ONESHOT_BH, "second"), ==, 1);
    g_assert_cmpint(count_records(trace, AIO_TRACE_TIMER, "second"), ==, 1);
    g_assert_cmpint(count_records(trace, AIO_TRACE_FD, "read_byte"), ==, 1);
    g_assert_cmpint(count_records(trace, AIO_TRACE_JOB, "work_is_done"), ==, 1);
    g_assert_cmpint(count_records(trace, AIO_TRACE_PASS, NULL), >, 0);
    g_assert_cmpuint(assert_well_formed(trace, &n_lost), ==, aio_trace_count(trace));
    g_assert_cmpuint(n_lost, ==, 0);
    aio_set_fd_handler(loop->ctx, fds[0], NULL, NULL, NULL, NULL, NULL);
    timer_free(timer);
    qemu_bh_delete(bh);
    test_close(fds);
}

static void test_a_descriptor_is_told(Loop *loop)
{
    g_autoptr(AioTrace) trace = trace_begin(loop->ctx, ENOUGH);
    g_autofree AioTraceRecord *records = NULL;
    int fds[2];
    size_t n, found = 0;
    uint64_t n_lost;

    test_pipe(fds);
    aio_set_fd_handler(loop->ctx, fds[0], read_byte, NULL, NULL, NULL, fds);
    test_write_byte(fds[1]);
    while (count_records(trace, AIO_TRACE_FD, "read_byte") == 0) {
        loop_pass(loop, true);
    }
    records = aio_trace_copy(trace, &n, &n_lost);
    for (size_t i = 0; i < n; i++) {
        g_assert_cmpint(records[i].fd, ==, records[i].kind == AIO_TRACE_FD ? fds[0] : -1);
        found += records[i].kind == AIO_TRACE_FD;
    }
    g_assert_cmpuint(found, ==, 1);
    aio_set_fd_handler(loop->ctx, fds[0], NULL, NULL, NULL, NULL, NULL);
    test_close(fds);
}

static void test_a_wait_is_recorded_when_it_is_over(Loop *loop)
{
    g_autoptr(AioTrace) trace = trace_begin(loop->ctx, ENOUGH);
    int runs = 0;

    loop_start(loop);
    loop_wait_until_idle(loop);
    aio_bh_schedule_oneshot(loop->ctx, first, &runs);
    while (count_records(trace, AIO_TRACE_ONESHOT_BH, "first") == 0) {
        sched_yield();
    }
    g_assert_cmpint(count_records(trace, AIO_TRACE_WAIT, NULL), >, 0);
    loop_stop(loop);
}

typedef struct Nested {
    Loop *loop;
    int runs;
} Nested;

static void run_nested_pass(void *opaque)
{
    Nested *nested = opaque;

    aio_bh_schedule_oneshot(nested->loop->ctx, first, &nested->runs);
    aio_poll(nested->loop->ctx, false);
}

static void run_nested_loop(void *opaque)
{
    Nested *nested = opaque;

    aio_bh_schedule_oneshot(nested->loop->ctx, first, &nested->runs);
    while (nested->runs == 0) {
        loop_pass(nested->loop, true);
    }
}

/* The record of the callback @outer contains that of @inner, and a pass between the two. */
static void assert_contains(AioTrace *trace, const char *outer, const char *inner)
{
    size_t n;
    uint64_t n_lost;
    g_autofree AioTraceRecord *records = aio_trace_copy(trace, &n, &n_lost);
    size_t outer_at = 0;
    size_t inner_at = 0;
    int passes = 0;

    assert_nested(records, n);
    for (size_t i = 0; i < n; i++) {
        if (g_strcmp0(records[i].name, outer) == 0) {
            outer_at = i;
        } else if (g_strcmp0(records[i].name, inner) == 0) {
            inner_at = i;
        } else if (outer_at > 0 && inner_at == 0) {
            passes += records[i].kind == AIO_TRACE_PASS;
        }
    }
    g_assert_cmpuint(outer_at, >, 0);
    g_assert_cmpuint(inner_at, >, outer_at);
    g_assert_cmpint(passes, >, 0);
    g_assert_cmpint(records[inner_at].begin_ns + records[inner_at].duration_ns, <=,
                    records[outer_at].begin_ns + records[outer_at].duration_ns);
}

static void check_nesting(Loop *loop, QEMUBHFunc *outer, const char *name)
{
    g_autoptr(AioTrace) trace = trace_begin(loop->ctx, ENOUGH);
    Nested nested = { .loop = loop };

    aio_bh_schedule_oneshot_full(loop->ctx, outer, &nested, name);
    while (count_records(trace, AIO_TRACE_ONESHOT_BH, name) == 0) {
        loop_pass(loop, true);
    }
    loop_passes(loop, 2);
    assert_contains(trace, name, "first");
}

static void test_a_nested_pass_lies_in_its_callback(Loop *loop)
{
    check_nesting(loop, run_nested_pass, "run_nested_pass");
}

static void test_a_nested_loop_lies_in_its_callback(Loop *loop)
{
    check_nesting(loop, run_nested_loop, "run_nested_loop");
}

static void test_both_contexts_of_the_main_loop(void)
{
    g_autoptr(AioTrace) trace = trace_begin(qemu_get_aio_context(), ENOUGH);
    int runs = 0;
    uint64_t n_lost;

    aio_bh_schedule_oneshot(qemu_get_aio_context(), first, &runs);
    aio_bh_schedule_oneshot(iohandler_get_aio_context(), second, &runs);
    while (runs < 2) {
        main_loop_wait(false);
    }
    main_loop_settle();
    g_assert_cmpint(count_records(trace, AIO_TRACE_ONESHOT_BH, "first"), ==, 1);
    g_assert_cmpint(count_records(trace, AIO_TRACE_ONESHOT_BH, "second"), ==, 1);
    assert_well_formed(trace, &n_lost);
}

/* ---- the ring ---- */

static void test_the_newest_are_kept_and_the_others_counted(Loop *loop)
{
    g_autoptr(AioTrace) trace = trace_begin(loop->ctx, 8);
    int runs = 0;
    uint64_t n_lost;

    for (int i = 0; i < 100; i++) {
        aio_bh_schedule_oneshot(loop->ctx, first, &runs);
    }
    for (int i = 0; i < 6; i++) {
        aio_bh_schedule_oneshot(loop->ctx, second, &runs);
    }
    while (runs < 106) {
        loop_pass(loop, true);
    }
    g_assert_cmpuint(assert_well_formed(trace, &n_lost), ==, 8);
    g_assert_cmpuint(n_lost, ==, aio_trace_count(trace) - 8);
    g_assert_cmpuint(n_lost, >=, 98);
    g_assert_cmpint(count_records(trace, AIO_TRACE_ONESHOT_BH, "second"), ==, 6);
}

static void test_a_ring_of_one(Loop *loop)
{
    g_autoptr(AioTrace) trace = trace_begin(loop->ctx, 1);
    int runs = 0;
    uint64_t n_lost;

    g_assert_cmpuint(assert_well_formed(trace, &n_lost), ==, 0);
    g_assert_cmpuint(n_lost, ==, 0);
    aio_bh_schedule_oneshot(loop->ctx, first, &runs);
    while (runs < 1) {
        loop_pass(loop, true);
    }
    g_assert_cmpuint(assert_well_formed(trace, &n_lost), ==, 1);
    g_assert_cmpint(count_records(trace, AIO_TRACE_ONESHOT_BH, "first"), ==, 1);
}

static void test_nothing_is_recorded_any_more(Loop *loop)
{
    g_autoptr(AioTrace) trace = trace_begin(loop->ctx, ENOUGH);
    int runs = 0;
    uint64_t count;

    loop_passes(loop, 2);
    count = aio_trace_count(trace);
    g_assert_cmpuint(count, >, 0);
    aio_context_set_trace(loop->ctx, NULL);
    aio_bh_schedule_oneshot(loop->ctx, first, &runs);
    while (runs < 1) {
        loop_pass(loop, true);
    }
    g_assert_cmpuint(aio_trace_count(trace), ==, count);
}

static void test_a_trace_outlives_its_context(Loop *loop)
{
    Loop *other = loop_new_like(loop);
    g_autoptr(AioTrace) trace = trace_begin(other->ctx, ENOUGH);
    int runs = 0;

    aio_bh_schedule_oneshot(other->ctx, first, &runs);
    while (runs < 1) {
        loop_pass(other, true);
    }
    /* One that has not run yet runs at the end. */
    aio_bh_schedule_oneshot(other->ctx, second, &runs);
    loop_free(other);
    g_assert_cmpint(runs, ==, 2);
    g_assert_cmpint(count_records(trace, AIO_TRACE_ONESHOT_BH, "first"), ==, 1);
    g_assert_cmpint(count_records(trace, AIO_TRACE_ONESHOT_BH, "second"), ==, 1);
}

/* ---- other threads ---- */

typedef struct Spinner {
    Loop *loop;
    QEMUBH *bh;
    int runs;
    atomic_bool stop;
} Spinner;

static void spin(void *opaque)
{
    Spinner *spinner = opaque;

    if (!atomic_load(&spinner->stop)) {
        aio_bh_schedule_oneshot(spinner->loop->ctx, first, &spinner->runs);
        qemu_bh_schedule(spinner->bh);
    }
}

static void spinner_start(Spinner *spinner, Loop *loop)
{
    *spinner = (Spinner){ .loop = loop };
    spinner->bh = aio_bh_new(loop->ctx, spin, spinner);
    qemu_bh_schedule(spinner->bh);
    loop_start(loop);
}

static void spinner_stop(Spinner *spinner)
{
    atomic_store(&spinner->stop, true);
    loop_stop(spinner->loop);
    loop_passes(spinner->loop, 3); /* what it left behind counts in the spinner */
    qemu_bh_delete(spinner->bh);
}

static void test_copying_while_it_is_overwritten(Loop *loop)
{
    g_autoptr(AioTrace) trace = trace_begin(loop->ctx, 64);
    Spinner spinner;
    uint64_t n_lost;
    uint64_t last = 0;

    spinner_start(&spinner, loop);
    for (int i = 0; i < test_scaled(300) || aio_trace_count(trace) < 100000; i++) {
        size_t n = assert_well_formed(trace, &n_lost);

        g_assert_cmpuint(n, <=, 64);
        g_assert_cmpuint(n_lost + n, >=, last);
        g_assert_cmpuint(n_lost + n, <=, aio_trace_count(trace));
        last = n_lost + n;
    }
    spinner_stop(&spinner);
    g_assert_cmpuint(assert_well_formed(trace, &n_lost), ==, 64);
}

static void test_switching_it_on_and_off_while_the_loop_runs(Loop *loop)
{
    Spinner spinner;

    spinner_start(&spinner, loop);
    for (int i = 0; i < test_scaled(300); i++) {
        g_autoptr(AioTrace) trace = trace_begin(loop->ctx, 1 + (size_t)(i % 50));
        uint64_t n_lost;

        while (i % 3 == 0 && aio_trace_count(trace) < 100) {
            sched_yield();
        }
        assert_well_formed(trace, &n_lost);
        if (i % 2 == 0) {
            aio_context_set_trace(loop->ctx, NULL);
            assert_well_formed(trace, &n_lost);
        }
    }
    spinner_stop(&spinner);
}

typedef struct Blocked {
    sem_t inside;
    sem_t go_on;
} Blocked;

static void block_here(void *opaque)
{
    Blocked *blocked = opaque;

    sem_post(&blocked->inside);
    sem_wait(&blocked->go_on);
}

static void test_a_stuck_loop_holds_up_nothing(Loop *loop)
{
    Blocked blocked;
    uint64_t n_lost;

    sem_init(&blocked.inside, 0, 0);
    sem_init(&blocked.go_on, 0, 0);
    loop_start(loop);
    aio_bh_schedule_oneshot(loop->ctx, block_here, &blocked);
    sem_wait(&blocked.inside);
    {
        g_autoptr(AioTrace) dropped = trace_begin(loop->ctx, ENOUGH);
        g_autoptr(AioTrace) trace = trace_begin(loop->ctx, ENOUGH);

        g_assert_cmpuint(assert_well_formed(trace, &n_lost), ==, 0);
        sem_post(&blocked.go_on);
        while (count_records(trace, AIO_TRACE_ONESHOT_BH, "block_here") == 0) {
            sched_yield();
        }
        g_assert_cmpuint(aio_trace_count(dropped), ==, 0);
    }
    loop_stop(loop);
    sem_destroy(&blocked.inside);
    sem_destroy(&blocked.go_on);
}

static void test_there_can_only_be_so_many(void)
{
    g_autoptr(GPtrArray) traces = g_ptr_array_new_with_free_func((GDestroyNotify)aio_trace_unref);

    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < AIO_TRACE_MAX; i++) {
            AioTrace *trace = aio_trace_new(1);

            g_assert_nonnull(trace);
            g_ptr_array_add(traces, trace);
        }
        g_assert_null(aio_trace_new(1));
        g_ptr_array_set_size(traces, 0);
    }
}

static void test_there_is_no_memory_for_too_many_records(void)
{
    g_assert_null(aio_trace_new(SIZE_MAX));
    g_assert_null(aio_trace_new((size_t)G_MAXINT + 1));
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    loop_test_add("each-kind-of-callback", test_each_kind_of_callback);
    loop_test_add("a-descriptor-is-told", test_a_descriptor_is_told);
    loop_test_add("a-wait-is-recorded-when-it-is-over", test_a_wait_is_recorded_when_it_is_over);
    loop_test_add("a-nested-pass-lies-in-its-callback", test_a_nested_pass_lies_in_its_callback);
    loop_test_add_gsource("a-nested-loop-lies-in-its-callback",
                          test_a_nested_loop_lies_in_its_callback);
    main_loop_test_add("both-contexts", test_both_contexts_of_the_main_loop);
    loop_test_add("the-newest-are-kept", test_the_newest_are_kept_and_the_others_counted);
    loop_test_add("a-ring-of-one", test_a_ring_of_one);
    loop_test_add("nothing-any-more", test_nothing_is_recorded_any_more);
    loop_test_add("outlives-its-context", test_a_trace_outlives_its_context);
    loop_test_add("copying-while-overwritten", test_copying_while_it_is_overwritten);
    loop_test_add("on-and-off-while-running", test_switching_it_on_and_off_while_the_loop_runs);
    loop_test_add("a-stuck-loop", test_a_stuck_loop_holds_up_nothing);
    test_add("/trace/so-many", test_there_can_only_be_so_many);
    test_add("/trace/no-memory", test_there_is_no_memory_for_too_many_records);
    return g_test_run();
}
