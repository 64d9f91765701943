/*
 * IOThreads. In the "gsource" way the IOThread has gone over to its GMainContext before the test
 * begins; the Loop of the fixture is the one of the thread that watches.
 */
#include "config.h"
#include "iothreads/iothread.h"

#include <sched.h>
#include <semaphore.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/unit/loop-fixture.h"

static IOThread *create(Loop *loop, const char *id)
{
    g_autoptr(GError) err = NULL;
    IOThread *iothread = iothread_create_with_fdmon(id, loop->fdmon, &err);

    g_assert_no_error(err);
    g_assert_nonnull(iothread);
    if (loop->main_context) {
        g_assert_nonnull(iothread_get_g_main_context(iothread));
    }
    return iothread;
}

static void nothing(void *opaque)
{
}

typedef struct Where {
    pid_t thread_id;
    AioContext *current;
    bool home;
} Where;

static void note_where(void *opaque)
{
    Where *where = opaque;

    where->thread_id = gettid();
    where->current = qemu_get_current_aio_context();
    where->home = in_aio_context_home_thread(where->current);
}

static void test_runs_in_its_thread(Loop *loop)
{
    IOThread *iothread = create(loop, "io0");
    AioContext *ctx = iothread_get_aio_context(iothread);
    Where where = { 0 };

    aio_wait_bh_oneshot(ctx, note_where, &where);
    g_assert_cmpint(where.thread_id, ==, iothread_get_thread_id(iothread));
    g_assert_cmpint(where.thread_id, !=, gettid());
    g_assert_true(where.current == ctx);
    g_assert_true(where.home);
    g_assert_false(in_aio_context_home_thread(ctx));
    iothread_destroy(iothread);
}

/* ---- the registry ---- */

static void test_found_by_id(Loop *loop)
{
    g_autoptr(GError) err = NULL;

    g_assert_null(iothread_by_id("io0"));
    IOThread *iothread = create(loop, "io0");
    g_assert_cmpstr(iothread_get_id(iothread), ==, "io0");
    g_assert_true(iothread_by_id("io0") == iothread);
    g_assert_null(iothread_by_id("io"));
    g_assert_null(iothread_by_id("io00"));

    int fds = test_count_fds();
    g_assert_null(iothread_create_with_fdmon("io0", loop->fdmon, &err));
    g_assert_nonnull(err);
    g_assert_nonnull(strstr(err->message, "io0"));
    g_assert_cmpint(test_count_fds(), ==, fds);
    g_assert_true(iothread_by_id("io0") == iothread);
    g_assert_null(iothread_create("io0", NULL));

    iothread_destroy(iothread);
    g_assert_null(iothread_by_id("io0"));
    iothread_destroy(create(loop, "io0"));
}

static void append_id(IOThread *iothread, void *opaque)
{
    GString *ids = opaque;

    g_string_append_printf(ids, "%s;", iothread_get_id(iothread));
}

static void assert_ids(const char *expected)
{
    g_autoptr(GString) ids = g_string_new("");

    iothread_foreach(append_id, ids);
    g_assert_cmpstr(ids->str, ==, expected);
}

static void test_foreach_in_order_of_creation(Loop *loop)
{
    assert_ids("");
    IOThread *second = create(loop, "2nd");
    IOThread *first = create(loop, "1st");
    IOThread *third = create(loop, "3rd");
    assert_ids("2nd;1st;3rd;");
    iothread_destroy(first);
    assert_ids("2nd;3rd;");
    first = create(loop, "1st");
    assert_ids("2nd;3rd;1st;");
    iothread_destroy(second);
    iothread_destroy(third);
    iothread_destroy(first);
    assert_ids("");
}

static void look_around(IOThread *iothread, void *opaque)
{
    int *n = opaque;

    g_assert_true(iothread_by_id(iothread_get_id(iothread)) == iothread);
    g_assert_nonnull(iothread_get_g_main_context(iothread));
    ++*n;
}

static void test_foreach_may_look_around(Loop *loop)
{
    IOThread *first = create(loop, "1st");
    IOThread *second = create(loop, "2nd");
    int n = 0;

    iothread_foreach(look_around, &n); /* would hang */
    g_assert_cmpint(n, ==, 2);
    iothread_destroy(first);
    iothread_destroy(second);
}

