/*
 * The memory of oneshot bottom halves.
 *
 * They are allocated by one thread and freed by another, millions of them in a second, which is
 * what malloc() does worst. So they are cut from slabs: a thread cuts nodes off a slab of its own,
 * and the slab is used again, or freed, when the last of its nodes has come back, from whatever
 * threads. Empty slabs wait in a depot for any thread to take them, up to a bound.
 */
#ifndef LOOP_BH_POOL_H
#define LOOP_BH_POOL_H

#include <glib.h>

/* A node takes one cache line, so that two threads never write to the same. */
#define BH_POOL_NODE_SIZE 64

#define BH_POOL_NODES_PER_SLAB 255

/* Slabs without a node in use that are kept for the next burst: 512 kB. */
#define BH_POOL_MAX_EMPTY 32

typedef struct BHSlab BHSlab;

/* A node, uninitialised, and the slab that it came from. Any thread. */
void *bh_pool_get(BHSlab **slab);

/* Give @n nodes of @slab back. What any thread did with them happens before they are used again.
 * Any thread. */
void bh_pool_put(BHSlab *slab, unsigned n);

/* How many slabs there are: for tests. Any thread. */
unsigned bh_pool_count_slabs(void);

#endif
