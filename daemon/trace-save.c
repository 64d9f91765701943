/*
 * Writing a trace, in the JSON object form of the document "Trace Event Format" (N. Duca,
 * D. Sinclair), which Perfetto and Chrome open.
 *
 * A record is a complete event ("ph": "X"): its name, its kind as category, the process and thread,
 * when it began and how long it took, in microseconds with the nanoseconds as fraction. Metadata
 * events ("ph": "M") name the process and the threads. Times count from the earliest event, whose
 * time on CLOCK_MONOTONIC is "start-ns" in "otherData": a reader that takes them for doubles loses
 * nothing of small numbers. A loop's events come in the order of their beginnings, and one that
 * contains others before these.
 *
 * What a loop is at when the trace is saved has no end yet. It is written as far as it has come,
 * with "unfinished" among its arguments, so that a loop that is stuck shows where.
 */
#include "config.h"
#include "daemon/trace-save.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/trace.h"
#include "qmp/qmp-error.h"
#include "qmp/qmp-json.h"

/* So much text is written at a time. Little, for GString ends the program when it finds no memory.
 */
#define CHUNK ((size_t)16 * 1024)

/* A loop's records, copied. */
typedef struct LoopRecords {
    const TraceSnapshot *snapshot;
    AioTraceRecord *records;
    size_t n;
    uint64_t n_lost;
} LoopRecords;

typedef struct Writer {
    int fd;
    int64_t start_ns; /* of the earliest event */
    GString *text;    /* not written yet */
    int err;          /* an errno; 0: none so far */
} Writer;

static void flush(Writer *writer)
{
    size_t done = 0;

    while (done < writer->text->len && writer->err == 0) {
        ssize_t n = write(writer->fd, writer->text->str + done, writer->text->len - done);

        if (n >= 0) {
            done += (size_t)n;
        } else if (errno != EINTR) {
            writer->err = errno;
        }
    }
    g_string_truncate(writer->text, 0);
}

/* ---- events ---- */

/* By AioTraceKind: the category, which is the name too of what has none of its own. */
static const char *const categories[] = {
    "wait", "poll", "pass", "fd", "bh", "oneshot-bh", "request", "timer", "job",
};

static void append_string(GString *text, const char *string)
{
    g_string_append_c(text, '"');
    qmp_json_escape(text, string, strlen(string));
    g_string_append_c(text, '"');
}

static void begin_event(GString *text, const char *phase, const char *name, int64_t thread_id)
{
    g_string_append(text, "{\"name\":");
    append_string(text, name);
    g_string_append_printf(text, ",\"ph\":\"%s\",\"pid\":%d,\"tid\":%" PRId64, phase, (int)getpid(),
                           thread_id);
}

static void append_name_of(GString *text, const char *what, int64_t thread_id, const char *name)
{
    begin_event(text, "M", what, thread_id);
    g_string_append(text, ",\"args\":{\"name\":");
    append_string(text, name);
    g_string_append(text, "}}");
}

/* Nanoseconds as microseconds. */
static void append_time(GString *text, const char *name, int64_t ns)
{
    g_string_append_printf(text, ",\"%s\":%" PRId64 ".%03d", name, ns / 1000, (int)(ns % 1000));
}

static void write_event(Writer *writer, int64_t thread_id, const char *category,
                        const AioTraceRecord *record, bool unfinished)
{
    GString *text = writer->text;

    g_string_append(text, ",\n");
    begin_event(text, "X", record->name ? record->name : category, thread_id);
    g_string_append_printf(text, ",\"cat\":\"%s\"", category);
    append_time(text, "ts", record->begin_ns - writer->start_ns);
    append_time(text, "dur", record->duration_ns);
    if (record->fd >= 0) {
        g_string_append_printf(text, ",\"args\":{\"fd\":%d}", record->fd);
    } else if (unfinished) {
        g_string_append(text, ",\"args\":{\"unfinished\":true}");
    }
    g_string_append_c(text, '}');
    if (text->len >= CHUNK) {
        flush(writer);
    }
}

/* ---- loops ---- */

/* What the loop of @snapshot was at, and its category; NULL when it was at nothing. */
static const char *get_unfinished(const TraceSnapshot *snapshot, AioTraceRecord *record)
{
    const AioActivity *activity = &snapshot->activity;

    *record = (AioTraceRecord){
        .begin_ns = activity->since_ns,
        .duration_ns = snapshot->taken_ns - activity->since_ns,
        .name = activity->source,
        .fd = -1,
    };
    switch (activity->state) {
    case AIO_STATE_IDLE:
        return categories[AIO_TRACE_WAIT];
    case AIO_STATE_POLLING:
        return categories[AIO_TRACE_POLL];
    case AIO_STATE_LOOP:
        return categories[AIO_TRACE_PASS];
    case AIO_STATE_CALLBACK:
        return "callback";
    case AIO_STATE_UNUSED:
        break;
    }
    return NULL;
}

