/*
 * Asking a thread where it is: whatever locks it holds, and when it is gone or does not answer.
 */
#include "config.h"

#include <link.h>
#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/backtrace.h"
#include "tests/unit/loop-fixture.h"

#define HOUR_NS (3600 * INT64_C(1000000000))

typedef struct Asked {
    pthread_t thread;
    pid_t id;
    sem_t there; /* what is to be asked about has begun */
    sem_t go_on;
    atomic_bool stop;
} Asked;

static void asked_start(Asked *asked, void *(*func)(void *opaque))
{
    *asked = (Asked){ 0 };
    sem_init(&asked->there, 0, 0);
    sem_init(&asked->go_on, 0, 0);
    asked->thread = test_thread_start(func, asked);
    while (sem_wait(&asked->there) != 0) {
    }
}

static void asked_join(Asked *asked)
{
    asked->stop = true;
    sem_post(&asked->go_on);
    test_thread_join(asked->thread);
    sem_destroy(&asked->there);
    sem_destroy(&asked->go_on);
}

/* The signal interrupts it. */
static __attribute__((noinline)) void wait_in_this_function(Asked *asked)
{
    asked->id = gettid();
    sem_post(&asked->there);
    while (sem_wait(&asked->go_on) != 0) {
    }
}

static void *waits(void *opaque)
{
    wait_in_this_function(opaque);
    return NULL;
}

static bool has_function(json_object *backtrace, const char *function)
{
    g_assert_nonnull(backtrace);
    for (size_t i = 0; i < json_object_array_length(backtrace); i++) {
        const char *frame = json_object_get_string(json_object_array_get_idx(backtrace, i));

        if (g_str_has_prefix(frame, function)) {
            return true;
        }
    }
    return false;
}

static void assert_waits(const Asked *asked)
{
    json_object *backtrace = backtrace_of_thread(asked->id, HOUR_NS);

    g_assert_true(has_function(backtrace, "wait_in_this_function+"));
    json_object_put(backtrace);
}

static void test_it_is_where_the_thread_is(void)
{
    Asked asked;

    asked_start(&asked, waits);
    for (int i = 0; i < 3; i++) {
        assert_waits(&asked);
    }
    asked_join(&asked);
}

static int wait_with_the_lock(struct dl_phdr_info *info, size_t size, void *opaque)
{
    wait_in_this_function(opaque);
    return 1;
}

static void *holds_the_lock_of_the_loader(void *opaque)
{
    dl_iterate_phdr(wait_with_the_lock, opaque);
    return NULL;
}

static void test_a_thread_that_holds_the_lock_of_the_loader_answers(void)
{
    Asked asked;

    asked_start(&asked, holds_the_lock_of_the_loader);
    assert_waits(&asked);
    asked_join(&asked);
}

static void *allocates(void *opaque)
{
    Asked *asked = opaque;

    asked->id = gettid();
    sem_post(&asked->there);
    while (!asked->stop) {
        /* So large that the allocator takes its lock. */
        void *volatile memory = malloc(5000);

        free(memory);
    }
    return NULL;
}

static void test_a_thread_that_allocates_memory_answers(void)
{
    Asked asked[2];

    for (int i = 0; i < 2; i++) {
        asked_start(&asked[i], allocates);
    }
    for (int i = 0; i < test_scaled(2000); i++) {
        json_object *backtrace = backtrace_of_thread(asked[i % 2].id, HOUR_NS);

        g_assert_true(json_object_array_length(backtrace) > 0);
        json_object_put(backtrace);
    }
    for (int i = 0; i < 2; i++) {
        asked_join(&asked[i]);
    }
}

static void *ends(void *opaque)
{
    Asked *asked = opaque;

    asked->id = gettid();
    sem_post(&asked->there);
    return NULL;
}

static void test_a_thread_that_ends_keeps_nobody_from_asking_another(void)
{
    Asked asked;
    Asked other;

    asked_start(&other, waits);
    for (int i = 0; i < test_scaled(200); i++) {
        asked_start(&asked, ends);
        json_object_put(backtrace_of_thread(asked.id, 1000));
        asked_join(&asked);
        /* The kernel may know it a moment longer than who has joined it. */
        g_assert_null(backtrace_of_thread(asked.id, 1000));
        assert_waits(&other);
    }
    asked_join(&other);
}

static void *blocks_signals(void *opaque)
{
    Asked *asked = opaque;
    sigset_t all;
    sigset_t saved;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &saved);
    wait_in_this_function(asked);
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
    wait_in_this_function(asked);
    return NULL;
}

static void test_a_late_answer_is_nobodys(void)
{
    Asked late;
    Asked other;

    asked_start(&other, waits);
    asked_start(&late, blocks_signals);
    for (int i = 0; i < 3; i++) {
        g_assert_null(backtrace_of_thread(late.id, 1000));
        assert_waits(&other);
    }
    sem_post(&late.go_on);
    while (sem_wait(&late.there) != 0) {
    }
    /* It has had three signals. */
    assert_waits(&other);
    assert_waits(&late);
    asked_join(&late);
    asked_join(&other);
}

int main(int argc, char **argv)
{
    /* All threads share the lock of one, or those of the test would not meet the asker. */
    mallopt(M_ARENA_MAX, 1);
    loop_test_init(&argc, &argv);
    backtrace_init();
    test_add("/backtrace/where-it-is", test_it_is_where_the_thread_is);
    test_add("/backtrace/lock-of-the-loader",
             test_a_thread_that_holds_the_lock_of_the_loader_answers);
    test_add("/backtrace/allocating", test_a_thread_that_allocates_memory_answers);
    test_add("/backtrace/ending", test_a_thread_that_ends_keeps_nobody_from_asking_another);
    test_add("/backtrace/late", test_a_late_answer_is_nobodys);
    return g_test_run();
}
