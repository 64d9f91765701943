/*
 * All loops of the daemon, for those who look at them from outside.
 */
#include "config.h"
#include "daemon/loops.h"

#include <unistd.h>

#include "iothreads/iothread.h"
#include "loop/main-loop.h"

typedef struct LoopVisit {
    LoopFunc *func;
    void *opaque;
} LoopVisit;

static void visit_iothread(IOThread *iothread, void *opaque)
{
    LoopVisit *visit = opaque;

    visit->func(iothread_get_id(iothread), iothread_get_thread_id(iothread),
                iothread_get_aio_context(iothread), NULL, visit->opaque);
}

void loops_foreach(LoopFunc *func, void *opaque)
{
    LoopVisit visit = { .func = func, .opaque = opaque };

    func(MAIN_LOOP_NAME, getpid(), qemu_get_aio_context(), iohandler_get_aio_context(), opaque);
    iothread_foreach(visit_iothread, &visit);
}

int64_t loop_held_ns(const AioActivity *activity, int64_t now_ns)
{
    if (aio_state_is_asleep(activity->state) || activity->state == AIO_STATE_POLLING) {
        return 0;
    }
    return MAX(now_ns - activity->changed_ns, 0);
}

char *loop_describe_holder(const char *source)
{
    return source ? g_strdup_printf("the callback '%s'", source)
                  : g_strdup("no callback of a context's");
}
