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

typedef struct Share {
    int64_t waited_ns; /* as the system tells */
    int64_t off_ns;    /* it was not on the processor, as the clocks tell */
} Share;

/* Share the processor until this thread, which does not sleep meanwhile, has waited for it for a
 * while. */
static Share share_the_processor(int fd)
{
    GThread *rivals[N_RIVALS];
    int64_t deadline;
    int64_t before;
    int64_t from;
    int64_t ran;
    Share share;

    atomic_store(&stop, false);
    for (int i = 0; i < N_RIVALS; i++) {
        rivals[i] = g_thread_new("rival", be_busy, NULL);
    }
    before = run_delay_ns(fd);
    from = now(CLOCK_MONOTONIC);
    ran = now(CLOCK_THREAD_CPUTIME_ID);
    deadline = from + DEADLINE_NS;
    while (run_delay_ns(fd) < before + ENOUGH_NS) {
        g_assert_cmpint(now(CLOCK_MONOTONIC), <, deadline);
    }
    share.off_ns = now(CLOCK_MONOTONIC) - from - (now(CLOCK_THREAD_CPUTIME_ID) - ran);
    share.waited_ns = run_delay_ns(fd) - before;
    atomic_store(&stop, true);
    for (int i = 0; i < N_RIVALS; i++) {
        g_thread_join(rivals[i]);
    }
    return share;
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

/* A thread that does not sleep runs or waits. What it ran would be a third of what it waited;
 * between two readings it may be off the processor once more. */
static void what_it_did_not_run_it_waited(int fd)
{
    int64_t waited = 0;
    int64_t off = 0;

    for (int i = 0; i < 5; i++) {
        Share share = share_the_processor(fd);

        waited += share.waited_ns;
        off += share.off_ns;
    }
    g_assert_cmpint(waited * 2, >, off);
    g_assert_cmpint(off * 2, >, waited);
}

typedef struct Answers {
    int fd; /* another thread's */
    int64_t of_other;
    int64_t of_own;
} Answers;

static gpointer ask(gpointer opaque)
{
    Answers *answers = opaque;
    int fd = run_delay_open();

    answers->of_other = run_delay_ns(answers->fd);
    answers->of_own = run_delay_ns(fd);
    close(fd);
    return NULL;
}

/* And whoever asks, it is that of the one that has opened it. */
static void each_thread_has_its_own(int fd)
{
    int64_t deadline = now(CLOCK_MONOTONIC) + 2 * DEADLINE_NS;
    Answers answers = { .fd = fd };
    int64_t own;

    share_the_processor(fd);
    own = run_delay_ns(fd);
    /* A new thread may wait too, but has no time to wait for so long. */
    do {
        g_assert_cmpint(now(CLOCK_MONOTONIC), <, deadline);
        g_thread_join(g_thread_new("asks", ask, &answers));
        g_assert_cmpint(answers.of_own, >=, 0);
        g_assert_cmpint(answers.of_other, >=, own);
    } while (answers.of_own >= own);
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
