/*
 * The pace of an object's events, in simulated time: the first at once, then one a second at most,
 * and none that is owed is left out.
 */
#include "config.h"
#include "objects/event-pace.h"

#include "tests/unit/loop-fixture.h"
#include "tests/unit/time-fixture.h"

/* What a sender notes, and when. */
static unsigned sent;
static int64_t sent_ns;

static void note_sent(void *opaque)
{
    g_assert_true(opaque == &sent);
    sent++;
    sent_ns = sim_now();
}

static EventPace begin(Loop *loop)
{
    EventPace pace;

    sent = 0;
    event_pace_init(&pace, "t0", note_sent, &sent);
    sim_begin(loop->ctx);
    return pace;
}

static void wake(void *ctx)
{
    aio_notify(ctx);
}

/* A pass that sleeps for @ns. */
static void sleep_for(Loop *loop, int64_t ns)
{
    loop_passes(loop, 3); /* nothing is left that keeps it from sleeping */
    sim_event_in(ns, wake, loop->ctx);
    loop_pass(loop, true);
}

static void test_pace(Loop *loop)
{
    EventPace pace = begin(loop);
    int64_t first_ns;

    event_pace_start(&pace, loop->ctx);
    event_pace_raise(&pace);
    g_assert_cmpuint(sent, ==, 1);
    first_ns = sent_ns;
    for (int i = 0; i < 5; i++) {
        event_pace_raise(&pace);
    }
    loop_passes(loop, 3);
    g_assert_cmpuint(sent, ==, 1);
    sleep_for(loop, EVENT_PACE_NS);
    g_assert_cmpuint(sent, ==, 2);
    g_assert_cmpint(sent_ns - first_ns, >=, EVENT_PACE_NS);
    event_pace_stop(&pace);
    event_pace_finish(&pace); /* nothing is owed */
    g_assert_cmpuint(sent, ==, 2);
    sim_end();
}

static void test_after_a_silence(Loop *loop)
{
    EventPace pace = begin(loop);

    event_pace_start(&pace, loop->ctx);
    event_pace_raise(&pace);
    sleep_for(loop, 2 * EVENT_PACE_NS);
    g_assert_cmpuint(sent, ==, 1); /* nobody has asked */
    event_pace_raise(&pace);
    g_assert_cmpuint(sent, ==, 2);
    event_pace_stop(&pace);
    sim_end();
}

static void test_stopped_while_one_is_owed(Loop *loop)
{
    EventPace pace = begin(loop);
    int64_t first_ns;

    event_pace_start(&pace, loop->ctx);
    event_pace_raise(&pace);
    first_ns = sent_ns;
    event_pace_raise(&pace);
    event_pace_stop(&pace);
    event_pace_start(&pace, loop->ctx); /* as on another loop */
    g_assert_cmpuint(sent, ==, 1);
    sleep_for(loop, EVENT_PACE_NS);
    g_assert_cmpuint(sent, ==, 2);
    g_assert_cmpint(sent_ns - first_ns, >=, EVENT_PACE_NS);
    event_pace_raise(&pace);
    event_pace_stop(&pace);
    event_pace_finish(&pace); /* there will be no other time */
    g_assert_cmpuint(sent, ==, 3);
    sim_end();
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    loop_test_add_aio_poll("the first event is sent at once, and one a second after it", test_pace);
    loop_test_add_aio_poll("after a silence an event is sent at once", test_after_a_silence);
    loop_test_add_aio_poll("an event that is owed goes with its object",
                           test_stopped_while_one_is_owed);
    return g_test_run();
}
