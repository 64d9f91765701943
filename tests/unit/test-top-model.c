/*
 * What 'evloopctl top' makes of samples: differences of counters, and which thing is which.
 */
#include <math.h>

#include "ctl/error.h"
#include "ctl/top-model.h"
#include "ctl/top-table.h"

#define SECOND_US G_USEC_PER_SEC

static json_object *parse(const char *text)
{
    json_object *value = NULL;
    g_autoptr(GError) error = NULL;

    if (!json_from_text(text, &value, &error)) {
        g_error("%s in %s", error->message, text);
    }
    return value;
}

/* A sample of JSON with ' for ", taken @seconds after the beginning. */
static TopSample *sample_at(double seconds, const char *loops, const char *sources)
{
    g_autofree char *loops_text = g_strdelimit(g_strdup(loops), "'", '"');
    g_autofree char *sources_text = g_strdelimit(g_strdup(sources), "'", '"');
    g_autoptr(json_object) loops_json = parse(loops_text);
    g_autoptr(json_object) sources_json = parse(sources_text);
    g_autoptr(GError) error = NULL;
    int64_t us = (int64_t)(seconds * SECOND_US);
    TopSample *sample = top_sample_new(loops_json, us, sources_json, us, &error);

    g_assert_no_error(error);
    return sample;
}

static TopSample *loops_at(double seconds, const char *loops)
{
    return sample_at(seconds, loops, "[]");
}

static TopSample *sources_at(double seconds, const char *sources)
{
    return sample_at(seconds, "[{'id': 'io0', 'state': 'idle', 'blocked-ns': 4000000000}]",
                     sources);
}

static void assert_near(double value, double expected)
{
    g_assert_cmpfloat_with_epsilon(value, expected, 1e-6);
}

/* The only row of loops; the caller keeps the samples. */
static TopLoopRow only_loop(const TopSample *before, const TopSample *now)
{
    g_autoptr(GArray) rows = top_loop_rows(before, now, NULL);

    g_assert_cmpuint(rows->len, ==, 1);
    return g_array_index(rows, TopLoopRow, 0);
}

static TopSourceRow only_source(const TopSample *before, const TopSample *now)
{
    g_autoptr(GArray) rows = top_source_rows(before, now, NULL);

    g_assert_cmpuint(rows->len, ==, 1);
    return g_array_index(rows, TopSourceRow, 0);
}

/* ---- loops ---- */

static void test_rates_are_differences_over_the_time_between(void)
{
    g_autoptr(TopSample) before = loops_at(
        1, "[{'id': 'io0', 'thread-id': 7, 'state': 'running', 'passes': 100, 'fd-callbacks': 10,"
           "'bh-callbacks': 20, 'timer-callbacks': 30, 'busy-ns': 500, 'polling-ns': 100,"
           "'blocked-ns': 9}]");
    g_autoptr(TopSample) now = loops_at(
        3, "[{'id': 'io0', 'thread-id': 7, 'state': 'running', 'passes': 300, 'fd-callbacks': 12,"
           "'bh-callbacks': 24, 'timer-callbacks': 36, 'busy-ns': 500000500,"
           "'polling-ns': 300000100, 'blocked-ns': 1200000009}]");
    TopLoopRow row = only_loop(before, now);

    g_assert_cmpstr(row.loop, ==, "io0");
    assert_near(row.busy, 25);
    assert_near(row.polling, 15);
    assert_near(row.blocked, 60);
    assert_near(row.passes, 100);
    assert_near(row.calls, 6);
    assert_near(top_sample_interval(before, now), 2);
}

/* A loop that is inside one callback does not move its counters. */
static void test_what_a_loop_is_in_now_counts_up_to_now(void)
{
    const struct {
        const char *state;
        double busy, polling, blocked;
    } cases[] = {
        { "callback", 100, 0, 0 }, { "running", 100, 0, 0 }, { "polling", 0, 100, 0 },
        { "idle", 0, 0, 100 },     { "unused", 0, 0, 0 },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *first = g_strdup_printf(
            "[{'id': 'x', 'state': '%s', 'source': 's', 'state-ns': 500000000}]", cases[i].state);
        g_autofree char *second = g_strdup_printf(
            "[{'id': 'x', 'state': '%s', 'source': 's', 'state-ns': 2500000000}]", cases[i].state);
        g_autoptr(TopSample) before = loops_at(1, first);
        g_autoptr(TopSample) now = loops_at(3, second);
        TopLoopRow row = only_loop(before, now);

        assert_near(row.busy, cases[i].busy);
        assert_near(row.polling, cases[i].polling);
        assert_near(row.blocked, cases[i].blocked);
        assert_near(row.state_ms, 2500);
        g_assert_cmpstr(row.source, ==, "s");
    }
}