static void note_change(IOThread *iothread, bool comes, void *opaque)
{
    /* It is there, whether it has just come or is about to go. */
    g_assert_true(iothread_by_id(iothread_get_id(iothread)) == iothread);
    g_assert_nonnull(iothread_get_aio_context(iothread));
    g_assert_cmpint(iothread_get_thread_id(iothread), !=, 0);
    g_string_append_printf(opaque, "%c%s;", comes ? '+' : '-', iothread_get_id(iothread));
}

static void test_watched_as_they_come_and_go(Loop *loop)
{
    g_autoptr(GString) changes = g_string_new("");
    IOThread *before = create(loop, "before");
    IOThread *after;

    iothread_watch(note_change, changes);
    after = create(loop, "after");
    iothread_destroy(before);
    iothread_destroy(create(loop, "between"));
    g_assert_cmpstr(changes->str, ==, "+after;-before;+between;-between;");
    iothread_watch(NULL, NULL);
    iothread_destroy(after);
    g_assert_cmpstr(changes->str, ==, "+after;-before;+between;-between;");
}

static void assert_running(IOThread *iothread, void *opaque)
{
    g_assert_cmpint(iothread_get_thread_id(iothread), !=, 0);
}

static void *watch_all(void *opaque)
{
    atomic_bool *stop = opaque;

    while (!atomic_load(stop)) {
        iothread_foreach(assert_running, NULL);
    }
    return NULL;
}

static void test_found_only_when_it_runs(Loop *loop)
{
    atomic_bool stop = false;
    pthread_t watcher = test_thread_start(watch_all, &stop);

    for (int i = 0; i < test_scaled(200); i++) {
        iothread_destroy(create(loop, "io0"));
    }
    atomic_store(&stop, true);
    test_thread_join(watcher);
}

static void assert_thread_name(Loop *loop, const char *id, const char *expected)
{
    IOThread *iothread = create(loop, id);
    g_autofree char *name = NULL;
    g_autofree char *path =
        g_strdup_printf("/proc/self/task/%d/comm", (int)iothread_get_thread_id(iothread));

    g_assert_true(g_file_get_contents(path, &name, NULL, NULL));
    g_assert_cmpstr(g_strchomp(name), ==, expected);
    iothread_destroy(iothread);
}

static void test_thread_name(Loop *loop)
{
    assert_thread_name(loop, "io-a", "io-a");
    assert_thread_name(loop, "fifteen-bytes-x", "fifteen-bytes-x");
    assert_thread_name(loop, "much-more-than-fifteen-bytes", "much-more-than-");
}

static void test_out_of_descriptors(Loop *loop)
{
    struct rlimit limit, few;
    g_autoptr(GError) err = NULL;
    int fds = test_count_fds();

    g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &limit), ==, 0);
    /* Every number of descriptors that is not enough. */
    for (rlim_t n = 0;; n++) {
        few = (struct rlimit){ .rlim_cur = n, .rlim_max = limit.rlim_max };
        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &few), ==, 0);
        IOThread *iothread = iothread_create_with_fdmon("io0", loop->fdmon, &err);
        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);
        if (iothread) {
            iothread_destroy(iothread);
            break;
        }
        g_assert_nonnull(err);
        g_clear_error(&err);
        g_assert_null(iothread_by_id("io0"));
        g_assert_cmpint(test_count_fds(), ==, fds);
    }
    g_assert_cmpint(test_count_fds(), ==, fds);
}

/* ---- where and how it is scheduled ---- */

static void get_affinity(IOThread *iothread, cpu_set_t *set)
{
    int ret = sched_getaffinity(iothread ? iothread_get_thread_id(iothread) : 0, sizeof(*set), set);
    g_assert_cmpint(ret, ==, 0);
}

