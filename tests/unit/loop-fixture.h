/*
 * What the tests of the loop share: a context driven in a given way, with a given fd monitor.
 *
 * A context must behave the same whether aio_poll() drives it or a GMainContext that its GSource
 * is attached to, and whatever tells it of ready descriptors. So a test is written once, against
 * Loop, and loop_test_add() registers it for every combination as /way/fdmon/name.
 */
#ifndef TESTS_UNIT_LOOP_FIXTURE_H
#define TESTS_UNIT_LOOP_FIXTURE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <glib.h>

#include "loop/aio.h"
#include "loop/aio-stats.h"

typedef struct Loop {
    AioContext *ctx;
    GMainContext *main_context; /* what drives @ctx; NULL when aio_poll() does */
    AioFdMon fdmon;
    pthread_t thread; /* between loop_start() and loop_stop() */
    atomic_bool stop;
} Loop;

typedef void LoopTestFunc(Loop *loop);

/* g_test_init(), and room for some thousand descriptors where the system allows them. */
void loop_test_init(int *argc, char ***argv);

/* Register @func as /way/fdmon/@name, for each way of driving a context and each fd monitor. */
void loop_test_add(const char *name, LoopTestFunc *func);

/* Register @func for each fd monitor, driven by aio_poll() only: for what only it has. */
void loop_test_add_aio_poll(const char *name, LoopTestFunc *func);

/* Register @func for each fd monitor, driven by the GSource only: for what only it has. */
void loop_test_add_gsource(const char *name, LoopTestFunc *func);

/* Register @func for the fd monitor io_uring only, in each way of driving. */
void loop_test_add_io_uring(const char *name, LoopTestFunc *func);

/* Register @func as /main-loop/fdmon/@name, for each fd monitor, to be called while there is a main
 * loop; with @set_up and @tear_down around it, which may be NULL. */
void main_loop_test_add(const char *name, void (*func)(void));
void main_loop_test_add_full(const char *name, void (*set_up)(void), void (*func)(void),
                             void (*tear_down)(void));

/* Passes of the main loop that find nothing left to do. */
void main_loop_settle(void);

/* Register @func, which needs no Loop, as @path. */
void test_add(const char *path, void (*func)(void));

/* The name of the fd monitor that @loop was made with. */
const char *loop_fdmon_name(const Loop *loop);

/* Another loop of the same kind as @loop, for tests that need two. */
Loop *loop_new_like(const Loop *loop);
void loop_free(Loop *loop);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Loop, loop_free)

/* One pass. In the GSource way, one iteration of its GMainContext. */
bool loop_pass(Loop *loop, bool blocking);

/* @n passes that do not block: what is due has happened after them, and perhaps too often. */
void loop_passes(Loop *loop, int n);

/* Drive @loop in a thread of its own, which is its home, until loop_stop(). */
void loop_start(Loop *loop);
void loop_stop(Loop *loop);

/* Return when the home thread of @loop sleeps in its wait. Any other thread. */
void loop_wait_until_idle(Loop *loop);

/* Assert that the loop, driven by another thread, comes to rest: that there is a while in which it
 * makes no pass. It can miss a loop that spins slowly, but never accuses one that does not. */
void loop_assert_asleep(Loop *loop);

/* pthread_create() and pthread_join() that can't fail. */
pthread_t test_thread_start(void *(*func)(void *), void *opaque);
void test_thread_join(pthread_t thread);

/* A callback for any kind of source: counts in the int at @opaque. */
void test_count(void *opaque);

/* Non-blocking, close-on-exec descriptors: fds[0] reads what is written to fds[1]. */
void test_pipe(int fds[2]);
void test_socketpair(int fds[2]);
void test_close(int fds[2]);
void test_write_byte(int fd);
/* Reads one byte that must be there. */
void test_read_byte(int fd);

/* The number of this process's open descriptors, and of its threads. */
int test_count_fds(void);
int test_count_threads(void);

/* @n times what the environment variable EVLOOP_STRESS says (default 1). */
int test_scaled(int n);

/* A deterministic pseudo-random number from *@state. */
uint32_t test_random(uint32_t *state);

#endif
