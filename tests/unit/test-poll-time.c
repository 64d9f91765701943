/*
 * Learning how long to poll: a source's time by its events, the loop's by its sources.
 */
#include "config.h"

#include "loop/poll-time.h"
#include "tests/unit/loop-fixture.h"

#define MAX_NS 32768

static const PollTimeParams defaults = { .max_ns = MAX_NS };

/* What a time of @ns becomes by an event for which the loop has waited @waited_ns. */
static int64_t adjusted(const PollTimeParams *params, int64_t ns, int64_t waited_ns)
{
    PollTime source = { .ns = ns };

    poll_time_adjust(&source, params, waited_ns);
    return source.ns;
}

static void test_first_step(void)
{
    g_assert_cmpint(adjusted(&defaults, 0, 1), ==, POLL_TIME_FIRST_NS);
    g_assert_cmpint(adjusted(&defaults, 0, MAX_NS), ==, POLL_TIME_FIRST_NS);
    /* What has shrunk below it does not take many steps to come back. */
    g_assert_cmpint(adjusted(&defaults, 1, 2), ==, POLL_TIME_FIRST_NS);
}

static void test_covered(void)
{
    g_assert_cmpint(adjusted(&defaults, 0, 0), ==, 0);
    g_assert_cmpint(adjusted(&defaults, 8000, 1), ==, 8000);
    g_assert_cmpint(adjusted(&defaults, 8000, 8000), ==, 8000);
}

static void test_grow(void)
{
    PollTimeParams params = defaults;

    g_assert_cmpint(adjusted(&params, 5000, 5001), ==, 10000);
    g_assert_cmpint(adjusted(&params, 20000, 20001), ==, MAX_NS);
    params.grow = 3;
    g_assert_cmpint(adjusted(&params, 5000, 5001), ==, 15000);
    params.grow = 1;
    g_assert_cmpint(adjusted(&params, 5000, 5001), ==, 5000);
    params.grow = INT64_MAX;
    g_assert_cmpint(adjusted(&params, 5000, 5001), ==, MAX_NS);
    params.max_ns = INT64_MAX;
    g_assert_cmpint(adjusted(&params, 5000, 5001), ==, INT64_MAX);
}

static void test_shrink(void)
{
    PollTimeParams params = defaults;

    g_assert_cmpint(adjusted(&params, 20000, MAX_NS + 1), ==, 0);
    params.shrink = 4;
    g_assert_cmpint(adjusted(&params, 20000, MAX_NS + 1), ==, 5000);
    g_assert_cmpint(adjusted(&params, 3, MAX_NS + 1), ==, 0);
    g_assert_cmpint(adjusted(&params, 0, MAX_NS + 1), ==, 0);
}

static void test_never_above_the_maximum(void)
{
    PollTimeParams params = { .max_ns = 1000, .shrink = 1 };

    g_assert_cmpint(adjusted(&params, 0, 500), ==, 1000);
    g_assert_cmpint(adjusted(&params, 20000, 500), ==, 1000);
    g_assert_cmpint(adjusted(&params, 20000, 2000), ==, 1000);
}

/* A source whose events need the processor that polls for them, so that they come a while after the
 * loop has gone to sleep. */
static void test_polling_in_vain(void)
{
    PollTime source = { 0 };
    int64_t polled_ns = 0, total_ns = 0;

    for (int i = 0; i < 100000; i++) {
        int64_t waited_ns = source.ns + 4000;

        polled_ns += source.ns;
        total_ns += waited_ns;
        poll_time_adjust(&source, &defaults, waited_ns);
    }
    g_assert_cmpint(polled_ns * 20, <, total_ns);
    g_assert_cmpint(polled_ns, >, 0);

    /* It is tried again, and when it pays then, it goes on. */
    for (int i = 0; i < (1 << POLL_TIME_MAX_VAIN) + 10; i++) {
        poll_time_adjust(&source, &defaults, 3000);
    }
    g_assert_cmpint(source.ns, ==, POLL_TIME_FIRST_NS);
    g_assert_cmpuint(source.vain, ==, 0);
    poll_time_adjust(&source, &defaults, 5000);
    g_assert_cmpint(source.ns, ==, 2 * POLL_TIME_FIRST_NS);
}

