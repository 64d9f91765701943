/*
 * A limit for a kind of log line that clients cause: some are logged, the rest is counted.
 */
#ifndef QMP_QMP_LOG_LIMIT_H
#define QMP_QMP_LOG_LIMIT_H

#include <glib.h>

#include "loop/aio.h"

/* So many lines are logged in a period before the rest is only counted. */
#define QMP_LOG_BURST 5

typedef struct QmpLogLimit QmpLogLimit;

/* Lines that begin with @subject, which must stay valid; what is not logged in a period appears at
 * its end as "@subject: N further @things", a text that must stay valid too. To be used in the
 * thread of @ctx. */
QmpLogLimit *qmp_log_limit_new(AioContext *ctx, int64_t period_ns, const char *subject,
                               const char *things);

/* Say what has been counted and not yet said, and free @limit. NULL is ignored. */
void qmp_log_limit_free(QmpLogLimit *limit);

/* Log a warning, or count it. */
void qmp_log_limit_warn(QmpLogLimit *limit, const char *format, ...) G_GNUC_PRINTF(2, 3);

#endif
