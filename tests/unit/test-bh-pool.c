/*
 * The memory of oneshots: given back after a burst and by threads that end, and shared by no two.
 */
#include "config.h"

#include <string.h>

#include "tests/unit/loop-fixture.h"

#include "loop/bh-pool.h"

#define BURST 1000000

typedef struct Node {
    BHSlab *slab;
    struct Node *next;
    int number;
} Node;

static Node *node_new(Node *next, int number)
{
    BHSlab *slab;
    Node *node = bh_pool_get(&slab);

    *node = (Node){ .slab = slab, .next = next, .number = number };
    return node;
}

/* Give all back, and assert that they were in order and that nobody has written to them. */
static void free_all(Node *node, int n)
{
    while (node) {
        Node *next = node->next;
        BHSlab *slab = node->slab;

        g_assert_cmpint(node->number, ==, --n);
        memset(node, 0xff, BH_POOL_NODE_SIZE);
        bh_pool_put(slab, 1);
        node = next;
    }
    g_assert_cmpint(n, ==, 0);
}

static void test_burst_gives_its_memory_back(void)
{
    Node *nodes = NULL;

    for (int i = 0; i < BURST; i++) {
        nodes = node_new(nodes, i);
    }
    g_assert_cmpuint(bh_pool_count_slabs(), >=, BURST / BH_POOL_NODES_PER_SLAB);
    free_all(nodes, BURST);
    /* And the one that this thread is cutting from. */
    g_assert_cmpuint(bh_pool_count_slabs(), <=, BH_POOL_MAX_EMPTY + 1);
}

static void test_few_at_a_time_take_no_more_memory(void)
{
    unsigned n_slabs;

    free_all(node_new(NULL, 0), 1);
    n_slabs = bh_pool_count_slabs();
    for (int i = 0; i < 100000; i++) {
        Node *nodes = NULL;

        for (int j = 0; j < 3; j++) {
            nodes = node_new(nodes, j);
        }
        free_all(nodes, 3);
    }
    g_assert_cmpuint(bh_pool_count_slabs(), <=, n_slabs + 1);
}

/* ---- loops and threads ---- */

typedef struct Poster {
    AioContext *ctx;
    int count; /* home thread of ctx */
    int rounds;
} Poster;

static void *post_one(void *opaque)
{
    Poster *poster = opaque;

    aio_bh_schedule_oneshot(poster->ctx, test_count, &poster->count);
    return NULL;
}

static void test_threads_that_end_leave_nothing(Loop *loop)
{
    Poster poster = { .ctx = loop->ctx };
    unsigned n_slabs;

    post_one(&poster);
    loop_passes(loop, 2);
    n_slabs = bh_pool_count_slabs();
    for (int i = 0; i < 1000; i++) {
        test_thread_join(test_thread_start(post_one, &poster));
        loop_passes(loop, 2);
    }
    g_assert_cmpint(poster.count, ==, 1001);
    g_assert_cmpuint(bh_pool_count_slabs(), <=, n_slabs + 1);
}

static pthread_key_t key;

/* Of a thread that has posted: it comes again, after the pool's own destructor. */
static void post_at_the_end(void *opaque)
{
    Poster *poster = opaque;

    post_one(poster);
    if (++poster->rounds < 3) {
        pthread_setspecific(key, poster);
    }
}

static void *post_and_at_the_end(void *opaque)
{
    pthread_setspecific(key, opaque);
    return post_one(opaque);
}

static void test_posts_from_a_destructor(Loop *loop)
{
    Poster poster = { .ctx = loop->ctx };
    unsigned n_slabs = 0;

    g_assert_cmpint(pthread_key_create(&key, post_at_the_end), ==, 0);
    for (int i = 0; i < 200; i++) {
        poster.rounds = 0;
        test_thread_join(test_thread_start(post_and_at_the_end, &poster));
        loop_passes(loop, 2);
        if (i == 0) {
            n_slabs = bh_pool_count_slabs();
        }
    }
    g_assert_cmpint(poster.count, ==, 200 * 4);
    g_assert_cmpuint(bh_pool_count_slabs(), <=, n_slabs + 1);
    pthread_key_delete(key);
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    test_add("/bh-pool/burst-gives-its-memory-back", test_burst_gives_its_memory_back);
    test_add("/bh-pool/few-at-a-time-take-no-more-memory", test_few_at_a_time_take_no_more_memory);
    loop_test_add("threads-that-end-leave-nothing", test_threads_that_end_leave_nothing);
    loop_test_add("posts-from-a-destructor", test_posts_from_a_destructor);
    return g_test_run();
}