static void test_late_event_after_one_that_was_covered(void)
{
    PollTime source = { 0 };

    for (int i = 0; i < 10; i++) {
        for (int j = 0; j < 3; j++) {
            poll_time_adjust(&source, &defaults, 6000);
        }
        g_assert_cmpint(source.ns, ==, 2 * POLL_TIME_FIRST_NS);
        poll_time_adjust(&source, &defaults, MAX_NS + 1);
        g_assert_cmpint(source.ns, ==, 0);
    }
}

static void test_late_events_without_polling(void)
{
    PollTime source = { 0 };

    for (int i = 0; i < 100; i++) {
        poll_time_adjust(&source, &defaults, MAX_NS + 1);
    }
    poll_time_adjust(&source, &defaults, 1000);
    g_assert_cmpint(source.ns, ==, POLL_TIME_FIRST_NS);
}

/* ---- waking up ---- */

#define WAKE_NS 35000

static const PollTimeParams sleepy = { .max_ns = MAX_NS, .wake_ns = WAKE_NS };

/* An event that comes @after_ns into the wait. */
static void sleepy_event(PollTime *source, int64_t after_ns)
{
    poll_time_adjust(source, &sleepy, after_ns <= source->ns ? after_ns : after_ns + WAKE_NS);
}

static void test_seen_late_for_waking_up(void)
{
    PollTime source = { 0 };

    for (int i = 0; i < 3; i++) {
        g_assert_cmpint(source.ns, <, 10000);
        sleepy_event(&source, 10000);
    }
    g_assert_cmpint(source.ns, ==, 16000);
    for (int i = 0; i < 100; i++) {
        sleepy_event(&source, 10000);
        g_assert_cmpint(source.ns, ==, 16000);
    }
    /* What waking up does not explain is late. */
    poll_time_adjust(&source, &sleepy, MAX_NS + 2 * WAKE_NS + 1);
    g_assert_cmpint(source.ns, ==, 0);
}

static void test_perhaps_late_once(void)
{
    PollTime source = { 0 };

    while (source.ns < MAX_NS) {
        sleepy_event(&source, MAX_NS);
    }
    /* Every other one is covered. */
    for (int i = 0; i < 10; i++) {
        sleepy_event(&source, MAX_NS);
        sleepy_event(&source, MAX_NS + 1);
        g_assert_cmpint(source.ns, ==, MAX_NS);
    }
    sleepy_event(&source, MAX_NS + 1);
    g_assert_cmpint(source.ns, ==, 0);
    g_assert_cmpuint(source.vain, ==, 1);
}

static void test_always_late_by_a_little(void)
{
    for (int64_t shrink = 0; shrink <= 4; shrink += 2) {
        PollTimeParams params = sleepy;
        PollTime source = { 0 };
        int64_t polled_ns = 0, total_ns = 0;

        params.shrink = shrink;
        for (int i = 0; i < 20000; i++) {
            polled_ns += source.ns;
            total_ns += MAX_NS + 2000 + WAKE_NS;
            poll_time_adjust(&source, &params, MAX_NS + 2000 + WAKE_NS);
        }
        g_assert_cmpint(polled_ns * 20, <, total_ns);
        g_assert_cmpint(polled_ns, >, 0);
    }
}

static void test_learning_what_waking_takes(void)
{
    int64_t wake_ns = 0;

    for (int i = 0; i < 10; i++) {
        wake_ns = poll_time_learn_wake(wake_ns, 40000);
    }
    g_assert_cmpint(wake_ns, >, 39000);
    g_assert_cmpint(wake_ns, <=, 40000);
    /* Finding the thread awake tells little, and waiting for a busy processor nothing. */
    g_assert_cmpint(poll_time_learn_wake(wake_ns, 100), >, 38000);
    g_assert_cmpint(poll_time_learn_wake(wake_ns, POLL_TIME_MAX_WAKE_NS + 1), ==, wake_ns);
    for (int i = 0; i < 1000; i++) {
        wake_ns = poll_time_learn_wake(wake_ns, 2000);
    }
    g_assert_cmpint(wake_ns, <, 2200);
}