static void test_the_first_sample_is_of_a_loop_s_whole_life(void)
{
    g_autoptr(TopSample) now =
        loops_at(9, "[{'id': 'x', 'state': 'running', 'passes': 40, 'bh-callbacks': 8,"
                    "'busy-ns': 1000000000, 'blocked-ns': 3000000000}]");
    TopLoopRow row = only_loop(NULL, now);

    assert_near(row.busy, 25);
    assert_near(row.blocked, 75);
    assert_near(row.passes, 10);
    assert_near(row.calls, 2);
}

static void test_a_loop_that_never_ran_has_no_rates(void)
{
    g_autoptr(TopSample) now = loops_at(9, "[{'id': 'x', 'state': 'unused'}]");
    TopLoopRow row = only_loop(NULL, now);

    g_assert_true(isnan(row.busy) && isnan(row.passes) && isnan(row.calls));
}

static void test_counters_that_start_over_at_their_end_go_on(void)
{
    g_autoptr(TopSample) before =
        loops_at(1, "[{'id': 'x', 'state': 'running', 'passes': 9223372036854775800,"
                    "'busy-ns': 9223372036854775807, 'timer-callbacks': -1}]");
    g_autoptr(TopSample) now =
        loops_at(2, "[{'id': 'x', 'state': 'running', 'passes': -9223372036854775800,"
                    "'busy-ns': -9223372036354775809, 'timer-callbacks': 4}]");
    TopLoopRow row = only_loop(before, now);

    assert_near(row.passes, 16);
    assert_near(row.busy, 50);
    assert_near(row.calls, 5);
}

/* The percentages come from two clocks, of which one may have read a bit more. */
static void test_percentages_never_go_beyond_a_hundred(void)
{
    g_autoptr(TopSample) before = loops_at(1, "[{'id': 'x', 'state': 'running'}]");
    g_autoptr(TopSample) now = loops_at(2, "[{'id': 'x', 'state': 'running', 'busy-ns': 1500000000,"
                                           "'blocked-ns': 500000000}]");
    TopLoopRow row = only_loop(before, now);

    assert_near(row.busy, 75);
    assert_near(row.blocked, 25);
}

/* Between reading what a loop does and its times, it may have begun to do something else. */
static void test_a_time_that_went_back_counts_as_nothing(void)
{
    g_autoptr(TopSample) before =
        loops_at(1, "[{'id': 'x', 'state': 'idle', 'state-ns': 700, 'blocked-ns': 700}]");
    g_autoptr(TopSample) now =
        loops_at(2, "[{'id': 'x', 'state': 'running', 'passes': 1, 'blocked-ns': 700,"
                    "'busy-ns': 1000000000}]");
    TopLoopRow row = only_loop(before, now);

    assert_near(row.blocked, 0);
    assert_near(row.busy, 100);
}

static void test_another_loop_under_the_same_id_begins_at_zero(void)
{
    g_autoptr(TopSample) before =
        loops_at(1, "[{'id': 'x', 'thread-id': 7, 'state': 'running', 'passes': 50,"
                    "'busy-ns': 100000000}]");
    g_autoptr(TopSample) other_thread =
        loops_at(3, "[{'id': 'x', 'thread-id': 8, 'state': 'running', 'passes': 60,"
                    "'busy-ns': 500000000}]");
    g_autoptr(TopSample) fewer_passes =
        loops_at(3, "[{'id': 'x', 'thread-id': 7, 'state': 'running', 'passes': 40,"
                    "'busy-ns': 500000000}]");

    assert_near(only_loop(before, other_thread).passes, 30);
    assert_near(only_loop(before, other_thread).busy, 25);
    assert_near(only_loop(before, fewer_passes).passes, 20);
    assert_near(only_loop(before, fewer_passes).busy, 25);
}

static void test_loops_come_and_go(void)
{
    g_autoptr(TopSample) before = loops_at(1, "[{'id': 'a', 'passes': 5}, {'id': 'b'}]");
    g_autoptr(TopSample) now = loops_at(2, "[{'id': 'c', 'passes': 7}, {'id': 'a', 'passes': 6}]");
    g_autoptr(GArray) rows = top_loop_rows(before, now, NULL);

    g_assert_cmpuint(rows->len, ==, 2);
    g_assert_cmpstr(g_array_index(rows, TopLoopRow, 0).loop, ==, "c");
    assert_near(g_array_index(rows, TopLoopRow, 0).passes, 7);
    assert_near(g_array_index(rows, TopLoopRow, 1).passes, 1);
    g_assert_false(top_sample_has_loop(now, "b"));
    g_assert_cmpstr(top_sample_loop(now, 1), ==, "a");
    g_assert_null(top_sample_loop(now, 2));
}

