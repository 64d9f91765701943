/*
 * The object type "timer": when it expires, what it counts, and that moving it changes neither.
 *
 * Most go by the virtual clock, advanced by hand in hours, so the seconds for which a test runs
 * make no difference.
 */
#include "config.h"
#include "loop/main-loop.h"
#include "objects/lateness.h"
#include "tests/unit/loop-fixture.h"
#include "tests/unit/object-fixture.h"

#define HOUR     (3600 * (int64_t)1000 * SCALE_MS)
#define ONE_HOUR "3600000000000"

static int64_t now(void)
{
    return qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
}

static void advance(int64_t ns)
{
    qemu_clock_advance_virtual_time(now() + ns);
}

static Object *add_timer(const char *format, ...) G_GNUC_PRINTF(1, 2);

/* @format makes further properties, as "\"x\": 1, ". */
static Object *add_timer(const char *format, ...)
{
    g_autofree char *further = NULL;
    g_autofree char *json = NULL;
    va_list args;

    va_start(args, format);
    further = g_strdup_vprintf(format, args);
    va_end(args);
    json = g_strdup_printf("{%s \"clock\": \"virtual\"}", further);
    return add_object("timer", "t", json);
}

/* That it comes to these and stays there. */
static void assert_counts(Object *timer, int64_t expirations, int64_t missed)
{
    wait_for_property(timer, "expirations", expirations);
    for (int i = 0; i < PLACES; i++) {
        sync_with(places[i]);
    }
    g_assert_cmpint(int_property(timer, "expirations"), ==, expirations);
    g_assert_cmpint(int_property(timer, "missed"), ==, missed);
}

/* ---- when it expires ---- */

static void test_periodic(void)
{
    for (int i = 0; i < PLACES; i++) {
        Object *timer = add_timer("\"period-ns\": " ONE_HOUR ",");

        begin_move(timer, places[i]);
        wait_settled(timer);
        assert_counts(timer, 0, 0);
        for (int n = 1; n <= 3; n++) {
            advance(HOUR);
            assert_counts(timer, n, 0);
        }
        delete_object(timer);
    }
}

static void test_one_shot(void)
{
    Object *timer = add_timer("\"period-ns\": " ONE_HOUR ", \"one-shot\": true,");

    advance(HOUR / 2);
    assert_counts(timer, 0, 0);
    advance(HOUR);
    assert_counts(timer, 1, 0);
    advance(10 * HOUR);
    assert_counts(timer, 1, 0);
    delete_object(timer);
}

static void test_deadline(void)
{
    Object *timer = add_timer("\"deadline-ns\": %" G_GINT64_FORMAT ",", now() + 5 * HOUR);

    advance(4 * HOUR);
    assert_counts(timer, 0, 0);
    advance(HOUR);
    assert_counts(timer, 1, 0);
    advance(10 * HOUR);
    assert_counts(timer, 1, 0);
    delete_object(timer);
}

static void test_deadline_and_period(void)
{
    Object *timer = add_timer("\"deadline-ns\": %" G_GINT64_FORMAT ", \"period-ns\": " ONE_HOUR ",",
                              now() + 5 * HOUR);

    advance(4 * HOUR);
    assert_counts(timer, 0, 0);
    advance(HOUR);
    assert_counts(timer, 1, 0);
    advance(HOUR);
    assert_counts(timer, 2, 0);
    delete_object(timer);
}

static void test_deadline_in_the_past(void)
{
    Object *timer = add_timer("\"deadline-ns\": 1,");

    assert_counts(timer, 1, 0);
    delete_object(timer);
}

static void test_the_end_of_time(void)
{
    Object *timer =
        add_timer("\"deadline-ns\": 1, \"period-ns\": %" G_GINT64_FORMAT ",", INT64_MAX);

    assert_counts(timer, 1, 0);
    advance(HOUR);
    assert_counts(timer, 1, 0);
    delete_object(timer);
}

static void test_stopped_clock(void)
{
    Object *timer = add_timer("\"period-ns\": " ONE_HOUR ", \"iothread\": \"io0\",");

    qemu_clock_enable(QEMU_CLOCK_VIRTUAL, false);
    advance(HOUR);
    assert_counts(timer, 0, 0);
    qemu_clock_enable(QEMU_CLOCK_VIRTUAL, true);
    assert_counts(timer, 1, 0);
    delete_object(timer);
}