/* ---- several sources ---- */

static void event(PollTimes *times, PollTime *source, int64_t waited_ns)
{
    poll_times_event(times, source, false, &defaults, waited_ns);
}

/* Events until the time of @source is @ns, a power of two times the first step, or the maximum. */
static void grow_to(PollTimes *times, PollTime *source, int64_t ns)
{
    while (source->ns < ns) {
        event(times, source, source->ns + 1);
    }
    g_assert_cmpint(source->ns, ==, ns);
}

static void test_longest(void)
{
    PollTimes times = { 0 };
    PollTime a = { 0 }, b = { 0 };

    g_assert_cmpint(poll_times_longest_ns(&times), ==, 0);
    grow_to(&times, &a, 8000);
    grow_to(&times, &b, 16000);
    g_assert_cmpint(poll_times_longest_ns(&times), ==, 16000);
    event(&times, &b, MAX_NS + 1);
    g_assert_cmpint(poll_times_longest_ns(&times), ==, 8000);
    event(&times, &a, MAX_NS + 1);
    g_assert_cmpint(poll_times_longest_ns(&times), ==, 0);
}

static void test_equal_times(void)
{
    PollTimes times = { 0 };
    PollTime sources[3] = { 0 };

    for (int i = 0; i < 3; i++) {
        grow_to(&times, &sources[i], 8000);
    }
    for (int i = 0; i < 3; i++) {
        g_assert_cmpint(poll_times_longest_ns(&times), ==, 8000);
        poll_times_remove(&times, &sources[i]);
        poll_times_remove(&times, &sources[i]);
    }
    g_assert_cmpint(poll_times_longest_ns(&times), ==, 0);
}

static void test_silent_source(void)
{
    PollTimes times = { 0 };
    PollTime chatty = { 0 }, silent = { 0 };

    grow_to(&times, &silent, 16000);
    grow_to(&times, &chatty, 4000);
    for (int i = 1; i < POLL_TIME_MAX_AGE; i++) {
        event(&times, &chatty, 1);
        poll_times_phase_over(&times, false);
        g_assert_cmpint(poll_times_longest_ns(&times), ==, 16000);
    }
    poll_times_phase_over(&times, false);
    g_assert_cmpint(poll_times_longest_ns(&times), ==, 4000);
    g_assert_false(silent.active);
    g_assert_cmpint(silent.ns, ==, 0);

    event(&times, &silent, 100);
    g_assert_true(silent.active);
    g_assert_cmpint(silent.ns, ==, POLL_TIME_FIRST_NS);
}

static void test_fruitless_phases(void)
{
    PollTimes times = { 0 };
    PollTime source = { 0 };

    grow_to(&times, &source, 16000);
    for (int i = 1; i < POLL_TIME_MAX_AGE / POLL_TIME_FRUITLESS_AGE; i++) {
        poll_times_phase_over(&times, true);
        g_assert_cmpint(poll_times_longest_ns(&times), ==, 16000);
    }
    poll_times_phase_over(&times, true);
    g_assert_cmpint(poll_times_longest_ns(&times), ==, 0);
}

static void test_the_oldest_leaves_first(void)
{
    PollTimes times = { 0 };
    PollTime sources[4] = { 0 };

    for (int i = 0; i < 4; i++) {
        event(&times, &sources[i], 1);
        poll_times_phase_over(&times, false);
    }
    event(&times, &sources[1], 1);
    for (int i = 4; i < POLL_TIME_MAX_AGE + 2; i++) {
        poll_times_phase_over(&times, false);
    }
    /* 130 phases: 130, 129, 128 and 127 of them after the first events, 126 after the last. */
    g_assert_false(sources[0].active);
    g_assert_true(sources[1].active);
    g_assert_false(sources[2].active);
    g_assert_true(sources[3].active);
    g_assert_true(times.others.first == &sources[3] && times.others.last == &sources[1]);
}

