/*
 * Rate limits of log lines.
 *
 * The first line begins a period, and a timer ends it. A period in which lines were held back is
 * followed by another one, so that a flood costs a burst and one sum a period.
 */
#include "config.h"
#include "qmp/qmp-log-limit.h"

struct QmpLogLimit {
    QmpLogMessage message; /* of the sums, with the fields @about */
    QmpLogFields about;
    const char *subject;
    const char *things;
    int64_t period_ns;
    QEMUTimer *timer;
    unsigned logged; /* in this period */
    unsigned held_back;
};

static void begin_period(QmpLogLimit *limit)
{
    timer_mod_ns(limit->timer, qemu_clock_get_ns(QEMU_CLOCK_REALTIME) + limit->period_ns);
}

static void say_sum(QmpLogLimit *limit)
{
    QmpLogFields fields = limit->about;

    if (limit->held_back > 0) {
        fields.count = limit->held_back;
        qmp_log(limit->message, &fields, "%s: %u further %s", limit->subject, limit->held_back,
                limit->things);
    }
}

static void period_is_over(void *opaque)
{
    QmpLogLimit *limit = opaque;

    say_sum(limit);
    if (limit->held_back > 0) {
        begin_period(limit);
    }
    limit->logged = 0;
    limit->held_back = 0;
}

QmpLogLimit *qmp_log_limit_new(AioContext *ctx, int64_t period_ns, QmpLogMessage message,
                               const QmpLogFields *about, const char *subject, const char *things)
{
    QmpLogLimit *limit = g_new0(QmpLogLimit, 1);

    limit->message = message;
    limit->about = *about;
    limit->subject = subject;
    limit->things = things;
    limit->period_ns = period_ns;
    limit->timer = aio_timer_new(ctx, QEMU_CLOCK_REALTIME, SCALE_NS, period_is_over, limit);
    return limit;
}

void qmp_log_limit_free(QmpLogLimit *limit)
{
    if (limit) {
        say_sum(limit);
        timer_free(limit->timer);
        g_free(limit);
    }
}

void qmp_log_limit_say(QmpLogLimit *limit, QmpLogMessage message, const QmpLogFields *fields,
                       const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list args;

    if (!qmp_log_shows(message)) {
        return;
    }
    if (limit->logged == QMP_LOG_BURST) {
        limit->held_back++;
        return;
    }
    if (!timer_pending(limit->timer)) {
        begin_period(limit);
    }
    limit->logged++;
    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    qmp_log(message, fields, "%s: %s", limit->subject, text);
}
