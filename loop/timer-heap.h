/*
 * A 4-ary min-heap of timers.
 *
 * Each entry keeps a copy of the deadline it was placed by, so that sifting touches the array
 * only. The copy may be earlier than the timer's own deadline: that is how pushing a deadline back
 * costs nothing until the entry comes to the top, where timer_heap_settle() puts it right.
 *
 * Not locked: the timer list's lock guards it. But any thread may meanwhile raise the deadline of a
 * timer that is in the heap; what that changes here is only what timer_heap_settle() does anyway.
 */
#ifndef LOOP_TIMER_HEAP_H
#define LOOP_TIMER_HEAP_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "loop/timer.h"

/* What QEMUTimer.where says beside a heap index. */
#define TIMER_IDLE   (-1)
#define TIMER_FIRING (-2)

/* What QEMUTimer.expire_time says when the timer is not in the heap; the deadline of one that is
 * firing is its key. */
#define TIMER_EXPIRE_IDLE   (-1)
#define TIMER_EXPIRE_FIRING (-2)

/* QEMUTimer.expire_time, which C++ has no name for as the atomic that it is. */
static inline _Atomic int64_t *timer_expire(QEMUTimer *timer)
{
    _Static_assert(sizeof(_Atomic int64_t) == sizeof(int64_t) &&
                       offsetof(QEMUTimer, expire_time) % _Alignof(_Atomic int64_t) == 0,
                   "an int64_t can be used as an atomic one");
    return (_Atomic int64_t *)&timer->expire_time;
}

typedef struct TimerHeapEntry {
    int64_t key; /* ns; at most timer->expire_time */
    QEMUTimer *timer;
} TimerHeapEntry;

typedef struct TimerHeap {
    TimerHeapEntry *entries; /* NULL while none are allocated */
    size_t len;
    size_t allocated;
} TimerHeap;

void timer_heap_init(TimerHeap *heap);

/* Free the array; the timers stay their owners'. */
void timer_heap_cleanup(TimerHeap *heap);

/* Insert @timer by its expire_time and set its where. */
void timer_heap_insert(TimerHeap *heap, QEMUTimer *timer);

/* Remove @timer, which is in @heap; its where becomes TIMER_IDLE. */
void timer_heap_remove(TimerHeap *heap, QEMUTimer *timer);

/* Put @timer right after its expire_time was changed to an earlier or later time. A later one is
 * left for timer_heap_settle(). */
void timer_heap_update(TimerHeap *heap, QEMUTimer *timer);

/* Put the top right: its key is what its timer's deadline was a moment ago. Returns the timer, the
 * earliest of all, or NULL when the heap is empty. */
QEMUTimer *timer_heap_settle(TimerHeap *heap);

#endif