static void test_queues(void)
{
    PollTimes times = { 0 };
    PollTime a = { 0 }, b = { 0 };

    poll_times_event(&times, &a, true, &defaults, 1);
    poll_times_event(&times, &b, true, &defaults, 1);
    g_assert_true(times.looked_at.first == &a && times.looked_at.last == &b);
    g_assert_null(times.others.first);
    /* The same source, changed. */
    poll_times_event(&times, &b, false, &defaults, 1);
    g_assert_true(times.looked_at.first == &a && times.looked_at.last == &a);
    g_assert_true(times.others.first == &b && times.others.last == &b);
    poll_times_remove(&times, &a);
    poll_times_remove(&times, &b);
    g_assert_true(!times.looked_at.first && !times.looked_at.last && !times.others.first &&
                  !times.others.last);
}

/* Against the plain way to find the longest, with factors that put several times in a class. */
static void test_many_at_random(void)
{
    PollTimeParams params = { .max_ns = 100000, .grow = 3, .shrink = 2 };
    PollTimes times = { 0 };
    PollTime sources[50] = { 0 };
    uint32_t random = 1;

    for (int i = 0; i < 20000; i++) {
        PollTime *source = &sources[test_random(&random) % 50];
        int64_t longest = 0;

        poll_times_event(&times, source, test_random(&random) % 2, &params,
                         test_random(&random) % 150000);
        if (i % 7 == 0) {
            poll_times_phase_over(&times, i % 3 == 0);
        }
        for (int j = 0; j < 50; j++) {
            longest = MAX(longest, sources[j].ns);
        }
        g_assert_cmpint(poll_times_longest_ns(&times), >=, longest);
        g_assert_cmpint(poll_times_longest_ns(&times), <=, 2 * longest);
    }
    for (int j = 0; j < 50; j++) {
        poll_times_remove(&times, &sources[j]);
    }
    g_assert_cmpint(poll_times_longest_ns(&times), ==, 0);
    g_assert_true(!times.looked_at.first && !times.others.first);
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    test_add("/an-event-within-the-maximum-starts-at-the-first-step", test_first_step);
    test_add("/an-event-that-the-time-covers-leaves-it", test_covered);
    test_add("/an-event-within-the-maximum-grows-it", test_grow);
    test_add("/a-late-event-shrinks-it", test_shrink);
    test_add("/polling-in-vain-is-tried-less-and-less-often", test_polling_in_vain);
    test_add("/a-late-event-after-one-that-was-covered-costs-no-delay",
             test_late_event_after_one_that_was_covered);
    test_add("/late-events-that-nobody-polled-for-cost-no-delay", test_late_events_without_polling);
    test_add("/poll-time/seen-late-for-waking-up", test_seen_late_for_waking_up);
    test_add("/poll-time/perhaps-late-once-is-forgiven", test_perhaps_late_once);
    test_add("/poll-time/always-late-by-a-little-is-not-polled-for", test_always_late_by_a_little);
    test_add("/poll-time/learns-what-waking-takes", test_learning_what_waking_takes);
    test_add("/never-above-the-maximum", test_never_above_the_maximum);
    test_add("/the-loop-polls-for-the-longest", test_longest);
    test_add("/sources-of-equal-times-leave-one-by-one", test_equal_times);
    test_add("/a-source-that-has-fallen-silent-leaves-and-comes-back", test_silent_source);
    test_add("/phases-without-any-event-make-sources-leave-sooner", test_fruitless_phases);
    test_add("/the-oldest-leaves-first", test_the_oldest_leaves_first);
    test_add("/those-to-be-looked-at-are-kept-apart", test_queues);
    test_add("/many-sources-at-random", test_many_at_random);
    return g_test_run();
}
