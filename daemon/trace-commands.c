/*
 * trace-start, trace-stop, trace-save and query-trace.
 *
 * All may run out-of-band: a trace is wanted most while the main loop is stuck. None makes its
 * thread wait: the file is written by a worker of the pool of the loop that runs the command, and
 * the answer comes when it is done.
 */
#include "config.h"
#include "daemon/commands.h"

#include <errno.h>
#include <unistd.h>

#include "daemon/trace-save.h"
#include "daemon/trace.h"
#include "loop/thread-pool.h"
#include "qmp/qmp-error.h"
#include "qmp/qmp-request.h"

/* ---- trace-start ---- */

typedef struct StartArgs {
    json_object *loops;
    int64_t size_kib;
} StartArgs;

static const QmpMember start_members[] = {
    { .name = "loops",
      .type = &qmp_type_str_list,
      .flags = QMP_MEMBER_OPTIONAL,
      .offset = offsetof(StartArgs, loops),
      .help = "the ids of the loops; when left out, all that there are, and those that come" },
    { .name = "size-kib",
      .type = &qmp_type_int,
      .flags = QMP_MEMBER_OPTIONAL,
      .min = 4,
      .max = 65536,
      .default_int = 1024,
      .offset = offsetof(StartArgs, size_kib),
      .help = "memory for each loop, in KiB, of which a record takes 32 bytes" },
    { 0 },
};
static const QmpType start_args = {
    .kind = QMP_KIND_OBJECT,
    .name = "TraceStartArgs",
    .members = start_members,
    .size = sizeof(StartArgs),
};

static void run_start(QmpRequest *request, void *data)
{
    StartArgs *args = data;
    GError *error = NULL;

    if (trace_start(qmp_request_get_opaque(request), args->loops, args->size_kib, &error)) {
        qmp_return_empty(request);
    } else {
        qmp_fail(request, error);
    }
}

/* ---- trace-stop ---- */

typedef struct StopArgs {
    bool discard;
} StopArgs;

static const QmpMember stop_members[] = {
    { .name = "discard",
      .type = &qmp_type_bool,
      .flags = QMP_MEMBER_OPTIONAL,
      .offset = offsetof(StopArgs, discard),
      .help = "forget what was recorded, also by a trace that has stopped, and free its memory" },
    { 0 },
};
static const QmpType stop_args = {
    .kind = QMP_KIND_OBJECT,
    .name = "TraceStopArgs",
    .members = stop_members,
    .size = sizeof(StopArgs),
};

static void run_stop(QmpRequest *request, void *data)
{
    StopArgs *args = data;
    GError *error = NULL;

    if (trace_stop(qmp_request_get_opaque(request), args->discard, &error)) {
        qmp_return_empty(request);
    } else {
        qmp_fail(request, error);
    }
}

/* ---- query-trace ---- */

/* In the order of TraceState. */
static const char *const state_values[] = {
    [TRACE_OFF] = "off",
    [TRACE_ON] = "on",
    [TRACE_STOPPED] = "stopped",
    NULL,
};
static const QmpType state_enum = {
    .kind = QMP_KIND_ENUM,
    .name = "TraceState",
    .values = state_values,
};

typedef struct TraceLoopInfo {
    char *loop;
    int64_t thread_id;
    bool gone;
    int64_t records;
    int64_t lost;
} TraceLoopInfo;

static const QmpMember trace_loop_members[] = {
    { .name = "loop",
      .type = &qmp_type_str,
      .offset = offsetof(TraceLoopInfo, loop),
      .help = "its id" },
    { .name = "thread-id",
      .type = &qmp_type_int,
      .offset = offsetof(TraceLoopInfo, thread_id),
      .help = "the id of its thread as the kernel knows it" },
    { .name = "gone",
      .type = &qmp_type_bool,
      .offset = offsetof(TraceLoopInfo, gone),
      .help = "whether it has been deleted" },
    { .name = "records",
      .type = &qmp_type_int,
      .offset = offsetof(TraceLoopInfo, records),
      .help = "how many there are" },
    { .name = "lost",
      .type = &qmp_type_int,
      .offset = offsetof(TraceLoopInfo, lost),
      .help = "how many were overwritten by later ones" },
    { 0 },
};
static const QmpType trace_loop_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "TraceLoop",
    .members = trace_loop_members,
    .size = sizeof(TraceLoopInfo),
};
static const QmpType trace_loop_list_type = {
    .kind = QMP_KIND_ARRAY,
    .element = &trace_loop_type,
};

typedef struct QueryResult {
    int state;
    int64_t size_kib;
    bool saving;
    json_object *loops;
} QueryResult;

