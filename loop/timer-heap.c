/*
 * A 4-ary min-heap of timers, with the deadlines beside the pointers.
 *
 * In a large heap nearly all of the cost is cache misses. So the children of an entry fill exactly
 * one cache line, and a timer has a copy of its entry's key, so that to push it back touches no
 * entry.
 */
#include "config.h"
#include "loop/timer-heap.h"

#include <stdlib.h>
#include <string.h>

#define ARITY 4

#define CACHE_LINE 64

/* Entries left out at the front, so that each first child, 4 * i + 1, begins a cache line;
 * with pointers of 64 bits the four fill it. */
#define OFFSET (ARITY - 1)

void timer_heap_init(TimerHeap *heap)
{
    *heap = (TimerHeap){ 0 };
}

static void free_entries(TimerHeap *heap)
{
    if (heap->entries) {
        free(heap->entries - OFFSET);
    }
}

void timer_heap_cleanup(TimerHeap *heap)
{
    free_entries(heap);
    timer_heap_init(heap);
}

/* Make room for @allocated entries, a multiple of 4. */
static void resize(TimerHeap *heap, size_t allocated)
{
    size_t bytes = (allocated + ARITY) * sizeof(TimerHeapEntry);
    TimerHeapEntry *memory = aligned_alloc(CACHE_LINE, bytes);

    if (!memory) {
        g_error("out of memory: a heap of %zu timers", allocated);
    }
    if (heap->len > 0) {
        memcpy(memory + OFFSET, heap->entries, heap->len * sizeof(TimerHeapEntry));
    }
    free_entries(heap);
    heap->entries = memory + OFFSET;
    heap->allocated = allocated;
}

static void place(TimerHeap *heap, size_t i, TimerHeapEntry entry)
{
    heap->entries[i] = entry;
    entry.timer->where = (int32_t)i;
}

/* Relaxed: whoever takes the timer out of the heap sees to the order. */
static int64_t expire_of(QEMUTimer *timer)
{
    return atomic_load_explicit(timer_expire(timer), memory_order_relaxed);
}

/* A new entry of @timer, by its deadline. */
static TimerHeapEntry entry_of(QEMUTimer *timer)
{
    timer->key = expire_of(timer);
    return (TimerHeapEntry){ .key = timer->key, .timer = timer };
}

static void sift_up(TimerHeap *heap, size_t i, TimerHeapEntry entry)
{
    while (i > 0) {
        size_t parent = (i - 1) / ARITY;

        if (heap->entries[parent].key <= entry.key) {
            break;
        }
        place(heap, i, heap->entries[parent]);
        i = parent;
    }
    place(heap, i, entry);
}

/* The earliest of four siblings, without a branch: which one it is can't be predicted. */
static size_t least_of_four(const TimerHeapEntry *entries, size_t first)
{
    const TimerHeapEntry *four = &entries[first];
    size_t a = four[1].key < four[0].key;
    size_t b = 2 + (size_t)(four[3].key < four[2].key);

    return first + (four[b].key < four[a].key ? b : a);
}

static size_t least_sibling(const TimerHeap *heap, size_t first)
{
    size_t least = first;

    if (first + ARITY <= heap->len) {
        return least_of_four(heap->entries, first);
    }
    for (size_t child = first + 1; child < heap->len; child++) {
        if (heap->entries[child].key < heap->entries[least].key) {
            least = child;
        }
    }
    return least;
}

static void sift_down(TimerHeap *heap, size_t i, TimerHeapEntry entry)
{
    for (size_t first; (first = i * ARITY + 1) < heap->len;) {
        size_t least = least_sibling(heap, first);

        if (entry.key <= heap->entries[least].key) {
            break;
        }
        place(heap, i, heap->entries[least]);
        i = least;
    }
    place(heap, i, entry);
}

void timer_heap_insert(TimerHeap *heap, QEMUTimer *timer)
{
    if (heap->len == heap->allocated) {
        resize(heap, MAX(8, heap->allocated * 2));
    }
    g_assert(heap->len < INT32_MAX);
    heap->len++;
    sift_up(heap, heap->len - 1, entry_of(timer));
}

/* Give memory back once three quarters of it are unused, so that a peak is not kept for good. */
static void shrink(TimerHeap *heap)
{
    if (heap->allocated > 1024 && heap->len < heap->allocated / 4) {
        resize(heap, heap->allocated / 2);
    }
}

void timer_heap_remove(TimerHeap *heap, QEMUTimer *timer)
{
    size_t i = (size_t)timer->where;
    TimerHeapEntry last = heap->entries[--heap->len];

    timer->where = TIMER_IDLE;
    if (last.timer != timer) {
        if (i > 0 && last.key < heap->entries[(i - 1) / ARITY].key) {
            sift_up(heap, i, last);
        } else {
            sift_down(heap, i, last);
        }
    }
    shrink(heap);
}

void timer_heap_update(TimerHeap *heap, QEMUTimer *timer)
{
    /* Read once: it may be raised at any moment, and a later one must not go up in the heap. */
    TimerHeapEntry entry = { .key = expire_of(timer), .timer = timer };

    if (entry.key < timer->key) {
        timer->key = entry.key;
        sift_up(heap, (size_t)timer->where, entry);
    }
}

QEMUTimer *timer_heap_settle(TimerHeap *heap)
{
    while (heap->len > 0) {
        QEMUTimer *timer = heap->entries[0].timer;

        if (heap->entries[0].key == expire_of(timer)) {
            return timer;
        }
        sift_down(heap, 0, entry_of(timer));
    }
    return NULL;
}
