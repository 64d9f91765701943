/*
 * The heap of timers, against a plain array.
 */
#include "config.h"
#include "loop/timer-heap.h"

#include "tests/unit/loop-fixture.h"

/* The heap's order, the copies of the deadlines and the way back from each timer. */
static void assert_sound(const TimerHeap *heap)
{
    g_assert_cmpuint(heap->len, <=, heap->allocated);
    for (size_t i = 0; i < heap->len; i++) {
        const TimerHeapEntry *entry = &heap->entries[i];

        g_assert_cmpint(entry->timer->where, ==, (int)i);
        g_assert_cmpint(entry->key, <=, entry->timer->expire_time);
        if (i > 0) {
            g_assert_cmpint(heap->entries[(i - 1) / 4].key, <=, entry->key);
        }
    }
}

static QEMUTimer *pop(TimerHeap *heap)
{
    QEMUTimer *timer = timer_heap_settle(heap);

    if (timer) {
        g_assert_true(heap->entries[0].timer == timer);
        g_assert_cmpint(heap->entries[0].key, ==, timer->expire_time);
        timer_heap_remove(heap, timer);
        g_assert_cmpint(timer->where, ==, TIMER_IDLE);
    }
    return timer;
}

static void test_empty(void)
{
    TimerHeap heap;

    timer_heap_init(&heap);
    g_assert_null(timer_heap_settle(&heap));
    timer_heap_cleanup(&heap);
}

static void test_sorts(void)
{
    enum {
        N = 5000
    };
    g_autofree QEMUTimer *timers = g_new0(QEMUTimer, N);
    TimerHeap heap;
    uint32_t seed = 4;
    int64_t last = -1;

    timer_heap_init(&heap);
    for (int i = 0; i < N; i++) {
        timers[i].expire_time = test_random(&seed) % 1000;
        timer_heap_insert(&heap, &timers[i]);
    }
    assert_sound(&heap);
    for (int i = 0; i < N; i++) {
        QEMUTimer *timer = pop(&heap);
        g_assert_cmpint(timer->expire_time, >=, last);
        last = timer->expire_time;
    }
    g_assert_null(pop(&heap));
    timer_heap_cleanup(&heap);
}

static void test_pushing_back_moves_nothing(void)
{
    QEMUTimer timers[10] = { 0 };
    TimerHeap heap;

    timer_heap_init(&heap);
    for (int i = 0; i < 10; i++) {
        timers[i].expire_time = i;
        timer_heap_insert(&heap, &timers[i]);
    }
    int32_t where = timers[3].where;
    timers[3].expire_time = 1000;
    timer_heap_update(&heap, &timers[3]);
    g_assert_cmpint(timers[3].where, ==, where);
    g_assert_cmpint(heap.entries[where].key, ==, 3);

    /* It comes out last all the same. */
    for (int i = 0; i < 10; i++) {
        int expected = i < 3 ? i : i < 9 ? i + 1 : 3;
        g_assert_true(pop(&heap) == &timers[expected]);
        assert_sound(&heap);
    }
    timer_heap_cleanup(&heap);
}

static void test_all_pushed_back(void)
{
    enum {
        N = 500
    };
    QEMUTimer timers[N] = { 0 };
    TimerHeap heap;

    timer_heap_init(&heap);
    for (int i = 0; i < N; i++) {
        timers[i].expire_time = i;
        timer_heap_insert(&heap, &timers[i]);
    }
    for (int i = 0; i < N; i++) {
        timers[i].expire_time = 10000 - i;
        timer_heap_update(&heap, &timers[i]);
    }
    assert_sound(&heap);
    for (int i = N - 1; i >= 0; i--) {
        g_assert_true(pop(&heap) == &timers[i]);
    }
    timer_heap_cleanup(&heap);
}

