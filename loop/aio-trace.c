/*
 * The ring of a trace: one writer that never waits, readers that discard what it overtakes.
 *
 * The home thread stores a record's fields, then the number of records written so far. A reader
 * loads that number, copies the slots, and loads it again: a slot that the writer has come to
 * meanwhile is not used. Memory order: the fields are stored with release and loaded with acquire.
 * So a reader that sees any of record w in a slot also sees a number of at least w, which was
 * stored before; it knows by that number that the slot is no longer the one of the record w - n
 * that it was after. For the same reason the oldest slot is never used: the writer may be at it.
 * The number is stored with release and loaded with acquire too, so that the records that it counts
 * are whole.
 */
#include "config.h"
#include "loop/aio-internal.h"
#include "loop/aio-trace.h"

#include <stdlib.h>
#include <string.h>

typedef struct TraceSlot {
    _Atomic int64_t begin_ns;
    _Atomic int64_t duration_ns;
    _Atomic(const char *) name;
    _Atomic int kind;
    _Atomic int fd;
} TraceSlot;

G_STATIC_ASSERT(sizeof(TraceSlot) == AIO_TRACE_RECORD_SIZE);

struct AioTrace {
    _Atomic unsigned refcount;
    _Atomic uint64_t n_written; /* by the home thread */
    size_t next;                /* home thread: n_written modulo n_slots */
    size_t n_slots;
    TraceSlot slots[];
};

static _Atomic unsigned n_traces; /* that there are, or are about to be */

AioTrace *aio_trace_new(size_t n_records)
{
    size_t n_slots = n_records + 1;
    AioTrace *trace = NULL;

    /* Relaxed, here and below: a number, that no other data is published by. */
    if (atomic_fetch_add_explicit(&n_traces, 1, memory_order_relaxed) < AIO_TRACE_MAX &&
        n_records < G_MAXINT) {
        trace = calloc(1, sizeof(AioTrace) + n_slots * sizeof(TraceSlot));
    }
    if (!trace) {
        atomic_fetch_sub_explicit(&n_traces, 1, memory_order_relaxed);
        return NULL;
    }
    trace->refcount = 1;
    trace->n_slots = n_slots;
    return trace;
}

AioTrace *aio_trace_ref(AioTrace *trace)
{
    /* Relaxed: whoever takes a reference has one already. */
    atomic_fetch_add_explicit(&trace->refcount, 1, memory_order_relaxed);
    return trace;
}

void aio_trace_unref(AioTrace *trace)
{
    /* Acquire-release: what others did with it happens before it is freed. */
    if (atomic_fetch_sub_explicit(&trace->refcount, 1, memory_order_acq_rel) == 1) {
        free(trace);
        atomic_fetch_sub_explicit(&n_traces, 1, memory_order_relaxed);
    }
}

static void drop(void *opaque)
{
    aio_trace_unref(opaque);
}

void aio_context_set_trace(AioContext *ctx, AioTrace *trace)
{
    AioTrace *old;

    if (trace) {
        aio_trace_ref(trace);
    }
    /* Release: the home thread finds it initialised. */
    old = atomic_exchange_explicit(&ctx->activity->trace, trace, memory_order_release);
    if (old) {
        /* The home thread may be writing to it just now, but not while it runs a bottom half. */
        aio_bh_schedule_oneshot_full(ctx, drop, old, "aio_context_set_trace");
    }
}

void aio_trace_write(AioTrace *trace, const AioTraceRecord *record)
{
    uint64_t n_written = atomic_load_explicit(&trace->n_written, memory_order_relaxed);
    TraceSlot *slot = &trace->slots[trace->next];

    atomic_store_explicit(&slot->begin_ns, record->begin_ns, memory_order_release);
    atomic_store_explicit(&slot->duration_ns, record->duration_ns, memory_order_release);
    atomic_store_explicit(&slot->name, record->name, memory_order_release);
    atomic_store_explicit(&slot->kind, (int)record->kind, memory_order_release);
    atomic_store_explicit(&slot->fd, record->fd, memory_order_release);
    trace->next = trace->next + 1 == trace->n_slots ? 0 : trace->next + 1;
    atomic_store_explicit(&trace->n_written, n_written + 1, memory_order_release);
}

uint64_t aio_trace_count(AioTrace *trace)
{
    return atomic_load_explicit(&trace->n_written, memory_order_acquire);
}

/* The number of the oldest record whose slot the writer can't be at after it has written
 * @n_written. */
static uint64_t oldest_kept(const AioTrace *trace, uint64_t n_written)
{
    return n_written < trace->n_slots ? 0 : n_written - trace->n_slots + 1;
}

static void read_slot(AioTraceRecord *record, TraceSlot *slot)
{
    *record = (AioTraceRecord){
        .begin_ns = atomic_load_explicit(&slot->begin_ns, memory_order_acquire),
        .duration_ns = atomic_load_explicit(&slot->duration_ns, memory_order_acquire),
        .name = atomic_load_explicit(&slot->name, memory_order_acquire),
        .kind = (AioTraceKind)atomic_load_explicit(&slot->kind, memory_order_acquire),
        .fd = atomic_load_explicit(&slot->fd, memory_order_acquire),
    };
}

/* Whether @first comes before @second, or they are alike in their times. */
static bool in_order(const AioTraceRecord *first, const AioTraceRecord *second)
{
    return first->begin_ns < second->begin_ns ||
           (first->begin_ns == second->begin_ns && first->duration_ns >= second->duration_ns);
}

/* Merge sort, which is stable; @spare has room for half of them. GLib's ends the program when it
 * finds no memory, and the C library's is not always stable. */
static void sort_records(AioTraceRecord *records, size_t n, AioTraceRecord *spare)
{
    size_t half = n / 2;
    size_t second = half;
    size_t i = 0;

    if (n < 2) {
        return;
    }
    sort_records(records, half, spare);
    sort_records(records + half, n - half, spare);
    memcpy(spare, records, half * sizeof(AioTraceRecord));
    for (AioTraceRecord *to = records; i < half; to++) {
        *to = second == n || in_order(&spare[i], &records[second]) ? spare[i++] : records[second++];
    }
}

AioTraceRecord *aio_trace_copy(AioTrace *trace, size_t *n, uint64_t *n_lost)
{
    uint64_t end = aio_trace_count(trace);
    uint64_t first = oldest_kept(trace, end);
    uint64_t still_kept;
    size_t n_copied = (size_t)(end - first);
    AioTraceRecord *records = g_try_new(AioTraceRecord, MAX(n_copied, 1));
    g_autofree AioTraceRecord *spare = g_try_new(AioTraceRecord, MAX(n_copied / 2, 1));

    if (!records || !spare) {
        g_free(records);
        return NULL;
    }
    /* The last first: a record is written when it ends, so of two that are alike in their times the
     * later one contains the other, and the sort, which is stable, leaves it before that. */
    for (size_t i = 0; i < n_copied; i++) {
        read_slot(&records[i], &trace->slots[(end - 1 - i) % trace->n_slots]);
    }
    still_kept = oldest_kept(trace, aio_trace_count(trace));
    first = MAX(first, MIN(still_kept, end));
    *n = (size_t)(end - first);
    *n_lost = first;
    sort_records(records, *n, spare);
    return records;
}