static bool is_in_snapshot(const LoopRecords *loop, const AioTraceRecord *record)
{
    return record->begin_ns <= loop->snapshot->taken_ns - record->duration_ns;
}

static void write_loop(Writer *writer, const LoopRecords *loop)
{
    int64_t thread_id = loop->snapshot->thread_id;
    AioTraceRecord unfinished;
    const char *category = get_unfinished(loop->snapshot, &unfinished);

    g_string_append(writer->text, ",\n");
    append_name_of(writer->text, "thread_name", thread_id, loop->snapshot->id);
    for (size_t i = 0; i < loop->n; i++) {
        const AioTraceRecord *record = &loop->records[i];

        if (!is_in_snapshot(loop, record)) {
            continue;
        }
        if (category && record->begin_ns >= unfinished.begin_ns) {
            write_event(writer, thread_id, category, &unfinished, true);
            category = NULL;
        }
        write_event(writer, thread_id, categories[record->kind], record, false);
    }
    if (category) {
        write_event(writer, thread_id, category, &unfinished, true);
    }
}

/* ---- the file ---- */

static void clear_records(void *data)
{
    g_free(((LoopRecords *)data)->records);
}

/* All loops' records at once: they are in the memory of a save, and not of the trace any more. NULL
 * and @errp when there is none. */
static GArray *copy_records(const GArray *snapshots, GError **errp)
{
    g_autoptr(GArray) loops = g_array_new(FALSE, FALSE, sizeof(LoopRecords));

    g_array_set_clear_func(loops, clear_records);
    for (guint i = 0; i < snapshots->len; i++) {
        LoopRecords loop = { .snapshot = &g_array_index(snapshots, TraceSnapshot, i) };

        loop.records = aio_trace_copy(loop.snapshot->ring, &loop.n, &loop.n_lost);
        if (!loop.records) {
            qmp_error_set(errp, "There is no memory to copy the trace");
            return NULL;
        }
        g_array_append_val(loops, loop);
    }
    return g_steal_pointer(&loops);
}

static int64_t find_start(const GArray *loops)
{
    int64_t start_ns = INT64_MAX;

    for (guint i = 0; i < loops->len; i++) {
        const LoopRecords *loop = &g_array_index(loops, LoopRecords, i);
        AioTraceRecord unfinished;

        if (loop->n > 0) {
            start_ns = MIN(start_ns, loop->records[0].begin_ns);
        }
        if (get_unfinished(loop->snapshot, &unfinished)) {
            start_ns = MIN(start_ns, unfinished.begin_ns);
        }
    }
    return start_ns == INT64_MAX ? 0 : start_ns;
}

static uint64_t count_lost(const GArray *loops)
{
    uint64_t n_lost = 0;

    for (guint i = 0; i < loops->len; i++) {
        n_lost += g_array_index(loops, LoopRecords, i).n_lost;
    }
    return n_lost;
}

static void write_all(Writer *writer, const GArray *loops)
{
    GString *text = writer->text;

    writer->start_ns = find_start(loops);
    g_string_append_printf(text,
                           "{\"displayTimeUnit\":\"ns\",\"otherData\":{\"version\":\"%s\","
                           "\"clock\":\"CLOCK_MONOTONIC\",\"start-ns\":%" PRId64
                           ",\"lost\":%" PRIu64 "},\n\"traceEvents\":[\n",
                           PACKAGE_STRING, writer->start_ns, count_lost(loops));
    append_name_of(text, "process_name", getpid(), PACKAGE);
    for (guint i = 0; i < loops->len; i++) {
        write_loop(writer, &g_array_index(loops, LoopRecords, i));
    }
    g_string_append(text, "\n]}\n");
    flush(writer);
}

static bool empty_file(int fd, GError **errp)
{
    struct stat status;

    if (fstat(fd, &status) == 0 && !S_ISREG(status.st_mode)) {
        return qmp_error_set(errp, "The descriptor is not one of a regular file");
    }
    if (ftruncate(fd, 0) != 0 || lseek(fd, 0, SEEK_SET) != 0) {
        return qmp_error_set(errp, "The file can't be written: %s", g_strerror(errno));
    }
    return true;
}

bool trace_save(GArray *snapshots, int fd, GError **errp)
{
    Writer writer = { .fd = fd };
    g_autoptr(GArray) loops = NULL;

    loops = copy_records(snapshots, errp);
    if (!loops || !empty_file(fd, errp)) {
        return false;
    }
    writer.text = g_string_sized_new(CHUNK + 1024);
    write_all(&writer, loops);
    g_string_free(writer.text, TRUE);
    return writer.err == 0 ||
           qmp_error_set(errp, "The file can't be written: %s", g_strerror(writer.err));
}
