/*
 * Threads without a loop add, change and remove handlers, timers and bottom halves on contexts that
 * other threads drive, while contexts come and go.
 *
 * It makes up a million operations of each kind, and a few more: each test does its share, for
 * there are two ways and two monitors at least. What opens and ends a session is not counted.
 */
#include "config.h"

#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tests/unit/any-thread-fixture.h"

#define OPERATIONS 250000

static void called_too(void *opaque)
{
    source_called(opaque);
}

/* ---- handlers ---- */

static void set_handler(AioContext *ctx, int fd, IOHandler *io_read, IOHandler *io_write,
                        Source *source)
{
    aio_set_fd_handler(ctx, fd, io_read, io_write, NULL, NULL, source);
}

/* The number of the descriptor is used again at once, perhaps by the other thread. */
static void handler_session(Worker *worker, AioContext *ctx, int number)
{
    Source *source = source_new(worker);
    int fd = eventfd(test_random(&worker->seed) % 2, EFD_CLOEXEC | EFD_NONBLOCK);

    g_assert_cmpint(fd, >=, 0);
    for (int i = 0; i < 6 && worker_take_operation(worker); i++) {
        switch (test_random(&worker->seed) % 5) {
        case 0:
            set_handler(ctx, fd, source_called, NULL, source);
            break;
        case 1:
            set_handler(ctx, fd, called_too, source_called, source);
            break;
        case 2:
            set_handler(ctx, fd, NULL, source_called, source);
            break;
        case 3:
            set_handler(ctx, fd, NULL, NULL, NULL);
            break;
        case 4:
            eventfd_write(fd, 1);
            break;
        }
    }
    /* One that stays until it was called. */
    if (number < N_LASTING && test_random(&worker->seed) % 64 == 0) {
        int calls = atomic_load(&source->calls);

        eventfd_write(fd, 1);
        set_handler(ctx, fd, source_called, NULL, source);
        while (atomic_load(&source->calls) == calls) {
            sched_yield();
        }
    }
    set_handler(ctx, fd, NULL, NULL, NULL);
    close(fd);
    aio_bh_schedule_oneshot(ctx, source_acknowledge, source);
}

/* ---- timers ---- */

static void fired(void *opaque)
{
    Source *source = opaque;

    source_called(source);
    g_assert_cmpint(qemu_clock_get_ns(QEMU_CLOCK_REALTIME), >=, source->not_before);
    if (source->deletes) {
        g_assert_cmpint(atomic_load(&source->calls), ==, 1);
        timer_free(source->timer);
        source_acknowledge(source);
    }
}

static void timer_session(Worker *worker, AioContext *ctx, int number)
{
    Source *source = source_new(worker);
    int64_t now = qemu_clock_get_ns(QEMU_CLOCK_REALTIME);

    source->timer = aio_timer_new(ctx, QEMU_CLOCK_REALTIME, SCALE_NS, fired, source);
    if (number < N_LASTING && worker_take_operation(worker) && test_random(&worker->seed) % 2) {
        /* Armed once and left alone: it fires, once. */
        source->not_before = now + test_random(&worker->seed) % (200 * SCALE_US);
        source->deletes = true;
        timer_mod_ns(source->timer, source->not_before);
        return;
    }
    source->not_before = now + test_random(&worker->seed) % (20 * SCALE_US);
    for (int i = 0; i < 6 && worker_take_operation(worker); i++) {
        int64_t deadline = source->not_before + test_random(&worker->seed) % (100 * SCALE_US);

        switch (test_random(&worker->seed) % 4) {
        case 0:
            timer_del(source->timer);
            break;
        case 1:
            timer_mod_anticipate_ns(source->timer, deadline);
            break;
        default:
            timer_mod_ns(source->timer, deadline);
            break;
        }
    }
    timer_free(source->timer);
    aio_bh_schedule_oneshot(ctx, source_acknowledge, source);
}

/* ---- bottom halves ---- */

static void bottom_half_session(Worker *worker, AioContext *ctx, int number)
{
    Source *source = source_new(worker);
    QEMUBH *bh = aio_bh_new(ctx, source_called, source);

    for (int i = 0; i < 6 && worker_take_operation(worker); i++) {
        switch (test_random(&worker->seed) % 8) {
        case 0:
            qemu_bh_schedule_idle(bh);
            break;
        case 1:
            qemu_bh_cancel(bh);
            break;
        case 2:
        case 3:
            qemu_bh_schedule(bh);
            break;
        default:
            if (number < N_LASTING) {
                worker_post(worker, ctx, number);
            }
            break;
        }
    }
    if (test_random(&worker->seed) % 4 == 0) {
        /* It goes by itself, before what is posted after it. */
        qemu_bh_delete(bh);
        bh = NULL;
        aio_bh_schedule_oneshot(ctx, source_called, source);
        source->must_have_run = true;
    }
    qemu_bh_delete(bh);
    aio_bh_schedule_oneshot(ctx, source_acknowledge, source);
}

static void test_handlers(Loop *loop)
{
    any_thread_run(loop, handler_session, OPERATIONS);
}

static void test_timers(Loop *loop)
{
    any_thread_run(loop, timer_session, OPERATIONS);
}

static void test_bottom_halves(Loop *loop)
{
    any_thread_run(loop, bottom_half_session, OPERATIONS);
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    loop_test_add("handlers", test_handlers);
    loop_test_add("timers", test_timers);
    loop_test_add("bottom-halves", test_bottom_halves);
    return g_test_run();
}
