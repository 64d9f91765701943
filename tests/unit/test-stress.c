/*
 * Loops that wake one another, so that wake-ups and sleeps overlap in every way.
 */
#include "config.h"

#include <sched.h>

#include "tests/unit/loop-fixture.h"

typedef struct Ring {
    Loop *loops[3];
    atomic_int left;
} Ring;

static void pass_on(void *opaque)
{
    Ring *ring = opaque;
    int left = atomic_fetch_sub(&ring->left, 1);

    if (left > 0) {
        aio_bh_schedule_oneshot(ring->loops[left % 3]->ctx, pass_on, ring);
    }
}

static void test_loops_in_a_ring(Loop *loop)
{
    Ring ring = { .loops = { loop, loop_new_like(loop), loop_new_like(loop) } };

    atomic_store(&ring.left, test_scaled(100000));
    for (int i = 0; i < 3; i++) {
        loop_start(ring.loops[i]);
    }
    /* Several at once. */
    for (int i = 0; i < 3; i++) {
        aio_bh_schedule_oneshot(ring.loops[i]->ctx, pass_on, &ring);
    }
    while (atomic_load(&ring.left) > -3) {
        sched_yield();
    }
    for (int i = 0; i < 3; i++) {
        loop_stop(ring.loops[i]);
    }
    loop_free(ring.loops[1]);
    loop_free(ring.loops[2]);
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    loop_test_add("loops-in-a-ring", test_loops_in_a_ring);
    return g_test_run();
}
