/*
 * How long a thread waited for a processor.
 */
#include "config.h"
#include "loop/run-delay.h"

#include <glib.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

static void pin(int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    g_assert_cmpint(sched_setaffinity(0, sizeof(set), &set), ==, 0);
}

typedef struct Rival {
    int cpu;
    atomic_bool stop;
} Rival;

static gpointer be_busy(gpointer opaque)
{
    Rival *rival = opaque;

    pin(rival->cpu);
    while (!atomic_load(&rival->stop)) {
    }
    return NULL;
}

/* Have another thread that never sleeps on the same processor, until this one has waited for 20 ms
 * more: each waits for about half of the time. False when the system does not tell. */
static bool wait_for_a_processor(void)
{
    Rival rival = { .cpu = sched_getcpu() };
    int64_t before = run_delay_ns();
    GThread *thread;

    if (before < 0) {
        g_test_skip("the system does not tell");
        return false;
    }
    pin(rival.cpu);
    thread = g_thread_new("rival", be_busy, &rival);
    while (run_delay_ns() < before + 20000000) {
    }
    atomic_store(&rival.stop, true);
    g_thread_join(thread);
    return true;
}

static void test_who_shares_a_processor_waits(void)
{
    int64_t before = run_delay_ns();

    if (wait_for_a_processor()) {
        g_assert_cmpint(run_delay_ns(), >=, before + 20000000);
    }
}

static gpointer ask(gpointer opaque)
{
    *(int64_t *)opaque = run_delay_ns();
    return NULL;
}

static void test_each_thread_has_its_own(void)
{
    int64_t own;
    int64_t of_thread;

    if (!wait_for_a_processor()) {
        return;
    }
    own = run_delay_ns();
    /* A new thread has waited too, but has had no time to wait for so long. */
    do {
        g_thread_join(g_thread_new("asks", ask, &of_thread));
        g_assert_cmpint(of_thread, >=, 0);
    } while (of_thread >= own);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/run-delay/who-shares-a-processor-waits", test_who_shares_a_processor_waits);
    g_test_add_func("/run-delay/each-thread-has-its-own", test_each_thread_has_its_own);
    return g_test_run();
}
