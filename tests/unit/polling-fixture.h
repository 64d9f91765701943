/*
 * What the tests of adaptive polling share: sources whose events come at simulated times.
 */
#ifndef TESTS_UNIT_POLLING_FIXTURE_H
#define TESTS_UNIT_POLLING_FIXTURE_H

#include "loop/poll-time.h"
#include "tests/unit/time-fixture.h"

/* A descriptor whose handler can be polled. An event makes io_poll true and the descriptor
 * readable; the handler takes both back. */
typedef struct Source {
    Loop *loop;
    int fds[2];
    bool has_work;
    int looks;       /* calls of io_poll */
    int reads;       /* calls of io_read */
    int poll_readys; /* calls of io_poll_ready */
    int begins;
    int ends;
} Source;

void source_init(Source *source, Loop *loop);
void source_cleanup(Source *source);

/* The callbacks of its handler. */
void source_set_handler(Source *source);
void source_read(void *opaque);
bool source_poll(void *opaque);
void source_poll_ready(void *opaque);
void source_poll_begin(void *opaque);
void source_poll_end(void *opaque);

/* Its handler with another @io_poll. */
void source_set_io_poll(Source *source, AioPollFn *io_poll);

/* What happens in an event. */
void source_fire(void *opaque);

/* Wait in the loop for an event that comes in @delay_ns: of @source, a bottom half that another
 * thread might schedule, or @timer. Assert that it was handled by the first pass. */
void source_event(Source *source, int64_t delay_ns);
void bh_event(Loop *loop, int *runs, int64_t delay_ns);
void timer_event(Loop *loop, QEMUTimer *timer, int *fires, int64_t delay_ns);

/* The same for an event that may take the loop more passes, for a handler is changed meanwhile. */
void source_event_in_passes(Source *source, int64_t delay_ns);

/* Events until the loop polls for @source for about 30 us. */
void source_make_polled(Source *source);

/* From now on the loop's thread, if its delay is watched (loop/run-delay.h), waits for a processor
 * for @percent of its simulated time, 0 at first; -1: the system does not tell. */
void polling_set_waiting(int percent);

/* Whether there is no descriptor for that. */
void polling_set_without_fd(bool without);

/* How often any event notifier has been set. */
int polling_notifier_sets(void);

#endif
