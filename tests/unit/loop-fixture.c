/*
 * The fixture of the loop's tests. A test that hangs is ended by SIGALRM, so a wait for a
 * condition is a plain blocking loop.
 */
#include "config.h"
#include "tests/unit/loop-fixture.h"

#include "loop/main-loop.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* Far more than any test takes, under a sanitizer on a loaded machine too. */
#define TEST_DEADLINE_S 300

/* Every fd monitor, io_uring first; one that a system may lack is optional, and skipped there. */
static const struct {
    AioFdMon fdmon;
    const char *name;
    bool optional;
} fdmons[] = {
    { AIO_FDMON_IO_URING, "io_uring", true },
    { AIO_FDMON_EPOLL, "epoll", false },
    { AIO_FDMON_POLL, "poll", false },
};

typedef enum {
    WAY_AIO_POLL,
    WAY_GSOURCE,
} Way;

static const char *const way_names[] = { "aio-poll", "gsource" };

typedef struct TestCase {
    LoopTestFunc *func;
    Way way;
    size_t fdmon_index;
} TestCase;

static Loop *loop_new(Way way, AioFdMon fdmon, GError **errp)
{
    g_autofree Loop *loop = g_new0(Loop, 1);
    loop->fdmon = fdmon;
    loop->ctx = aio_context_new_with_fdmon(fdmon, errp);
    if (!loop->ctx) {
        return NULL;
    }
    if (way == WAY_GSOURCE) {
        loop->main_context = g_main_context_new();
        GSource *source = aio_get_g_source(loop->ctx);
        g_source_attach(source, loop->main_context);
        g_source_unref(source);
    }
    return g_steal_pointer(&loop);
}

Loop *loop_new_like(const Loop *loop)
{
    g_autoptr(GError) err = NULL;
    Loop *other = loop_new(loop->main_context ? WAY_GSOURCE : WAY_AIO_POLL, loop->fdmon, &err);
    g_assert_no_error(err);
    return other;
}

void loop_free(Loop *loop)
{
    if (loop->ctx) {
        aio_context_unref(loop->ctx);
    }
    if (loop->main_context) {
        g_main_context_unref(loop->main_context);
    }
    g_free(loop);
}

const char *loop_fdmon_name(const Loop *loop)
{
    size_t i = 0;

    while (fdmons[i].fdmon != loop->fdmon) {
        i++;
    }
    return fdmons[i].name;
}

bool loop_pass(Loop *loop, bool blocking)
{
    if (loop->main_context) {
        return g_main_context_iteration(loop->main_context, blocking);
    }
    return aio_poll(loop->ctx, blocking);
}

void loop_passes(Loop *loop, int n)
{
    for (int i = 0; i < n; i++) {
        loop_pass(loop, false);
    }
}

static void *loop_thread(void *opaque)
{
    Loop *loop = opaque;

    qemu_set_current_aio_context(loop->ctx);
    while (!atomic_load(&loop->stop)) {
        loop_pass(loop, true);
    }
    qemu_set_current_aio_context(NULL);
    return NULL;
}

void loop_start(Loop *loop)
{
    atomic_store(&loop->stop, false);
    loop->thread = test_thread_start(loop_thread, loop);
}

void loop_stop(Loop *loop)
{
    atomic_store(&loop->stop, true);
    aio_notify(loop->ctx);
    test_thread_join(loop->thread);
}

void loop_wait_until_idle(Loop *loop)
{
    AioActivity activity;

    do {
        sched_yield();
        aio_context_get_activity(loop->ctx, &activity);
    } while (activity.state != AIO_STATE_IDLE);
}

void loop_assert_asleep(Loop *loop)
{
    AioContextStats before, after;

    for (int attempt = 0; attempt < 100; attempt++) {
        loop_wait_until_idle(loop);
        aio_context_get_stats(loop->ctx, &before);
        for (int i = 0; i < 1000; i++) {
            sched_yield();
        }
        aio_context_get_stats(loop->ctx, &after);
        if (after.passes == before.passes) {
            return;
        }
    }
    g_error("the loop does not come to rest");
}

static void loop_test_run(const void *data)
{
    const TestCase *test = data;
    g_autoptr(GError) err = NULL;
    g_autoptr(Loop) loop = loop_new(test->way, fdmons[test->fdmon_index].fdmon, &err);

    if (!loop && fdmons[test->fdmon_index].optional) {
        g_test_skip(err->message);
        return;
    }
    g_assert_no_error(err);
    alarm(TEST_DEADLINE_S);
    test->func(loop);
    /* Most tests make this thread the home by driving the loop; take a declaration back. */
    qemu_set_current_aio_context(NULL);
}

static void loop_test_add_case(const char *name, LoopTestFunc *func, Way way, size_t fdmon_index)
{
    g_autofree char *path =
        g_strdup_printf("/%s/%s/%s", way_names[way], fdmons[fdmon_index].name, name);
    TestCase *test = g_new(TestCase, 1);

    *test = (TestCase){ .func = func, .way = way, .fdmon_index = fdmon_index };
    g_test_add_data_func_full(path, test, (GTestDataFunc)loop_test_run, g_free);
}

static void loop_test_add_way(const char *name, LoopTestFunc *func, Way way)
{
    for (size_t i = 0; i < G_N_ELEMENTS(fdmons); i++) {
        loop_test_add_case(name, func, way, i);
    }
}