static void test_cpu_affinity(Loop *loop)
{
    static const char *const bad[] = {
        "x",  "0-", "-1",    "3-1", "0,,1", ",",        "0,",
        "0 ", " 0", "0-1-2", "+0",  "0x0",  "99999999", "18446744073709551616",
    };
    IOThread *iothread = create(loop, "io0");
    cpu_set_t all, set, before;
    g_autoptr(GError) err = NULL;
    int first = 0, last = 0;

    get_affinity(NULL, &all);
    for (int cpu = CPU_SETSIZE - 1; cpu >= 0; cpu--) {
        if (CPU_ISSET(cpu, &all)) {
            first = cpu;
            last = MAX(last, cpu);
        }
    }

    g_autofree char *one = g_strdup_printf("%d", first);
    g_assert_true(iothread_set_cpu_affinity(iothread, one, &err));
    g_assert_no_error(err);
    get_affinity(iothread, &set);
    g_assert_cmpint(CPU_COUNT(&set), ==, 1);
    g_assert_true(CPU_ISSET(first, &set));

    get_affinity(iothread, &before);
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_assert_false(iothread_set_cpu_affinity(iothread, bad[i], &err));
        g_assert_nonnull(err);
        g_assert_nonnull(strstr(err->message, bad[i]));
        g_clear_error(&err);
        get_affinity(iothread, &set);
        g_assert_true(CPU_EQUAL(&set, &before));
    }
    /* A CPU that is not there. */
    g_assert_false(iothread_set_cpu_affinity(iothread, "8000", &err));
    g_assert_nonnull(err);
    g_assert_nonnull(strstr(err->message, "8000"));
    get_affinity(iothread, &set);
    g_assert_true(CPU_EQUAL(&set, &before));

    g_autofree char *range = g_strdup_printf("%d-%d,%d", first, last, first);
    g_clear_error(&err);
    g_assert_true(iothread_set_cpu_affinity(iothread, range, &err));
    g_assert_no_error(err);
    get_affinity(iothread, &set);
    g_assert_true(CPU_EQUAL(&set, &all));

    g_assert_true(iothread_set_cpu_affinity(iothread, one, NULL));
    g_assert_true(iothread_set_cpu_affinity(iothread, "", NULL));
    get_affinity(iothread, &set);
    g_assert_true(CPU_EQUAL(&set, &all));
    get_affinity(NULL, &set);
    g_assert_true(CPU_EQUAL(&set, &all));
    iothread_destroy(iothread);
}

static int policy_of(IOThread *iothread)
{
    return sched_getscheduler(iothread_get_thread_id(iothread));
}

static void test_scheduling(Loop *loop)
{
    IOThread *iothread = create(loop, "io0");
    g_autoptr(GError) err = NULL;
    static const int bad_priorities[] = { 0, -1, 100, INT_MAX };

    /* A priority means nothing to these. */
    g_assert_true(iothread_set_scheduling(iothread, IOTHREAD_SCHED_BATCH, 50, &err));
    g_assert_no_error(err);
    g_assert_cmpint(policy_of(iothread), ==, SCHED_BATCH);
    g_assert_true(iothread_set_scheduling(iothread, IOTHREAD_SCHED_OTHER, 0, &err));
    g_assert_no_error(err);
    g_assert_cmpint(policy_of(iothread), ==, SCHED_OTHER);

    for (size_t i = 0; i < G_N_ELEMENTS(bad_priorities); i++) {
        g_autofree char *number = g_strdup_printf("%d", bad_priorities[i]);
        g_assert_false(
            iothread_set_scheduling(iothread, IOTHREAD_SCHED_RR, bad_priorities[i], &err));
        g_assert_nonnull(err);
        g_assert_nonnull(strstr(err->message, number));
        g_clear_error(&err);
        g_assert_cmpint(policy_of(iothread), ==, SCHED_OTHER);
    }

    /* Allowed or not: done in full, or refused in full. */
    if (iothread_set_scheduling(iothread, IOTHREAD_SCHED_FIFO, 1, &err)) {
        g_assert_no_error(err);
        g_assert_cmpint(policy_of(iothread), ==, SCHED_FIFO);
        struct sched_param param;
        g_assert_cmpint(sched_getparam(iothread_get_thread_id(iothread), &param), ==, 0);
        g_assert_cmpint(param.sched_priority, ==, 1);
        g_assert_true(iothread_set_scheduling(iothread, IOTHREAD_SCHED_OTHER, 0, NULL));
    } else {
        g_assert_nonnull(err);
        g_assert_cmpint(policy_of(iothread), ==, SCHED_OTHER);
    }
    g_assert_true(iothread_set_scheduling(iothread, IOTHREAD_SCHED_IDLE, 0, NULL));
    g_assert_cmpint(policy_of(iothread), ==, SCHED_IDLE);
    iothread_destroy(iothread);
}

