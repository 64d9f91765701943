/*
 * Limits of log lines: a burst is logged, the rest is counted, and the sum is said.
 */
#include "config.h"

#include "tests/unit/loop-fixture.h"

#include "loop/aio-internal.h"
#include "qmp/qmp-log-limit.h"

#define LONG_NS  (3600 * INT64_C(1000000000))
#define SHORT_NS (1 * SCALE_MS)

/* What is logged and not expected here ends the test: warnings are fatal in it. */
static void expect(const char *line)
{
    g_test_expect_message(G_LOG_DOMAIN, G_LOG_LEVEL_WARNING, line);
}

static void warn_times(QmpLogLimit *limit, int from, int to)
{
    for (int i = from; i <= to; i++) {
        qmp_log_limit_warn(limit, "line %d", i);
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
    QmpLogLimit *limit = qmp_log_limit_new(loop->ctx, LONG_NS, "socket", "lines");

    expect_burst();
    warn_times(limit, 1, QMP_LOG_BURST);
    qmp_log_limit_free(limit);
    g_test_assert_expected_messages();
}

static void test_sum_at_the_end(Loop *loop)
{
    QmpLogLimit *limit = qmp_log_limit_new(loop->ctx, LONG_NS, "socket", "lines");

    expect_burst();
    expect("socket: 95 further lines");
    warn_times(limit, 1, 100);
    qmp_log_limit_free(limit);
    g_test_assert_expected_messages();
}

static void test_sum_after_the_period(Loop *loop)
{
    QmpLogLimit *limit = qmp_log_limit_new(loop->ctx, SHORT_NS, "socket", "lines");

    expect_burst();
    expect("socket: 1 further lines");
    warn_times(limit, 1, 6);
    pass_until_idle(loop);
    g_test_assert_expected_messages();

    /* The next period has a burst of its own. */
    expect_burst();
    expect("socket: 2 further lines");
    warn_times(limit, 1, 7);
    pass_until_idle(loop);
    qmp_log_limit_free(limit);
    g_test_assert_expected_messages();
}

static void test_nothing_to_say(Loop *loop)
{
    QmpLogLimit *limit = qmp_log_limit_new(loop->ctx, SHORT_NS, "socket", "lines");

    expect("socket: line 1");
    warn_times(limit, 1, 1);
    pass_until_idle(loop);
    qmp_log_limit_free(limit);
    qmp_log_limit_free(NULL);
    g_test_assert_expected_messages();
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    loop_test_add_aio_poll("few-lines-are-all-logged", test_few_lines);
    loop_test_add_aio_poll("rest-is-summed-up-at-the-end", test_sum_at_the_end);
    loop_test_add_aio_poll("rest-is-summed-up-after-the-period", test_sum_after_the_period);
    loop_test_add_aio_poll("nothing-held-back-is-no-sum", test_nothing_to_say);
    return g_test_run();
}
