/*
 * A 4-ary min-heap of timers, with the deadlines beside the pointers.
 *
 * A timer has a copy of its entry's key, so that to push it back touches no entry: in a large heap
 * that would be one more cache miss, which is most of the cost.
 */
#include "config.h"
#include "loop/timer-heap.h"

#define ARITY 4

void timer_heap_init(TimerHeap *heap)
{
    *heap = (TimerHeap){ 0 };
}

void timer_heap_cleanup(TimerHeap *heap)
{
    g_free(heap->entries);
    timer_heap_init(heap);
}

static void place(TimerHeap *heap, size_t i, TimerHeapEntry entry)
{
    heap->entries[i] = entry;
    entry.timer->where = (int32_t)i;
}

/* A new entry of @timer, by its deadline. */
static TimerHeapEntry entry_of(QEMUTimer *timer)
{
    timer->key = timer->expire_time;
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

static void sift_down(TimerHeap *heap, size_t i, TimerHeapEntry entry)
{
    for (;;) {
        size_t first = i * ARITY + 1;
        size_t end = MIN(first + ARITY, heap->len);
        size_t least = first;

        if (first >= heap->len) {
            break;
        }
        for (size_t child = first + 1; child < end; child++) {
            if (heap->entries[child].key < heap->entries[least].key) {
                least = child;
            }
        }
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
        heap->allocated = MAX(8, heap->allocated * 2);
        heap->entries = g_renew(TimerHeapEntry, heap->entries, heap->allocated);
    }
    g_assert(heap->len < INT32_MAX);
    heap->len++;
    sift_up(heap, heap->len - 1, entry_of(timer));
}

/* Give memory back once three quarters of it are unused, so that a peak is not kept for good. */
static void shrink(TimerHeap *heap)
{
    if (heap->allocated > 1024 && heap->len < heap->allocated / 4) {
        heap->allocated /= 2;
        heap->entries = g_renew(TimerHeapEntry, heap->entries, heap->allocated);
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
    if (timer->expire_time < timer->key) {
        sift_up(heap, (size_t)timer->where, entry_of(timer));
    }
}

QEMUTimer *timer_heap_settle(TimerHeap *heap)
{
    while (heap->len > 0) {
        QEMUTimer *timer = heap->entries[0].timer;

        if (heap->entries[0].key == timer->expire_time) {
            return timer;
        }
        sift_down(heap, 0, entry_of(timer));
    }
    return NULL;
}