/* ---- over to the GMainContext ---- */

static void count_atomic(void *opaque)
{
    atomic_int *count = opaque;

    atomic_fetch_add(count, 1);
}

/* Wait for @n more of them. */
static void wait_for_more(atomic_int *count, int n)
{
    int target = atomic_load(count) + n;

    while (atomic_load(count) < target) {
        sched_yield();
    }
}

static gboolean glib_count(gpointer opaque)
{
    count_atomic(opaque);
    return G_SOURCE_REMOVE;
}

static void test_switches_while_handlers_work(Loop *loop)
{
    for (int round = 0; round < 50; round++) {
        /* Set before the thread begins: a sanitizer can't see into GLib's locks. */
        atomic_int reads = 0, fires = 0, runs = 0, idles = 0;
        IOThread *iothread = create(loop, "io0");
        AioContext *ctx = iothread_get_aio_context(iothread);
        int fds[2];
        QEMUTimer *timer = aio_timer_new(ctx, QEMU_CLOCK_REALTIME, SCALE_NS, count_atomic, &fires);

        test_pipe(fds);
        test_write_byte(fds[1]);
        aio_set_fd_handler(ctx, fds[0], count_atomic, NULL, NULL, NULL, &reads);
        wait_for_more(&reads, 1);
        if (round % 2) {
            /* Asleep when it is told. */
            aio_set_fd_handler(ctx, fds[0], NULL, NULL, NULL, NULL, NULL);
            aio_wait_bh_oneshot(ctx, nothing, NULL);
        }
        timer_mod_ns(timer, qemu_clock_get_ns(QEMU_CLOCK_REALTIME) + 200000);
        aio_bh_schedule_oneshot(ctx, count_atomic, &runs);

        GMainContext *main_context = iothread_get_g_main_context(iothread);
        g_assert_nonnull(main_context);
        g_assert_true(iothread_get_g_main_context(iothread) == main_context);
        g_autoptr(GSource) idle = g_idle_source_new();
        g_source_set_callback(idle, glib_count, &idles, NULL);
        g_source_attach(idle, main_context);

        /* Idle sources give way to others, so silence the descriptor first. */
        aio_set_fd_handler(ctx, fds[0], NULL, NULL, NULL, NULL, NULL);
        while (!atomic_load(&idles) || !atomic_load(&fires) || !atomic_load(&runs)) {
            sched_yield();
        }
        aio_set_fd_handler(ctx, fds[0], count_atomic, NULL, NULL, NULL, &reads);
        wait_for_more(&reads, 2);
        aio_wait_bh_oneshot(ctx, nothing, NULL);
        g_assert_cmpint(atomic_load(&fires), ==, 1);
        g_assert_cmpint(atomic_load(&runs), ==, 1);
        g_assert_cmpint(atomic_load(&idles), ==, 1);

        aio_set_fd_handler(ctx, fds[0], NULL, NULL, NULL, NULL, NULL);
        timer_free(timer);
        iothread_destroy(iothread);
        test_close(fds);
    }
}

typedef struct Default {
    GMainContext *thread_default;
    bool owner;
} Default;

static void note_default(void *opaque)
{
    Default *noted = opaque;

    noted->thread_default = g_main_context_get_thread_default();
    noted->owner = g_main_context_is_owner(noted->thread_default);
}

typedef struct Stuck {
    sem_t inside;
    sem_t go_on;
} Stuck;

static gboolean get_stuck(gpointer opaque)
{
    Stuck *stuck = opaque;

    sem_post(&stuck->inside);
    while (sem_wait(&stuck->go_on) != 0) {
    }
    return G_SOURCE_REMOVE;
}