/* ---- periods that were missed ---- */

static void test_skip(void)
{
    Object *timer = add_timer("\"period-ns\": " ONE_HOUR ",");

    advance(10 * HOUR + HOUR / 2);
    assert_counts(timer, 1, 9);
    advance(HOUR / 2); /* the schedule is as it was */
    assert_counts(timer, 2, 9);
    delete_object(timer);
}

static void test_burst(void)
{
    Object *timer = add_timer("\"period-ns\": " ONE_HOUR ", \"catch-up\": \"burst\",");

    advance(10 * HOUR + HOUR / 2);
    assert_counts(timer, 10, 0);
    advance(HOUR / 2);
    assert_counts(timer, 11, 0);
    delete_object(timer);
}

static void test_delay(void)
{
    Object *timer = add_timer("\"period-ns\": " ONE_HOUR ", \"catch-up\": \"delay\",");

    advance(10 * HOUR + HOUR / 2);
    assert_counts(timer, 1, 9);
    advance(HOUR / 2 + HOUR / 4);
    assert_counts(timer, 1, 9);
    advance(HOUR / 4);
    assert_counts(timer, 2, 9);
    delete_object(timer);
}

static void test_catch_up_is_changed(void)
{
    Object *timer = add_timer("\"period-ns\": " ONE_HOUR ",");

    advance(HOUR / 2);
    set_property(timer, "catch-up", "\"burst\"");
    advance(HOUR / 2); /* the schedule is as it was */
    assert_counts(timer, 1, 0);
    advance(3 * HOUR);
    assert_counts(timer, 4, 0);
    delete_object(timer);
}

/* ---- changing it while it runs ---- */

static void test_a_new_period_begins_at_once(void)
{
    Object *timer = add_timer("\"period-ns\": %" G_GINT64_FORMAT ",", 100 * HOUR);

    advance(50 * HOUR);
    set_property(timer, "period-ns", ONE_HOUR);
    assert_counts(timer, 0, 0);
    advance(HOUR);
    assert_counts(timer, 1, 0);
    delete_object(timer);
}

static void test_a_new_deadline_begins_anew(void)
{
    g_autofree char *deadline = NULL;
    Object *timer = add_timer("\"deadline-ns\": 1,");

    assert_counts(timer, 1, 0);
    deadline = g_strdup_printf("%" G_GINT64_FORMAT, now() + HOUR);
    set_property(timer, "deadline-ns", deadline);
    assert_counts(timer, 1, 0);
    advance(HOUR);
    assert_counts(timer, 2, 0);
    delete_object(timer);
}

static void test_the_last_expiration(void)
{
    Object *timer = add_timer("\"period-ns\": " ONE_HOUR ",");

    set_property(timer, "one-shot", "true");
    advance(HOUR);
    assert_counts(timer, 1, 0);
    advance(HOUR);
    assert_counts(timer, 1, 0);
    set_property(timer, "one-shot", "false");
    advance(HOUR);
    assert_counts(timer, 2, 0);
    delete_object(timer);
}

/* ---- what can't be ---- */

static void test_wrong_properties(void)
{
    static const char needs[] = "a timer needs 'period-ns' or 'deadline-ns', or both";
    static const struct {
        const char *json;
        const char *message;
    } cases[] = {
        { "{\"period-ns\": -1}",
          "Parameter 'period-ns' expects an integer from 0 to 9223372036854775807" },
        { "{\"period-ns\": \"1\"}",
          "Parameter 'period-ns' expects an integer from 0 to 9223372036854775807" },
        { "{\"deadline-ns\": -1}",
          "Parameter 'deadline-ns' expects an integer from 0 to 9223372036854775807" },
        { "{\"period-ns\": 1, \"clock\": \"tsc\"}",
          "Parameter 'clock' expects one of 'realtime', 'virtual', 'host', 'virtual-rt'" },
        { "{\"period-ns\": 1, \"one-shot\": 1}", "Parameter 'one-shot' expects true or false" },
        { "{\"period-ns\": 1, \"catch-up\": \"\"}",
          "Parameter 'catch-up' expects one of 'skip', 'burst', 'delay'" },
        { "{\"period-ns\": 1, \"expirations\": 1}", "Parameter 'expirations' is read-only" },
        { "{\"period-ns\": 1, \"missed\": 1}", "Parameter 'missed' is read-only" },
        { "{\"period-ns\": 1, \"lateness\": 1}", "Parameter 'lateness' is read-only" },
    };
    g_autofree char *no_period = g_strdup_printf("Parameter 'period-ns': %s", needs);
    g_autofree char *no_deadline = g_strdup_printf("Parameter 'deadline-ns': %s", needs);
    Object *timer;

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        refused_object("timer", cases[i].json, cases[i].message);
    }
    refused_object("timer", "{}", no_period);
    refused_object("timer", "{\"period-ns\": 0, \"deadline-ns\": 0}", no_period);

    timer = add_timer("\"period-ns\": " ONE_HOUR ",");
    refused_property(timer, "period-ns", "0", no_period);
    refused_property(timer, "clock", "\"host\"",
                     "Property 'clock' can only be set when the object is added");
    refused_property(timer, "expirations", "0", "Property 'expirations' is read-only");
    advance(HOUR);
    assert_counts(timer, 1, 0);
    delete_object(timer);

    timer = add_timer("\"deadline-ns\": 1,");
    refused_property(timer, "deadline-ns", "0", no_deadline);
    delete_object(timer);
}

