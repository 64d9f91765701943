/*
 * Statistics that the thread of an object's loop writes and any thread reads.
 *
 * There is one writer at a time (a move hands the object over by bottom halves), so adding needs no
 * locked instruction. Relaxed: a counter publishes nothing but itself, and two that are read
 * together may be one event apart.
 */
#ifndef OBJECTS_COUNTER_H
#define OBJECTS_COUNTER_H

#include <stdatomic.h>
#include <stdint.h>

typedef _Atomic int64_t Counter;

static inline int64_t counter_read(Counter *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static inline void counter_set(Counter *counter, int64_t value)
{
    atomic_store_explicit(counter, value, memory_order_relaxed);
}

/* What has been kept of it, which may be anything. */
static inline void counter_restore(Counter *counter, int64_t value)
{
    counter_set(counter, value < 0 ? 0 : value);
}

/* Add @n, which is not negative; stays at the most that there is. */
static inline void counter_increase(Counter *counter, int64_t n)
{
    int64_t sum;

    if (__builtin_add_overflow(counter_read(counter), n, &sum)) {
        sum = INT64_MAX;
    }
    counter_set(counter, sum);
}

#endif
