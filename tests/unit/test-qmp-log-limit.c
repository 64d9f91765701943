/*
 * Limits of log lines: a burst is logged, the rest is counted, and the sum is said.
 */
#include "config.h"

#include "tests/unit/log-fixture.h"
#include "tests/unit/loop-fixture.h"

#include "loop/aio-internal.h"
#include "qmp/qmp-log-limit.h"

#define LONG_NS  (3600 * INT64_C(1000000000))
#define SHORT_NS (1 * SCALE_MS)

/* What is logged and not expected here ends the test: warnings are fatal in it. */
static void expect(const char *line)
{
    log_test_expect(QMP_LOG_CLIENT_REFUSED, line);
}

static QmpLogLimit *limit_new(Loop *loop, int64_t period_ns)
{
    return qmp_log_limit_new(loop->ctx, period_ns, QMP_LOG_CLIENT_REFUSED,
                             &(QmpLogFields){ .socket = "unix:a" }, "socket", "lines");
}

static void warn_times(QmpLogLimit *limit, int from, int to)
{
    for (int i = from; i <= to; i++) {
        qmp_log_limit_say(limit, QMP_LOG_CLIENT_REFUSED, NULL, "line %d", i);
    }
}

static void expect_burst(void)
{
    expect("socket: line 1");
    expect("socket: line 2");
    expect("socket: line 3");
    expect("socket: line 4");
    expect("socket: line 5");
    G_STATIC_ASSERT(QMP_LOG_BURST == 5);
}

static void pass_until_idle(Loop *loop)
{
    while (aio_timers_timeout_ns(loop->ctx) >= 0) {
        loop_pass(loop, true);
    }
}

static void test_few_lines(Loop *loop)
{
    QmpLogLimit *limit = limit_new(loop, LONG_NS);

    expect_burst();
    warn_times(limit, 1, QMP_LOG_BURST);
    qmp_log_limit_free(limit);
    log_test_assert_all();
}

static void test_sum_at_the_end(Loop *loop)
{
    QmpLogLimit *limit = limit_new(loop, LONG_NS);

    expect_burst();
    expect("socket: 95 further lines");
    warn_times(limit, 1, 100);
    qmp_log_limit_free(limit);
    log_test_assert_all();
}

static void test_sum_after_the_period(Loop *loop)
{
    QmpLogLimit *limit = limit_new(loop, SHORT_NS);

    expect_burst();
    expect("socket: 1 further lines");
    warn_times(limit, 1, 6);
    pass_until_idle(loop);
    log_test_assert_all();

    /* The next period has a burst of its own. */
    expect_burst();
    expect("socket: 2 further lines");
    warn_times(limit, 1, 7);
    pass_until_idle(loop);
    qmp_log_limit_free(limit);
    log_test_assert_all();
}

static void test_nothing_to_say(Loop *loop)
{
    QmpLogLimit *limit = limit_new(loop, SHORT_NS);

    expect("socket: line 1");
    warn_times(limit, 1, 1);
    pass_until_idle(loop);
    qmp_log_limit_free(limit);
    qmp_log_limit_free(NULL);
    log_test_assert_all();
}

static void test_fields(Loop *loop)
{
    QmpLogLimit *limit = limit_new(loop, LONG_NS);
    g_autofree char *line = NULL;
    g_autofree char *sum = NULL;

    log_test_expect(QMP_LOG_CLIENT_TURNED_AWAY, "socket: another kind");
    qmp_log_limit_say(limit, QMP_LOG_CLIENT_TURNED_AWAY, &(QmpLogFields){ .session = 3 },
                      "another kind");
    line = log_test_fields();
    g_assert_cmpstr(line, ==, "MESSAGE=client-turned-away SESSION=3");
    expect("socket: line 2");
    expect("socket: line 3");
    expect("socket: line 4");
    expect("socket: line 5");
    expect("socket: 3 further lines");
    warn_times(limit, 2, 8);
    qmp_log_limit_free(limit);
    log_test_assert_all();
    sum = log_test_fields();
    g_assert_cmpstr(sum, ==, "MESSAGE=client-refused SOCKET=unix:a COUNT=3");
}

/* What nobody sees is not added up either: there would be a sum of nothing. */
static void test_not_shown(Loop *loop)
{
    QmpLogLimit *limit = limit_new(loop, LONG_NS);

    qmp_log_set_level(G_LOG_LEVEL_CRITICAL);
    warn_times(limit, 1, 100);
    qmp_log_set_level(G_LOG_LEVEL_DEBUG);
    expect("socket: line 1");
    warn_times(limit, 1, 1);
    qmp_log_limit_free(limit);
    log_test_assert_all();
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    log_test_init();
    loop_test_add_aio_poll("few-lines-are-all-logged", test_few_lines);
    loop_test_add_aio_poll("rest-is-summed-up-at-the-end", test_sum_at_the_end);
    loop_test_add_aio_poll("rest-is-summed-up-after-the-period", test_sum_after_the_period);
    loop_test_add_aio_poll("nothing-held-back-is-no-sum", test_nothing_to_say);
    loop_test_add_aio_poll("lines-and-sums-have-kinds-and-fields", test_fields);
    loop_test_add_aio_poll("what-is-not-shown-is-not-counted", test_not_shown);
    return g_test_run();
}