/* ---- how late it was ---- */

static int64_t member(json_object *object, const char *name)
{
    return json_object_get_int64(json_object_object_get(object, name));
}

/* The number of those in the histogram, which must be in order, none twice and none empty. */
static int64_t histogram_sum(json_object *lateness)
{
    json_object *histogram = json_object_object_get(lateness, "histogram");
    int64_t last = -1;
    int64_t sum = 0;

    for (size_t i = 0; i < json_object_array_length(histogram); i++) {
        json_object *bucket = json_object_array_get_idx(histogram, i);
        int64_t from = member(bucket, "from-ns");

        g_assert_cmpint(from, >, last);
        g_assert_cmpint(from & (from - 1), ==, 0);
        g_assert_cmpint(member(bucket, "count"), >, 0);
        sum += member(bucket, "count");
        last = from;
    }
    return sum;
}

static void test_lateness(void)
{
    Object *timer = add_timer("\"period-ns\": " ONE_HOUR ", \"catch-up\": \"burst\",");
    json_object *lateness = NULL;

    assert_property(timer, "lateness",
                    "{\"min-ns\":0,\"mean-ns\":0,\"max-ns\":0,\"histogram\":[]}");
    advance(10 * HOUR + HOUR / 2); /* late by 9.5, 8.5, ..., 0.5 hours */
    assert_counts(timer, 10, 0);
    object_get_property(timer, "lateness", &lateness, NULL);
    g_assert_cmpint(member(lateness, "min-ns"), >=, HOUR / 2);
    g_assert_cmpint(member(lateness, "min-ns"), <, HOUR);
    g_assert_cmpint(member(lateness, "mean-ns"), >=, 5 * HOUR);
    g_assert_cmpint(member(lateness, "mean-ns"), <, 5 * HOUR + HOUR / 2);
    g_assert_cmpint(member(lateness, "max-ns"), >=, 9 * HOUR + HOUR / 2);
    g_assert_cmpint(member(lateness, "max-ns"), <, 10 * HOUR);
    g_assert_cmpint(histogram_sum(lateness), ==, 10);
    json_object_put(lateness);
    delete_object(timer);
}

/* The sum of a day's burst at 10 kHz is more than 63 bits hold; the mean once sank from there. */
static void test_the_mean_of_much_lateness(void)
{
    static Lateness lateness;
    json_object *value;

    lateness = (Lateness){ 0 };
    for (int i = 0; i < 3; i++) {
        lateness_record(&lateness, INT64_MAX);
    }
    value = lateness_to_json(&lateness);
    g_assert_cmpint(member(value, "mean-ns"), ==, INT64_MAX);
    json_object_put(value);
    for (int i = 0; i < 3; i++) {
        lateness_record(&lateness, 1);
    }
    value = lateness_to_json(&lateness);
    g_assert_cmpint(member(value, "min-ns"), ==, 1);
    g_assert_cmpint(member(value, "mean-ns"), ==, (INT64_C(1) << 62));
    g_assert_cmpint(member(value, "max-ns"), ==, INT64_MAX);
    json_object_put(value);
}

/* ---- moving ---- */

