/*
 * Slabs of nodes for oneshot bottom halves (see loop/bh-pool.h).
 *
 * A slab counts the nodes that have come back. One that was never cut off, because its thread has
 * ended, counts as come back. Who brings the last one owns the slab: no thread cuts from it any
 * more, and no node of it is in use.
 */
#include "config.h"
#include "loop/bh-pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/mman.h>

struct BHSlab {
    _Alignas(BH_POOL_NODE_SIZE) _Atomic unsigned n_back;
    struct {
        _Alignas(BH_POOL_NODE_SIZE) char bytes[BH_POOL_NODE_SIZE];
    } nodes[BH_POOL_NODES_PER_SLAB];
};

/* Whole pages. */
G_STATIC_ASSERT(sizeof(BHSlab) == 16384);

/* Each place is empty (NULL) or holds one slab, which is put there and taken away whole: there is
 * no list that another thread could change meanwhile. */
static _Atomic(BHSlab *) depot[BH_POOL_MAX_EMPTY];

static _Atomic unsigned n_slabs;

/* What this thread cuts nodes from; NULL when there is none, or none left in it. */
static _Thread_local struct {
    BHSlab *slab;
    unsigned n_cut;
    bool ended; /* its destructor has run: leave nothing behind any more */
} mine;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static bool has_key; /* else each thread that ends leaves a slab behind */

/* ---- slabs ---- */

/* From the system, not from malloc(): the memory of a burst shall go back there when it is over,
 * and in a heap the slab that its thread is cutting from would keep it all. Relaxed: n_slabs is a
 * number to look at, no more. */
static BHSlab *slab_new(void)
{
    BHSlab *slab =
        mmap(NULL, sizeof(BHSlab), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (slab == MAP_FAILED) {
        g_error("out of memory for bottom halves: mmap: %s", g_strerror(errno));
    }
    atomic_fetch_add_explicit(&n_slabs, 1, memory_order_relaxed);
    return slab;
}

static void slab_free(BHSlab *slab)
{
    munmap(slab, sizeof(BHSlab));
    atomic_fetch_sub_explicit(&n_slabs, 1, memory_order_relaxed);
}

unsigned bh_pool_count_slabs(void)
{
    return atomic_load_explicit(&n_slabs, memory_order_relaxed);
}

/* ---- the depot ---- */

static BHSlab *depot_take(void)
{
    for (unsigned i = 0; i < BH_POOL_MAX_EMPTY; i++) {
        BHSlab *slab = NULL;

        /* Relaxed: a hint. Acquire: pairs with the release in depot_put(). */
        if (atomic_load_explicit(&depot[i], memory_order_relaxed)) {
            slab = atomic_exchange_explicit(&depot[i], NULL, memory_order_acquire);
        }
        if (slab) {
            return slab;
        }
    }
    return NULL;
}

static bool depot_put(BHSlab *slab)
{
    for (unsigned i = 0; i < BH_POOL_MAX_EMPTY; i++) {
        BHSlab *expected = NULL;

        /* Relaxed: a hint. Release: who takes the slab may write to all of it. */
        if (!atomic_load_explicit(&depot[i], memory_order_relaxed) &&
            atomic_compare_exchange_strong_explicit(&depot[i], &expected, slab,
                                                    memory_order_release, memory_order_relaxed)) {
            return true;
        }
    }
    return false;
}

/* ---- threads ---- */

static void thread_ends(void *opaque)
{
    mine.ended = true;
    if (mine.slab) {
        bh_pool_put(g_steal_pointer(&mine.slab), BH_POOL_NODES_PER_SLAB - mine.n_cut);
    }
}

static void make_key(void)
{
    has_key = pthread_key_create(&key, thread_ends) == 0;
}

/* The library may be unloaded before its threads end: then nobody is to call into it. */
__attribute__((destructor)) static void library_ends(void)
{
    BHSlab *slab;

    pthread_once(&once, make_key);
    if (has_key) {
        pthread_key_delete(key);
    }
    thread_ends(NULL);
    while ((slab = depot_take())) {
        slab_free(slab);
    }
}

void *bh_pool_get(BHSlab **slab)
{
    void *node;

    if (!mine.slab) {
        mine.slab = depot_take();
        if (!mine.slab) {
            mine.slab = slab_new();
        }
        mine.n_cut = 0;
        /* Relaxed: this thread alone has it; its nodes go to others with a release. */
        atomic_store_explicit(&mine.slab->n_back, 0, memory_order_relaxed);
        pthread_once(&once, make_key);
        if (has_key) {
            pthread_setspecific(key, &mine);
        }
    }
    *slab = mine.slab;
    node = &mine.slab->nodes[mine.n_cut++];
    if (mine.n_cut == BH_POOL_NODES_PER_SLAB) {
        mine.slab = NULL;
    } else if (mine.ended) {
        /* Another destructor of this thread posts. */
        bh_pool_put(g_steal_pointer(&mine.slab), BH_POOL_NODES_PER_SLAB - mine.n_cut);
    }
    return node;
}

void bh_pool_put(BHSlab *slab, unsigned n)
{
    /* Acquire-release: all that others did with their nodes happens before the slab's next use. */
    if (atomic_fetch_add_explicit(&slab->n_back, n, memory_order_acq_rel) + n ==
            BH_POOL_NODES_PER_SLAB &&
        !depot_put(slab)) {
        slab_free(slab);
    }
}
