/*
 * A limit for a kind of log line that clients cause: some are logged, the rest is counted.
 */
#ifndef QMP_QMP_LOG_LIMIT_H
#define QMP_QMP_LOG_LIMIT_H

#include <glib.h>

#include "loop/aio.h"
#include "qmp/qmp-log.h"

/* So many lines are logged in a period before the rest is only counted. */
#define QMP_LOG_BURST 5

/* The period of what clients and loops can cause again and again. */
#define QMP_LOG_PERIOD_NS (10 * INT64_C(1000000000))

typedef struct QmpLogLimit QmpLogLimit;

/*
 * Lines that begin with @subject, which must stay valid, as must what @about points to. What is not
 * logged in a period appears at its end as "@subject: N further @things", a text that must stay
 * valid too, as a line of the kind @message with the fields @about. To be used in the thread of
 * @ctx.
 */
QmpLogLimit *qmp_log_limit_new(AioContext *ctx, int64_t period_ns, QmpLogMessage message,
                               const QmpLogFields *about, const char *subject, const char *things);

/* Say what has been counted and not yet said, and free @limit. NULL is ignored. */
void qmp_log_limit_free(QmpLogLimit *limit);

/* Log a line of the kind @message with @fields, as qmp_log() does, or count it. */
void qmp_log_limit_say(QmpLogLimit *limit, QmpLogMessage message, const QmpLogFields *fields,
                       const char *format, ...) G_GNUC_PRINTF(4, 5);

#endif