/* A source that GLib runs before the context's own is looked at once made the loop seem idle. */
static void test_stuck_glib_source_is_not_idle(Loop *loop)
{
    IOThread *iothread = create(loop, "io0");
    AioContext *ctx = iothread_get_aio_context(iothread);
    GMainContext *main_context = iothread_get_g_main_context(iothread);
    GSource *source = g_timeout_source_new(20);
    AioActivity activity;
    Stuck stuck;

    sem_init(&stuck.inside, 0, 0);
    sem_init(&stuck.go_on, 0, 0);
    g_source_set_priority(source, G_PRIORITY_HIGH);
    g_source_set_callback(source, get_stuck, &stuck, NULL);
    g_source_attach(source, main_context);
    while (sem_wait(&stuck.inside) != 0) {
    }
    aio_context_get_activity(ctx, &activity);
    g_assert_cmpint(activity.state, ==, AIO_STATE_LOOP);
    sem_post(&stuck.go_on);
    g_source_unref(source);
    iothread_destroy(iothread);
    sem_destroy(&stuck.inside);
    sem_destroy(&stuck.go_on);
}

static void test_timer_costs_no_descriptor(Loop *loop)
{
    IOThread *iothread = create(loop, "io0");
    AioContext *ctx = iothread_get_aio_context(iothread);
    atomic_int fires = 0;
    QEMUTimer *timer = aio_timer_new(ctx, QEMU_CLOCK_REALTIME, SCALE_NS, count_atomic, &fires);

    iothread_get_g_main_context(iothread);
    int fds = test_count_fds();
    for (int i = 1; i <= 20; i++) {
        timer_mod(timer, qemu_clock_get_ns(QEMU_CLOCK_REALTIME) + 200000);
        while (atomic_load(&fires) < i) { /* would hang */
            sched_yield();
        }
    }
    g_assert_cmpint(test_count_fds(), ==, fds);
    timer_free(timer);
    iothread_destroy(iothread);
}

static void test_main_context_is_the_threads_own(Loop *loop)
{
    IOThread *iothread = create(loop, "io0");
    GMainContext *main_context = iothread_get_g_main_context(iothread);
    Default noted = { 0 };

    /* Would hang if the thread did not go over to it. */
    while (noted.thread_default != main_context) {
        aio_wait_bh_oneshot(iothread_get_aio_context(iothread), note_default, &noted);
    }
    g_assert_true(noted.owner);
    iothread_destroy(iothread);
}

/* ---- the end ---- */

static void test_pending_oneshots_run_first(Loop *loop)
{
    enum {
        N = 1000
    };

    for (int round = 0; round < 20; round++) {
        IOThread *iothread = create(loop, "io0");
        atomic_int runs = 0;

        for (int i = 0; i < N; i++) {
            aio_bh_schedule_oneshot(iothread_get_aio_context(iothread), count_atomic, &runs);
        }
        iothread_destroy(iothread);
        g_assert_cmpint(atomic_load(&runs), ==, N);
    }
}

static void test_context_outlives_it(Loop *loop)
{
    IOThread *iothread = create(loop, "io0");
    AioContext *ctx = iothread_get_aio_context(iothread);
    atomic_int runs = 0;

    aio_context_ref(ctx);
    iothread_destroy(iothread);
    aio_bh_schedule_oneshot(ctx, count_atomic, &runs);
    g_assert_cmpint(atomic_load(&runs), ==, 0);
    aio_context_unref(ctx);
    g_assert_cmpint(atomic_load(&runs), ==, 1);
}

typedef struct Gone {
    char id[16];
    bool in_home;
    AioContext *ctx;
    atomic_int *count;
} Gone;

static void is_gone(void *opaque)
{
    Gone *gone = opaque;

    g_assert_null(iothread_by_id(gone->id));
    gone->in_home = in_aio_context_home_thread(gone->ctx);
    atomic_fetch_add(gone->count, 1);
}