static void test_a_stalled_loop_is_marked(void)
{
    const struct {
        const char *member;
        bool stalled;
    } cases[] = {
        { "'stalled': true", true },   { "'stalled': {'since-ns': 5}", true },
        { "'stalled': false", false }, { "'stalled': null", false },
        { "'fdmon': 'poll'", false },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text =
            g_strdup_printf("[{'id': 'x', 'state': 'callback', %s}]", cases[i].member);
        g_autoptr(TopSample) now = loops_at(1, text);
        TopLoopRow row = only_loop(NULL, now);

        g_assert_cmpint(row.stalled, ==, cases[i].stalled);
        g_assert_cmpstr(row.state, ==, cases[i].stalled ? "stalled" : "callback");
    }
}

static void test_rows_of_one_loop_only(void)
{
    g_autoptr(TopSample) now = sample_at(
        1, "[{'id': 'a'}, {'id': 'b'}]",
        "[{'loop': 'a', 'kind': 'bh', 'name': 'x'}, {'loop': 'b', 'kind': 'bh', 'name': 'y'}]");
    g_autoptr(GArray) loops = top_loop_rows(NULL, now, "b");
    g_autoptr(GArray) sources = top_source_rows(NULL, now, "b");
    g_autoptr(GArray) nothing = top_loop_rows(NULL, now, "c");

    g_assert_cmpuint(loops->len, ==, 1);
    g_assert_cmpstr(g_array_index(loops, TopLoopRow, 0).loop, ==, "b");
    g_assert_cmpuint(sources->len, ==, 1);
    g_assert_cmpstr(g_array_index(sources, TopSourceRow, 0).name, ==, "y");
    g_assert_cmpuint(nothing->len, ==, 0);
}

/* ---- sources ---- */

#define FD_SOURCE "'loop': 'io0', 'kind': 'fd', 'name': 'ready', 'fd': 9"
#define TIMER     "'loop': 'io0', 'kind': 'timer', 'name': 'due'"

static void test_a_source_s_rates(void)
{
    g_autoptr(TopSample) before =
        sources_at(1, "[{" FD_SOURCE ", 'calls': 10, 'total-ns': 1000000, 'max-ns': 90000}]");
    g_autoptr(TopSample) now =
        sources_at(3, "[{" FD_SOURCE ", 'calls': 30, 'total-ns': 201000000, 'max-ns': 95500}]");
    TopSourceRow row = only_source(before, now);

    g_assert_cmpstr(row.name, ==, "ready");
    assert_near(row.fd, 9);
    assert_near(row.calls, 10);
    assert_near(row.time, 10);
    assert_near(row.mean_us, 10000);
    assert_near(row.max_us, 95.5);
}

static void test_a_source_that_was_not_called_has_no_mean(void)
{
    g_autoptr(TopSample) before = sources_at(1, "[{" FD_SOURCE ", 'calls': 10}]");
    g_autoptr(TopSample) now = sources_at(2, "[{" FD_SOURCE ", 'calls': 10}]");
    TopSourceRow row = only_source(before, now);

    assert_near(row.calls, 0);
    assert_near(row.time, 0);
    g_assert_true(isnan(row.mean_us));
}

/* The loop of these has lived for four seconds. */
static void test_the_first_sample_of_a_source_is_of_its_loop_s_life(void)
{
    g_autoptr(TopSample) now =
        sources_at(1, "[{" FD_SOURCE ", 'calls': 10, 'total-ns': 1000000000}]");
    TopSourceRow row = only_source(NULL, now);

    assert_near(row.calls, 2.5);
    assert_near(row.time, 25);
}

static void test_a_new_source_begins_at_zero(void)
{
    g_autoptr(TopSample) before = sources_at(1, "[]");
    g_autoptr(TopSample) now = sources_at(2, "[{" FD_SOURCE ", 'calls': 10}]");

    assert_near(only_source(before, now).calls, 10);
}

/* The descriptor was closed, and its number given to another. */
static void test_another_source_in_the_place_of_one_begins_at_zero(void)
{
    g_autoptr(TopSample) before = sources_at(1, "[{" FD_SOURCE ", 'calls': 10}]");
    g_autoptr(TopSample) now = sources_at(2, "[{" FD_SOURCE ", 'calls': 4}]");

    assert_near(only_source(before, now).calls, 4);
}

/* It is listed only while it is pending, and keeps its counts meanwhile. */
static void test_a_timer_that_was_not_pending_has_no_rates_at_first(void)
{
    g_autoptr(TopSample) before = sources_at(1, "[]");
    g_autoptr(TopSample) now = sources_at(2, "[{" TIMER ", 'calls': 1000}]");
    g_autoptr(TopSample) then = sources_at(3, "[{" TIMER ", 'calls': 1007}]");

    g_assert_true(isnan(only_source(before, now).calls));
    g_assert_true(isnan(only_source(before, now).time));
    assert_near(only_source(now, then).calls, 7);
    g_assert_true(isnan(only_source(NULL, now).fd));
}