void loop_test_add(const char *name, LoopTestFunc *func)
{
    loop_test_add_way(name, func, WAY_AIO_POLL);
    loop_test_add_way(name, func, WAY_GSOURCE);
}

void loop_test_add_aio_poll(const char *name, LoopTestFunc *func)
{
    loop_test_add_way(name, func, WAY_AIO_POLL);
}

void loop_test_add_gsource(const char *name, LoopTestFunc *func)
{
    loop_test_add_way(name, func, WAY_GSOURCE);
}

void loop_test_add_io_uring(const char *name, LoopTestFunc *func)
{
    for (int way = 0; way < (int)G_N_ELEMENTS(way_names); way++) {
        loop_test_add_case(name, func, (Way)way, 0);
    }
}

/* ---- the main loop ---- */

typedef struct MainLoopTestCase {
    void (*set_up)(void);
    void (*func)(void);
    void (*tear_down)(void);
    size_t fdmon_index;
} MainLoopTestCase;

static void main_loop_test_run(const void *data)
{
    const MainLoopTestCase *test = data;
    const char *fdmon = fdmons[test->fdmon_index].name;
    g_autoptr(GError) err = NULL;

    g_setenv("EVLOOP_FDMON", fdmon, TRUE);
    alarm(TEST_DEADLINE_S);
    if (!qemu_init_main_loop(&err) && fdmons[test->fdmon_index].optional) {
        g_test_skip(err->message);
        return;
    }
    g_assert_no_error(err);
    g_assert_cmpstr(aio_context_get_fdmon(qemu_get_aio_context()), ==, fdmon);
    g_assert_cmpstr(aio_context_get_fdmon(iohandler_get_aio_context()), ==, fdmon);
    if (test->set_up) {
        test->set_up();
    }
    test->func();
    if (test->tear_down) {
        test->tear_down();
    }
    qemu_cleanup_main_loop();
}

void main_loop_test_add_full(const char *name, void (*set_up)(void), void (*func)(void),
                             void (*tear_down)(void))
{
    for (size_t i = 0; i < G_N_ELEMENTS(fdmons); i++) {
        g_autofree char *path = g_strdup_printf("/main-loop/%s/%s", fdmons[i].name, name);
        MainLoopTestCase *test = g_new(MainLoopTestCase, 1);
        *test = (MainLoopTestCase){ set_up, func, tear_down, i };
        g_test_add_data_func_full(path, test, (GTestDataFunc)main_loop_test_run, g_free);
    }
}

void main_loop_test_add(const char *name, void (*func)(void))
{
    main_loop_test_add_full(name, NULL, func, NULL);
}

void main_loop_settle(void)
{
    for (int i = 0; i < 3; i++) {
        main_loop_wait(1);
    }
}

/* ---- others ---- */

static void plain_test_run(const void *data)
{
    void (*const *func)(void) = data;

    alarm(TEST_DEADLINE_S);
    (*func)();
}

void test_add(const char *path, void (*func)(void))
{
    void (**boxed)(void) = g_malloc(sizeof(*boxed));
    *boxed = func;
    g_test_add_data_func_full(path, boxed, (GTestDataFunc)plain_test_run, g_free);
}

static void *return_at_once(void *opaque)
{
    return opaque;
}

void loop_test_init(int *argc, char ***argv)
{
    struct rlimit limit;

    g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &limit), ==, 0);
    limit.rlim_cur = MIN(limit.rlim_max, 8192);
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);
    g_test_init(argc, argv, NULL);
    /* The thread sanitizer starts a thread of its own with the first of ours. It must be there
     * before a test counts threads. */
    test_thread_join(test_thread_start(return_at_once, NULL));
}

pthread_t test_thread_start(void *(*func)(void *), void *opaque)
{
    pthread_t thread;
    int ret = pthread_create(&thread, NULL, func, opaque);
    g_assert_cmpint(ret, ==, 0);
    return thread;
}

void test_thread_join(pthread_t thread)
{
    int ret = pthread_join(thread, NULL);
    g_assert_cmpint(ret, ==, 0);
}

void test_count(void *opaque)
{
    int *count = opaque;

    ++*count;
}

void test_pipe(int fds[2])
{
    int ret = pipe2(fds, O_CLOEXEC | O_NONBLOCK);
    g_assert_cmpint(ret, ==, 0);
}

void test_socketpair(int fds[2])
{
    int ret = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds);
    g_assert_cmpint(ret, ==, 0);
}

void test_close(int fds[2])
{
    close(fds[0]);
    close(fds[1]);
}

void test_write_byte(int fd)
{
    ssize_t n = write(fd, "x", 1);
    g_assert_cmpint(n, ==, 1);
}

void test_read_byte(int fd)
{
    char byte;
    ssize_t n = read(fd, &byte, 1);
    g_assert_cmpint(n, ==, 1);
}

static int count_entries(const char *folder)
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    int n = 0;

    while (g_dir_read_name(dir)) {
        n++;
    }
    return n;
}

int test_count_fds(void)
{
    return count_entries("/proc/self/fd");
}

int test_count_threads(void)
{
    return count_entries("/proc/self/task");
}

int test_scaled(int n)
{
    const char *factor = g_getenv("EVLOOP_STRESS");

    return factor ? MAX(1, (int)(n * g_ascii_strtod(factor, NULL))) : n;
}

uint32_t test_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}