static void test_gives_memory_back(void)
{
    enum {
        N = 100000
    };
    g_autofree QEMUTimer *timers = g_new0(QEMUTimer, N);
    TimerHeap heap;

    timer_heap_init(&heap);
    for (int i = 0; i < N; i++) {
        timers[i].expire_time = i;
        timer_heap_insert(&heap, &timers[i]);
    }
    size_t peak = heap.allocated;
    for (int i = 0; i < N - 10; i++) {
        timer_heap_remove(&heap, &timers[i]);
    }
    g_assert_cmpuint(heap.allocated, <, peak / 16);
    assert_sound(&heap);
    for (int i = N - 10; i < N; i++) {
        g_assert_true(pop(&heap) == &timers[i]);
    }
    timer_heap_cleanup(&heap);
}

static void test_against_an_array(void)
{
    enum {
        N = 300
    };
    QEMUTimer timers[N] = { 0 };
    TimerHeap heap;
    uint32_t seed = 5;

    timer_heap_init(&heap);
    for (int i = 0; i < N; i++) {
        timers[i].where = TIMER_IDLE;
    }
    for (int round = 0; round < 50000; round++) {
        QEMUTimer *timer = &timers[test_random(&seed) % N];

        switch (test_random(&seed) % 6) {
        case 0:
            if (timer->where != TIMER_IDLE) {
                timer_heap_remove(&heap, timer);
                g_assert_cmpint(timer->where, ==, TIMER_IDLE);
            }
            break;
        case 1:
        case 2: {
            QEMUTimer *first = pop(&heap);
            for (int i = 0; first && i < N; i++) {
                g_assert_true(timers[i].where == TIMER_IDLE ||
                              timers[i].expire_time >= first->expire_time);
            }
            break;
        }
        default:
            timer->expire_time = test_random(&seed) % 100000;
            if (timer->where == TIMER_IDLE) {
                timer_heap_insert(&heap, timer);
            } else {
                timer_heap_update(&heap, timer);
            }
        }
        assert_sound(&heap);
    }
    timer_heap_cleanup(&heap);
}

/* ---- deadlines that another thread raises meanwhile ---- */

enum {
    EARLY = 5,
    BETWEEN = 12,
    LATE = 20
};

typedef struct Raiser {
    QEMUTimer timer;
    atomic_bool stop;
} Raiser;

static void *raise_deadline(void *opaque)
{
    Raiser *raiser = opaque;

    while (!atomic_load_explicit(&raiser->stop, memory_order_relaxed)) {
        int64_t before = EARLY;

        atomic_compare_exchange_strong(timer_expire(&raiser->timer), &before, LATE);
    }
    return NULL;
}

static void test_raised_during_update(void)
{
    enum {
        N = 300000
    };
    Raiser raiser = { .timer.expire_time = LATE };
    QEMUTimer others[4] = { 0 };
    TimerHeap heap;
    pthread_t thread;

    timer_heap_init(&heap);
    for (int i = 0; i < 4; i++) {
        others[i].expire_time = BETWEEN;
        timer_heap_insert(&heap, &others[i]);
    }
    thread = test_thread_start(raise_deadline, &raiser);
    for (int i = 0; i < N; i++) {
        atomic_store(timer_expire(&raiser.timer), BETWEEN - 1);
        timer_heap_insert(&heap, &raiser.timer);
        /* It is the first now, and all others are below it. */
        atomic_store(timer_expire(&raiser.timer), EARLY);
        timer_heap_update(&heap, &raiser.timer);
        for (size_t j = 1; j < heap.len; j++) {
            g_assert_cmpint(heap.entries[(j - 1) / 4].key, <=, heap.entries[j].key);
        }
        timer_heap_remove(&heap, &raiser.timer);
    }
    atomic_store(&raiser.stop, true);
    test_thread_join(thread);
    timer_heap_cleanup(&heap);
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    test_add("/timer-heap/empty", test_empty);
    test_add("/timer-heap/sorts", test_sorts);
    test_add("/timer-heap/pushing-back-moves-nothing", test_pushing_back_moves_nothing);
    test_add("/timer-heap/all-pushed-back", test_all_pushed_back);
    test_add("/timer-heap/gives-memory-back", test_gives_memory_back);
    test_add("/timer-heap/against-an-array", test_against_an_array);
    test_add("/timer-heap/a-deadline-raised-during-an-update", test_raised_during_update);
    return g_test_run();
}
