/*
 * The fixture of the tests of adaptive polling.
 */
#include "config.h"
#include "tests/unit/polling-fixture.h"

#include <fcntl.h>

/* ---- counting the writes of notifiers ---- */

static atomic_int notifier_sets;

void __real_event_notifier_set(EventNotifier *notifier);
void __wrap_event_notifier_set(EventNotifier *notifier);

void __wrap_event_notifier_set(EventNotifier *notifier)
{
    atomic_fetch_add(&notifier_sets, 1);
    __real_event_notifier_set(notifier);
}

int polling_notifier_sets(void)
{
    return atomic_load(&notifier_sets);
}

/* ---- processors ---- */

static struct {
    bool no_fd;  /* can't be asked about */
    int percent; /* of the time that passes is waited; -1: unknown */
    int64_t delay_ns;
    int64_t now;
} processor;

int __wrap_run_delay_open(void);
int64_t __wrap_run_delay_ns(int fd);

int __wrap_run_delay_open(void)
{
    return processor.no_fd ? -1 : open("/dev/null", O_RDONLY | O_CLOEXEC);
}

int64_t __wrap_run_delay_ns(int fd)
{
    g_assert_cmpint(fd, >=, 0);
    if (processor.percent < 0) {
        return -1;
    }
    processor.delay_ns += (sim_now() - processor.now) * processor.percent / 100;
    processor.now = sim_now();
    return processor.delay_ns;
}

void polling_set_without_fd(bool without)
{
    processor.no_fd = without;
}

void polling_set_waiting(int percent)
{
    processor.percent = percent;
    processor.now = sim_now();
}

/* ---- sources ---- */

void source_set_handler(Source *source)
{
    aio_set_fd_handler(source->loop->ctx, source->fds[0], source_read, NULL, source_poll,
                       source_poll_ready, source);
}

void source_init(Source *source, Loop *loop)
{
    *source = (Source){ .loop = loop };
    test_pipe(source->fds);
    source_set_handler(source);
    /* Some monitors are notified of it: that shall be over. */
    loop_passes(loop, 2);
}

void source_cleanup(Source *source)
{
    aio_set_fd_handler(source->loop->ctx, source->fds[0], NULL, NULL, NULL, NULL, NULL);
    test_close(source->fds);
}

static void take_event(Source *source)
{
    g_assert_true(source->has_work);
    source->has_work = false;
    test_read_byte(source->fds[0]);
}

void source_read(void *opaque)
{
    Source *source = opaque;

    source->reads++;
    take_event(source);
}

bool source_poll(void *opaque)
{
    Source *source = opaque;

    source->looks++;
    return source->has_work;
}

void source_poll_ready(void *opaque)
{
    Source *source = opaque;

    source->poll_readys++;
    take_event(source);
}

void source_poll_begin(void *opaque)
{
    Source *source = opaque;

    g_assert_cmpint(source->begins, ==, source->ends);
    source->begins++;
}

void source_poll_end(void *opaque)
{
    Source *source = opaque;

    source->ends++;
    g_assert_cmpint(source->begins, ==, source->ends);
}

void source_fire(void *opaque)
{
    Source *source = opaque;

    source->has_work = true;
    test_write_byte(source->fds[1]);
}

void source_event(Source *source, int64_t delay_ns)
{
    int calls = source->reads + source->poll_readys;

    sim_event_in(delay_ns, source_fire, source);
    g_assert_true(loop_pass(source->loop, true));
    g_assert_cmpint(source->reads + source->poll_readys, ==, calls + 1);
}

void source_event_in_passes(Source *source, int64_t delay_ns)
{
    int calls = source->reads + source->poll_readys;

    sim_event_in(delay_ns, source_fire, source);
    while (source->reads + source->poll_readys == calls) {
        loop_pass(source->loop, true);
    }
    g_assert_cmpint(source->reads + source->poll_readys, ==, calls + 1);
}

void source_make_polled(Source *source)
{
    for (int i = 0; i < 4; i++) {
        source_event(source, 30000);
    }
}

void source_set_io_poll(Source *source, AioPollFn *io_poll)
{
    aio_set_fd_handler(source->loop->ctx, source->fds[0], source_read, NULL, io_poll,
                       source_poll_ready, source);
    loop_passes(source->loop, 2);
}

/* ---- other events ---- */

typedef struct BhEvent {
    AioContext *ctx;
    int *runs;
} BhEvent;

static void schedule(void *opaque)
{
    BhEvent *event = opaque;

    aio_bh_schedule_oneshot(event->ctx, test_count, event->runs);
}

void bh_event(Loop *loop, int *runs, int64_t delay_ns)
{
    BhEvent event = { .ctx = loop->ctx, .runs = runs };
    int before = *runs;

    sim_event_in(delay_ns, schedule, &event);
    g_assert_true(loop_pass(loop, true));
    g_assert_cmpint(*runs, ==, before + 1);
}

void timer_event(Loop *loop, QEMUTimer *timer, int *fires, int64_t delay_ns)
{
    int before = *fires;

    timer_mod_ns(timer, sim_now() + delay_ns);
    sim_event_in(delay_ns, NULL, NULL);
    g_assert_true(loop_pass(loop, true));
    g_assert_cmpint(*fires, ==, before + 1);
}