static void test_sources_that_nothing_tells_apart_are_one_row(void)
{
    g_autoptr(TopSample) before = sources_at(1, "[{" TIMER ", 'calls': 5, 'max-ns': 7000}, {" TIMER
                                                ", 'calls': 10, 'max-ns': 3000}]");
    g_autoptr(TopSample) now = sources_at(2, "[{" TIMER ", 'calls': 15, 'max-ns': 3000}, {" TIMER
                                             ", 'calls': 6, 'max-ns': 7000}]");
    TopSourceRow row = only_source(before, now);

    assert_near(row.number, 2);
    assert_near(row.calls, 6);
    assert_near(row.max_us, 7);
    g_assert_cmpuint(top_sample_count_sources(now), ==, 2);
}

static void test_when_one_of_several_went_the_rates_are_not_known(void)
{
    g_autoptr(TopSample) before =
        sources_at(1, "[{" TIMER ", 'calls': 500}, {" TIMER ", 'calls': 10}]");
    g_autoptr(TopSample) now = sources_at(2, "[{" TIMER ", 'calls': 11}]");

    g_assert_true(isnan(only_source(before, now).calls));
    g_assert_true(isnan(only_source(before, now).mean_us));
}

static void test_sources_differ_by_loop_kind_name_and_descriptor(void)
{
    g_autoptr(TopSample) now = sources_at(
        1, "[{'loop': 'a', 'kind': 'fd', 'name': 'x', 'fd': 1},"
           "{'loop': 'a', 'kind': 'fd', 'name': 'x', 'fd': 2},"
           "{'loop': 'b', 'kind': 'fd', 'name': 'x', 'fd': 1},"
           "{'loop': 'a', 'kind': 'bh', 'name': 'x'}, {'loop': 'a', 'kind': 'bh', 'name': 'y'}]");
    g_autoptr(GArray) rows = top_source_rows(NULL, now, NULL);

    g_assert_cmpuint(rows->len, ==, 5);
}

/* ---- what is no sample ---- */

static void test_answers_of_another_shape_are_errors(void)
{
    const char *const bad_loops[] = { "null", "{}", "[5]", "[{}]", "[{\"id\": 5}]" };
    const char *const bad_sources[] = { "null", "[{}]", "[{\"loop\": \"a\", \"kind\": \"bh\"}]" };
    g_autoptr(json_object) empty = json_object_new_array();

    for (size_t i = 0; i < G_N_ELEMENTS(bad_loops); i++) {
        g_autoptr(json_object) bad = parse(bad_loops[i]);
        g_autoptr(GError) error = NULL;

        g_assert_null(top_sample_new(bad, 0, empty, 0, &error));
        g_assert_error(error, CTL_ERROR, CTL_ERROR_PROTOCOL);
        g_assert_true(g_str_has_prefix(error->message, "query-loops: "));
    }
    for (size_t i = 0; i < G_N_ELEMENTS(bad_sources); i++) {
        g_autoptr(json_object) bad = parse(bad_sources[i]);
        g_autoptr(GError) error = NULL;

        g_assert_null(top_sample_new(empty, 0, bad, 0, &error));
        g_assert_error(error, CTL_ERROR, CTL_ERROR_PROTOCOL);
        g_assert_true(g_str_has_prefix(error->message, "query-sources: "));
    }
}

#define ADD(function) g_test_add_func("/top-model/" #function, test_##function)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD(rates_are_differences_over_the_time_between);
    ADD(what_a_loop_is_in_now_counts_up_to_now);
    ADD(the_first_sample_is_of_a_loop_s_whole_life);
    ADD(a_loop_that_never_ran_has_no_rates);
    ADD(counters_that_start_over_at_their_end_go_on);
    ADD(percentages_never_go_beyond_a_hundred);
    ADD(a_time_that_went_back_counts_as_nothing);
    ADD(another_loop_under_the_same_id_begins_at_zero);
    ADD(loops_come_and_go);
    ADD(a_stalled_loop_is_marked);
    ADD(rows_of_one_loop_only);
    ADD(a_source_s_rates);
    ADD(a_source_that_was_not_called_has_no_mean);
    ADD(the_first_sample_of_a_source_is_of_its_loop_s_life);
    ADD(a_new_source_begins_at_zero);
    ADD(another_source_in_the_place_of_one_begins_at_zero);
    ADD(a_timer_that_was_not_pending_has_no_rates_at_first);
    ADD(sources_that_nothing_tells_apart_are_one_row);
    ADD(when_one_of_several_went_the_rates_are_not_known);
    ADD(sources_differ_by_loop_kind_name_and_descriptor);
    ADD(answers_of_another_shape_are_errors);
    return g_test_run();
}