/* An hour passes with each of a thousand moves. */
static void run_hourly_moves(const char *catch_up)
{
    Object *timer = add_timer("\"period-ns\": " ONE_HOUR ", \"catch-up\": \"%s\",", catch_up);
    int moves = test_scaled(1000);
    uint32_t random = 1;

    for (int i = 0; i < moves; i++) {
        const char *place = places[test_random(&random) % PLACES];

        if (test_random(&random) % 2) {
            begin_move(timer, place);
            advance(HOUR);
        } else {
            advance(HOUR);
            begin_move(timer, place);
        }
        wait_settled(timer);
    }
    while (int_property(timer, "expirations") + int_property(timer, "missed") < moves) {
        main_loop_wait(true);
    }
    assert_counts(timer, moves - int_property(timer, "missed"), int_property(timer, "missed"));
    delete_object(timer);
}

static void test_no_expiration_is_lost_or_doubled_by_moves(void)
{
    run_hourly_moves("burst");
}

static void test_no_period_is_lost_or_doubled_by_moves(void)
{
    run_hourly_moves("skip");
}

/* The periods that were due by @time. */
static int64_t periods(int64_t first, int64_t period, int64_t time)
{
    return (time - first) / period + 1;
}

static void run_moves_at_10_khz(const char *catch_up)
{
    const int64_t period = 100 * SCALE_US;
    int64_t first = qemu_clock_get_ns(QEMU_CLOCK_REALTIME);
    g_autofree char *json = g_strdup_printf(
        "{\"period-ns\": 100000, \"deadline-ns\": %" G_GINT64_FORMAT ", \"catch-up\": \"%s\"}",
        first, catch_up);
    Object *timer = add_object("timer", "t", json);
    int moves = test_scaled(1000);
    int64_t due;
    int64_t counted;

    for (int i = 0; i < moves; i++) {
        begin_move(timer, places[(i + 1) % PLACES]);
        wait_settled(timer);
    }
    due = periods(first, period, qemu_clock_get_ns(QEMU_CLOCK_REALTIME));
    do {
        main_loop_wait(true);
        /* In this order: what is missed counts before the expiration that it is found with. */
        counted = int_property(timer, "expirations");
        counted += int_property(timer, "missed");
    } while (counted < due);
    /* One more may have been found missed in between, never more than are due. */
    g_assert_cmpint(counted, <=, periods(first, period, qemu_clock_get_ns(QEMU_CLOCK_REALTIME)));
    delete_object(timer);
}

static void test_10_khz_skip(void)
{
    run_moves_at_10_khz("skip");
}

static void test_10_khz_burst(void)
{
    run_moves_at_10_khz("burst");
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    object_test_add("a periodic timer expires each period, on any loop", test_periodic);
    object_test_add("a one-shot timer expires once", test_one_shot);
    object_test_add("a timer with a deadline expires then, once", test_deadline);
    object_test_add("a deadline is the first of the periods", test_deadline_and_period);
    object_test_add("a deadline in the past expires at once", test_deadline_in_the_past);
    object_test_add("a period beyond the end of time never ends", test_the_end_of_time);
    object_test_add("while the clock is stopped no timer expires", test_stopped_clock);
    object_test_add("skip leaves missed periods out and keeps the schedule", test_skip);
    object_test_add("burst makes every missed period up", test_burst);
    object_test_add("delay begins a new schedule", test_delay);
    object_test_add("another catch-up keeps the schedule", test_catch_up_is_changed);
    object_test_add("a new period begins at once", test_a_new_period_begins_at_once);
    object_test_add("a new deadline begins anew", test_a_new_deadline_begins_anew);
    object_test_add("one-shot makes the next expiration the last, and no more begins anew",
                    test_the_last_expiration);
    object_test_add("a wrong property is an error that names it", test_wrong_properties);
    object_test_add("lateness is measured", test_lateness);
    object_test_add("the mean of much lateness does not overflow", test_the_mean_of_much_lateness);
    object_test_add("no expiration is lost or doubled by moves",
                    test_no_expiration_is_lost_or_doubled_by_moves);
    object_test_add("no period is lost or doubled by moves",
                    test_no_period_is_lost_or_doubled_by_moves);
    object_test_add("at 10 kHz no period is lost or doubled by moves", test_10_khz_skip);
    object_test_add("at 10 kHz no expiration is lost or doubled by moves", test_10_khz_burst);
    return g_test_run();
}