static const QmpMember trace_info_members[] = {
    { .name = "state",
      .type = &state_enum,
      .offset = offsetof(QueryResult, state),
      .help = "off: there is none; on: the loops record; stopped: they do not, what they did is "
              "kept" },
    { .name = "size-kib",
      .type = &qmp_type_int,
      .flags = QMP_MEMBER_MAYBE_ABSENT,
      .offset = offsetof(QueryResult, size_kib),
      .help = "unless it is off: memory for each loop, in KiB" },
    { .name = "saving",
      .type = &qmp_type_bool,
      .offset = offsetof(QueryResult, saving),
      .help = "whether a trace-save is under way" },
    { .name = "loops",
      .type = &trace_loop_list_type,
      .offset = offsetof(QueryResult, loops),
      .help = "the loops that are or were traced" },
    { 0 },
};
static const QmpType trace_info_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "TraceInfo",
    .members = trace_info_members,
    .size = sizeof(QueryResult),
};

static void add_loop(const TraceLoop *loop, int64_t n_records, void *loops)
{
    int64_t count = (int64_t)aio_trace_count(loop->ring);
    TraceLoopInfo info = {
        .loop = loop->id,
        .thread_id = loop->thread_id,
        .gone = !loop->ctx,
        .records = MIN(count, n_records),
        .lost = MAX(count - n_records, 0),
    };

    json_object_array_add(loops, qmp_marshal(&trace_loop_type, &info));
}

static void run_query(QmpRequest *request, void *args)
{
    QueryResult result = { .loops = json_object_new_array() };
    TraceInfo info;

    trace_query(qmp_request_get_opaque(request), &info, add_loop, result.loops);
    result.state = (int)info.state;
    result.size_kib = info.size_kib;
    result.saving = info.saving;
    qmp_return(request, qmp_marshal(&trace_info_type, &result));
    json_object_put(result.loops);
}

/* ---- trace-save ---- */

typedef struct Save {
    QmpRequest *request;
    Trace *trace;
    GArray *snapshots; /* of TraceSnapshot */
    int fd;
    GError *error;
} Save;

static void save_free(Save *save)
{
    g_clear_pointer(&save->snapshots, g_array_unref);
    if (save->fd >= 0) {
        close(save->fd);
    }
    g_clear_error(&save->error);
    g_free(save);
}

/* In a worker. It closes the file too, which may take time. */
static int write_file(void *opaque)
{
    Save *save = opaque;
    bool ok = trace_save(save->snapshots, save->fd, &save->error);

    if (close(save->fd) != 0 && ok) {
        save->error = g_error_new(QMP_ERROR, QMP_ERROR_GENERIC, "The file can't be written: %s",
                                  g_strerror(errno));
    }
    save->fd = -1;
    return 0;
}

static void trace_is_saved(void *opaque, int result)
{
    Save *save = opaque;
    QmpRequest *request = save->request;
    GError *error = g_steal_pointer(&save->error);

    trace_end_save(save->trace);
    save_free(save);
    if (result != 0) {
        qmp_fail_generic(request, "No thread could be started to write the file");
    } else if (error) {
        qmp_fail(request, error);
    } else {
        qmp_return_empty(request);
    }
}

static void run_save(QmpRequest *request, void *args)
{
    Trace *trace = qmp_request_get_opaque(request);
    Save *save = g_new(Save, 1);
    GError *error = NULL;

    *save = (Save){ .request = request, .trace = trace };
    save->fd = qmp_request_take_fd(request, "", &error);
    if (save->fd >= 0) {
        save->snapshots = trace_begin_save(trace, &error);
    }
    if (save->snapshots && !qmp_request_answer_later(request, &error)) {
        trace_end_save(trace);
    }
    if (error) {
        save_free(save);
        qmp_fail(request, error);
    } else {
        thread_pool_submit(qemu_get_current_aio_context(), write_file, trace_is_saved, save);
    }
}

const QmpCommand trace_commands[] = {
    { .name = "trace-start",
      .flags = QMP_COMMAND_ALLOW_OOB,
      .args = &start_args,
      .ret = &qmp_type_empty,
      .run = run_start,
      .help = "let loops record what they do, the last of it in rings of a fixed size; what an "
              "earlier trace has kept is forgotten",
      .errors = "GenericError when a trace is on, there is no such loop, or no memory" },
    { .name = "trace-stop",
      .flags = QMP_COMMAND_ALLOW_OOB,
      .args = &stop_args,
      .ret = &qmp_type_empty,
      .run = run_stop,
      .help = "let loops record no more; what they did can still be saved",
      .errors = "GenericError when there is nothing to stop, or to discard" },
    { .name = "trace-save",
      .flags = QMP_COMMAND_ALLOW_OOB | QMP_COMMAND_TAKES_FD,
      .args = &qmp_type_empty,
      .ret = &qmp_type_empty,
      .run = run_save,
      .help = "write what was recorded, as JSON in the Trace Event Format, to the regular file "
              "whose descriptor is sent along, in place of what is in it",
      .errors =
          "GenericError when there is no trace, another save is under way, there is no memory "
          "to copy it, or the file can't be written" },
    { .name = "query-trace",
      .flags = QMP_COMMAND_ALLOW_OOB | QMP_COMMAND_READ_ONLY,
      .args = &qmp_type_empty,
      .ret = &trace_info_type,
      .run = run_query,
      .help = "whether there is a trace, and how much of what each loop did is in it" },
    { 0 },
};
