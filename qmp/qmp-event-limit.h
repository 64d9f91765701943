/*
 * Rate limits of events that can flood, as their table entries declare them.
 *
 * Of similar events, the first is sent at once. Those that follow within the event's limit_ms wait,
 * and each replaces the one before it; the last is sent when that time is over, and the time begins
 * anew. So clients get the latest state, late at most by that time, and never an older one after a
 * newer one.
 */
#ifndef QMP_QMP_EVENT_LIMIT_H
#define QMP_QMP_EVENT_LIMIT_H

#include "loop/aio.h"
#include "qmp/qmp-command.h"

typedef struct QmpEventLimit QmpEventLimit;

/* Give the event in @line to all sessions. In the thread that emits it, or in the home thread. */
typedef void QmpEventSendFunc(const GString *line, void *opaque);

/* Limits whose late events are sent in the home thread of @ctx, by @clock. Any thread. */
QmpEventLimit *qmp_event_limit_new(AioContext *ctx, QEMUClockType clock, QmpEventSendFunc *send,
                                   void *opaque);

/* Forget events that wait. Nobody emits any more. Home thread, or any once that has ended. */
void qmp_event_limit_free(QmpEventLimit *limit);

/* Send @event with the bound struct @data, which makes @line, a reference to which is taken over:
 * now or later, or never when a later one replaces it. Any thread. */
void qmp_event_limit_emit(QmpEventLimit *limit, const QmpEvent *event, const void *data,
                          GString *line);

/* Send what waits, in the order in which it came, and limit nothing from now on. Home thread. */
void qmp_event_limit_end(QmpEventLimit *limit);

#endif
