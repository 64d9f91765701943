/*
 * Waiting in one thread for a callback in another.
 */
#include "config.h"
#include "loop/aio-internal.h"

#include <semaphore.h>

typedef struct WaitedCall {
    QEMUBHFunc *cb;
    void *opaque;
    AioContext *waiter; /* the context that the waiting thread drives meanwhile, or NULL */
    atomic_bool done;
    sem_t done_sem; /* of a thread without a context */
} WaitedCall;

static void run_waited_call(void *opaque)
{
    WaitedCall *call = opaque;
    AioContext *waiter = call->waiter;

    call->cb(call->opaque);
    if (!waiter) {
        sem_post(&call->done_sem);
        return;
    }
    /* The waiter may go on, and @call with it, once done is set. Release: it sees what cb did. */
    aio_context_ref(waiter);
    atomic_store_explicit(&call->done, true, memory_order_release);
    aio_notify(waiter);
    aio_context_unref(waiter);
}

void aio_wait_bh_oneshot_full(AioContext *ctx, QEMUBHFunc *cb, void *opaque, const char *name)
{
    WaitedCall call = {
        .cb = cb,
        .opaque = opaque,
        .waiter = qemu_get_current_aio_context(),
    };

    if (in_aio_context_home_thread(ctx)) {
        cb(opaque);
        return;
    }
    if (call.waiter) {
        aio_bh_schedule_oneshot_full(ctx, run_waited_call, &call, name);
        while (!atomic_load_explicit(&call.done, memory_order_acquire)) {
            aio_poll(call.waiter, true);
        }
        return;
    }
    sem_init(&call.done_sem, 0, 0);
    aio_bh_schedule_oneshot_full(ctx, run_waited_call, &call, name);
    while (sem_wait(&call.done_sem) != 0) {
        /* Interrupted by a signal. */
    }
    sem_destroy(&call.done_sem);
}
