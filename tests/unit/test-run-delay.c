/*
 * How long a thread waited for a processor.
 */
#include "config.h"
#include "loop/run-delay.h"

#include <sched.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

/* Others that never sleep, on the processor of the test. */
#define N_RIVALS 3

#define ENOUGH_NS   (20 * (int64_t)SCALE_MS)
#define DEADLINE_NS (60 * INT64_C(1000000000))

static atomic_bool stop;

static gpointer be_busy(gpointer opaque)
{
    (void)opaque;
    while (!atomic_load(&stop)) {
    }
    return NULL;
}

static int64_t now(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

/* Be on one processor only, which threads that are made from now on inherit. */
static bool pin(void)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(sched_getcpu(), &set);
    return sched_setaffinity(0, sizeof(set), &set) == 0;
}

/* Share the processor until this thread has waited for it for a while. */
static void wait_for_a_processor(int fd)
{
    int64_t before = run_delay_ns(fd);
    int64_t deadline = now(CLOCK_MONOTONIC) + DEADLINE_NS;
    GThread *rivals[N_RIVALS];

    atomic_store(&stop, false);
    for (int i = 0; i < N_RIVALS; i++) {
        rivals[i] = g_thread_new("rival", be_busy, NULL);
    }
    while (run_delay_ns(fd) < before + ENOUGH_NS) {
        g_assert_cmpint(now(CLOCK_MONOTONIC), <, deadline);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < N_RIVALS; i++) {
        g_thread_join(rivals[i]);
    }
}

/* Run @test with a descriptor and one processor, in a thread, so that it is that thread's alone. */
static gpointer run_pinned(gpointer test)
{
    int fd = run_delay_open();

    if (fd < 0 || run_delay_ns(fd) < 0) {
        g_test_skip("the system does not tell");
    } else if (!pin()) {
        g_test_skip("threads can't be bound to a processor");
    } else {
        ((void (*)(int fd))test)(fd);
    }
    if (fd >= 0) {
        close(fd);
    }
    return NULL;
}

static void run_in_thread(gconstpointer test)
{
    g_thread_join(g_thread_new("test", run_pinned, (gpointer)test));
}

/* A thread that does not sleep runs or waits. */
static void what_it_did_not_run_it_waited(int fd)
{
    int64_t from = now(CLOCK_MONOTONIC);
    int64_t ran_before = now(CLOCK_THREAD_CPUTIME_ID);
    int64_t before = run_delay_ns(fd);
    int64_t off;
    int64_t waited;

    wait_for_a_processor(fd);
    waited = run_delay_ns(fd) - before;
    off = now(CLOCK_MONOTONIC) - from - (now(CLOCK_THREAD_CPUTIME_ID) - ran_before);
    g_assert_cmpint(waited, <=, off + SCALE_MS);
    /* Making threads and joining them is a little sleep. */
    g_assert_cmpint(2 * waited, >=, off);
}

static gpointer ask(gpointer opaque)
{
    int fd = run_delay_open();

    *(int64_t *)opaque = run_delay_ns(fd);
    close(fd);
    return NULL;
}

/* And whoever asks, it is that of the one that has opened it. */
static void each_thread_has_its_own(int fd)
{
    int64_t own;
    int64_t of_thread;

    wait_for_a_processor(fd);
    own = run_delay_ns(fd);
    /* A new thread waits too, but had no time to wait for so long. */
    do {
        g_thread_join(g_thread_new("asks", ask, &of_thread));
        g_assert_cmpint(of_thread, >=, 0);
    } while (of_thread >= own);
    g_assert_cmpint(run_delay_ns(fd), >=, own);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/run-delay/what-a-thread-did-not-run-it-waited",
                         (gconstpointer)what_it_did_not_run_it_waited, run_in_thread);
    g_test_add_data_func("/run-delay/each-thread-has-its-own",
                         (gconstpointer)each_thread_has_its_own, run_in_thread);
    return g_test_run();
}
