/*
 * The trace of all loops: a ring for each that is traced, from a start to a stop, and the rings
 * after that until they are discarded or replaced.
 *
 * It follows IOThreads: one that comes is traced too, unless the start named its loops; the ring of
 * one that goes is kept. All functions may be called from any thread, while loops run or are stuck.
 */
#ifndef DAEMON_TRACE_H
#define DAEMON_TRACE_H

#include <stdbool.h>
#include <stdint.h>
#include <glib.h>
#include <json-c/json.h>

#include "loop/aio-stats.h"
#include "loop/aio-trace.h"

typedef struct Trace Trace;

typedef enum {
    TRACE_OFF,     /* there is none */
    TRACE_ON,      /* loops record */
    TRACE_STOPPED, /* they do not, and what they did is kept */
} TraceState;

/* Rings of loops that are gone: so many are kept, the last ones. */
#define TRACE_MAX_GONE 16

/* No trace. */
Trace *trace_new(void);

/* Stop recording and free it all. No save is under way. Main thread. */
void trace_free(Trace *trace);

/* Record in rings of @size_kib each what the loops of the ids in @loops do, or, when that is NULL,
 * all loops, and those that come. A trace that was stopped is discarded. False and @errp when one
 * is on, there is no such loop, or no memory. */
bool trace_start(Trace *trace, json_object *loops, int64_t size_kib, GError **errp);

/* Stop recording; with @discard forget what was recorded, also by a trace that has stopped. False
 * and @errp when there is nothing to stop. */
bool trace_stop(Trace *trace, bool discard, GError **errp);

/* What is known of one loop's. */
typedef struct TraceLoop {
    char *id;
    int64_t thread_id;
    AioContext *ctx; /* NULL: the loop is gone */
    AioTrace *ring;
} TraceLoop;

typedef struct TraceInfo {
    TraceState state;
    int64_t size_kib; /* of each ring; 0 when off */
    bool saving;
} TraceInfo;

/* Get @info, and call @func for each loop that is or was traced, with a lock held: it must not
 * wait, nor call functions of this file. */
void trace_query(Trace *trace, TraceInfo *info,
                 void (*func)(const TraceLoop *loop, int64_t n_records, void *opaque),
                 void *opaque);

/* One loop at one moment. */
typedef struct TraceSnapshot {
    char *id;
    int64_t thread_id;
    AioTrace *ring;       /* a reference */
    int64_t taken_ns;     /* what ends later is not part of it; INT64_MAX when nothing was on */
    AioActivity activity; /* what the loop was at then; AIO_STATE_UNUSED when that is not known */
} TraceSnapshot;

/* Begin to save: the snapshots of all loops, of TraceSnapshot, which the caller frees. NULL and
 * @errp when there is no trace, or a save is under way. trace_end_save() ends it. */
GArray *trace_begin_save(Trace *trace, GError **errp);
void trace_end_save(Trace *trace);

#endif