static void test_destroyed_without_waiting(Loop *loop)
{
    enum {
        N = 20
    };
    Gone gone[N];
    atomic_int count = 0;
    int threads = test_count_threads(), fds = test_count_fds();

    loop_passes(loop, 2);
    for (int i = 0; i < N; i++) {
        gone[i] = (Gone){ .ctx = loop->ctx, .count = &count };
        g_snprintf(gone[i].id, sizeof(gone[i].id), "io%d", i);
        create(loop, gone[i].id);
    }
    for (int i = 0; i < N; i++) {
        iothread_destroy_async(iothread_by_id(gone[i].id), loop->ctx, is_gone, &gone[i]);
    }
    /* Nobody has driven the loop since: all ids are still taken. */
    for (int i = 0; i < N; i++) {
        g_assert_nonnull(iothread_by_id(gone[i].id));
    }
    while (atomic_load(&count) < N) {
        loop_pass(loop, true);
    }
    for (int i = 0; i < N; i++) {
        g_assert_true(gone[i].in_home);
    }
    g_assert_cmpint(test_count_fds(), ==, fds);
    while (test_count_threads() > threads) {
        sched_yield();
    }
}

static void test_destroyed_towards_another_iothread(Loop *loop)
{
    IOThread *other = create(loop, "other");
    atomic_int count = 0;
    Gone gone = { .id = "io0", .ctx = iothread_get_aio_context(other), .count = &count };

    iothread_destroy_async(create(loop, "io0"), iothread_get_aio_context(other), is_gone, &gone);
    while (atomic_load(&count) == 0) {
        sched_yield();
    }
    iothread_destroy(other);
    g_assert_true(gone.in_home);
}

static void destroy_own(void *opaque)
{
    Gone *gone = opaque;

    iothread_destroy_async(iothread_by_id(gone->id), gone->ctx, is_gone, gone);
}

static void test_destroys_itself_without_waiting(Loop *loop)
{
    IOThread *iothread = create(loop, "io0");
    atomic_int count = 0;
    Gone gone = { .id = "io0", .ctx = loop->ctx, .count = &count };

    aio_bh_schedule_oneshot(iothread_get_aio_context(iothread), destroy_own, &gone);
    while (atomic_load(&count) == 0) {
        loop_pass(loop, true);
    }
}

static void test_nothing_leaks(void)
{
    int threads = test_count_threads(), fds = test_count_fds();

    for (int i = 0; i < test_scaled(10000); i++) {
        g_autoptr(GError) err = NULL;
        IOThread *iothread = iothread_create("short-lived", &err);
        g_assert_no_error(err);
        if (i % 4 == 0) {
            iothread_get_g_main_context(iothread);
        }
        if (i % 2 == 0) {
            aio_wait_bh_oneshot(iothread_get_aio_context(iothread), nothing, NULL);
        }
        iothread_destroy(iothread);
    }
    g_assert_cmpint(test_count_fds(), ==, fds);
    /* A thread that was joined can be listed for a moment more. */
    while (test_count_threads() > threads) {
        sched_yield();
    }
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    loop_test_add("runs-in-its-thread", test_runs_in_its_thread);
    loop_test_add("found-by-id", test_found_by_id);
    loop_test_add("foreach-in-order-of-creation", test_foreach_in_order_of_creation);
    loop_test_add("watched-as-they-come-and-go", test_watched_as_they_come_and_go);
    loop_test_add("thread-name", test_thread_name);
    loop_test_add_aio_poll("out-of-descriptors", test_out_of_descriptors);
    loop_test_add("cpu-affinity", test_cpu_affinity);
    loop_test_add("scheduling", test_scheduling);
    loop_test_add("switches-while-handlers-work", test_switches_while_handlers_work);
    loop_test_add("main-context-is-the-threads-own", test_main_context_is_the_threads_own);
    loop_test_add("pending-oneshots-run-first", test_pending_oneshots_run_first);
    loop_test_add("context-outlives-it", test_context_outlives_it);
    loop_test_add("destroyed-without-waiting", test_destroyed_without_waiting);
    loop_test_add("destroyed-towards-another-iothread", test_destroyed_towards_another_iothread);
    loop_test_add("destroys-itself-without-waiting", test_destroys_itself_without_waiting);
    test_add("/iothread/nothing-leaks", test_nothing_leaks);
    loop_test_add_aio_poll("foreach-may-look-around", test_foreach_may_look_around);
    loop_test_add_aio_poll("found-only-when-it-runs", test_found_only_when_it_runs);
    loop_test_add_gsource("stuck-glib-source-is-not-idle", test_stuck_glib_source_is_not_idle);
    loop_test_add_gsource("timer-costs-no-descriptor", test_timer_costs_no_descriptor);
    return g_test_run();
}
