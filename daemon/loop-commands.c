/*
 * query-loops and query-sources: what every loop does now, and what runs on it.
 *
 * Both may run out-of-band, on the monitor thread, while the loops run or are stuck: they read what
 * the loops publish, and hold the list of IOThreads so that none goes away meanwhile.
 */
#include "config.h"
#include "daemon/commands.h"

#include <string.h>

#include "daemon/loops.h"
#include "qmp/qmp-request.h"

/* ---- query-loops ---- */

/* In the order of AioState. */
static const char *const state_values[] = {
    [AIO_STATE_UNUSED] = "unused",     [AIO_STATE_IDLE] = "idle",
    [AIO_STATE_POLLING] = "polling",   [AIO_STATE_LOOP] = "running",
    [AIO_STATE_CALLBACK] = "callback", NULL,
};
static const QmpType state_enum = {
    .kind = QMP_KIND_ENUM,
    .name = "LoopState",
    .values = state_values,
};

typedef struct LoopInfo {
    char *id;
    int64_t thread_id;
    char *fdmon;
    int state;
    char *source;
    int64_t state_ns;
    bool stalled;
    int64_t stalled_since_ns;
    int64_t passes;
    int64_t waits;
    int64_t fd_callbacks;
    int64_t bh_callbacks;
    int64_t timer_callbacks;
    int64_t busy_ns;
    int64_t polling_ns;
    int64_t blocked_ns;
    int64_t poll_ns;
    int64_t polls_hit;
    int64_t polls_missed;
} LoopInfo;

static const QmpMember loop_info_members[] = {
    { .name = "id",
      .type = &qmp_type_str,
      .offset = offsetof(LoopInfo, id),
      .help = "'main-loop', 'mon_iothread', or the id of an IOThread" },
    { .name = "thread-id",
      .type = &qmp_type_int,
      .offset = offsetof(LoopInfo, thread_id),
      .help = "the id of its thread as the kernel knows it" },
    { .name = "fdmon",
      .type = &qmp_type_str,
      .offset = offsetof(LoopInfo, fdmon),
      .help = "how it learns which descriptors are ready" },
    { .name = "state",
      .type = &state_enum,
      .offset = offsetof(LoopInfo, state),
      .help = "what it does now" },
    { .name = "source",
      .type = &qmp_type_str,
      .flags = QMP_MEMBER_MAYBE_ABSENT,
      .offset = offsetof(LoopInfo, source),
      .help = "in the state 'callback', the name of it" },
    { .name = "state-ns",
      .type = &qmp_type_int,
      .offset = offsetof(LoopInfo, state_ns),
      .help = "for how long, in ns" },
    { .name = "stalled",
      .type = &qmp_type_bool,
      .offset = offsetof(LoopInfo, stalled),
      .help = "whether something has held it for longer than --stall-threshold-ms" },
    { .name = "stalled-since-ns",
      .type = &qmp_type_int,
      .flags = QMP_MEMBER_MAYBE_ABSENT,
      .offset = offsetof(LoopInfo, stalled_since_ns),
      .help = "when stalled, since when: a time of the clock 'realtime'" },
    { .name = "passes",
      .type = &qmp_type_int,
      .offset = offsetof(LoopInfo, passes),
      .help = "turns of the loop" },
    { .name = "waits",
      .type = &qmp_type_int,
      .offset = offsetof(LoopInfo, waits),
      .help = "times that it went to sleep" },
    { .name = "fd-callbacks",
      .type = &qmp_type_int,
      .offset = offsetof(LoopInfo, fd_callbacks),
      .help = "handlers of descriptors called" },
    { .name = "bh-callbacks",
      .type = &qmp_type_int,
      .offset = offsetof(LoopInfo, bh_callbacks),
      .help = "bottom halves run" },
    { .name = "timer-callbacks",
      .type = &qmp_type_int,
      .offset = offsetof(LoopInfo, timer_callbacks),
      .help = "timers fired" },
    { .name = "busy-ns",
      .type = &qmp_type_int,
      .offset = offsetof(LoopInfo, busy_ns),
      .help = "time awake, in ns, up to the last change of state" },
    { .name = "polling-ns",
      .type = &qmp_type_int,
      .offset = offsetof(LoopInfo, polling_ns),
      .help = "time polling in user space, likewise" },
    { .name = "blocked-ns",
      .type = &qmp_type_int,
      .offset = offsetof(LoopInfo, blocked_ns),
      .help = "time asleep, likewise" },
    { .name = "poll-ns",
      .type = &qmp_type_int,
      .offset = offsetof(LoopInfo, poll_ns),
      .help = "how long it polls at present before it goes to sleep, in ns; 0 too while it "
              "has to wait for a processor itself" },
    { .name = "polls-hit",
      .type = &qmp_type_int,
      .offset = offsetof(LoopInfo, polls_hit),
      .help = "times that polling found something to do" },
    { .name = "polls-missed",
      .type = &qmp_type_int,
      .offset = offsetof(LoopInfo, polls_missed),
      .help = "times that it found nothing, and the loop went to sleep" },
    { 0 },
};
static const QmpType loop_info_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "LoopInfo",
    .members = loop_info_members,
    .size = sizeof(LoopInfo),
};
static const QmpType loop_info_list_type = {
    .kind = QMP_KIND_ARRAY,
    .element = &loop_info_type,
};

/* Add the counters of one context; times are not added up, for contexts of one thread share them.
 */
static void add_stats(LoopInfo *info, AioContext *ctx)
{
    AioContextStats stats;

    aio_context_get_stats(ctx, &stats);
    info->passes += (int64_t)stats.passes;
    info->waits += (int64_t)stats.waits;
    info->fd_callbacks += (int64_t)stats.fd_callbacks;
    info->bh_callbacks += (int64_t)stats.bh_callbacks;
    info->timer_callbacks += (int64_t)stats.timer_callbacks;
    info->busy_ns = (int64_t)stats.busy_ns;
    info->polling_ns = (int64_t)stats.polling_ns;
    info->blocked_ns = (int64_t)stats.blocked_ns;
    /* They poll together, for as long as the longer of the two. */
    info->poll_ns = MAX(info->poll_ns, (int64_t)stats.poll_ns);
    info->polls_hit += (int64_t)stats.polls_hit;
    info->polls_missed += (int64_t)stats.polls_missed;
}

typedef struct LoopsQuery {
    int64_t stall_threshold_ns;
    json_object *list;
} LoopsQuery;

static void add_loop(const char *id, pid_t thread_id, AioContext *ctx, AioContext *second,
                     void *opaque)
{
    LoopsQuery *query = opaque;
    LoopInfo info = {
        .id = (char *)id,
        .thread_id = thread_id,
        .fdmon = (char *)aio_context_get_fdmon(ctx),
    };
    AioActivity activity;
    int64_t now_ns;

    aio_context_get_activity(ctx, &activity);
    now_ns = qemu_clock_get_ns(QEMU_CLOCK_REALTIME);
    info.state = (int)activity.state;
    info.source = (char *)activity.source;
    info.state_ns = MAX(now_ns - activity.since_ns, 0);
    if (query->stall_threshold_ns > 0 &&
        loop_held_ns(&activity, now_ns) > query->stall_threshold_ns) {
        info.stalled = true;
        info.stalled_since_ns = activity.changed_ns;
    }
    add_stats(&info, ctx);
    if (second) {
        add_stats(&info, second);
    }
    json_object_array_add(query->list, qmp_marshal(&loop_info_type, &info));
}

static void run_query_loops(QmpRequest *request, void *args)
{
    const int64_t *stall_threshold_ns = qmp_request_get_opaque(request);
    LoopsQuery query = {
        .stall_threshold_ns = stall_threshold_ns ? *stall_threshold_ns : 0,
        .list = json_object_new_array(),
    };

    loops_foreach(add_loop, &query);
    qmp_return(request, query.list);
}

/* ---- query-sources ---- */

/* In the order of AioSourceKind. */
static const char *const kind_values[] = {
    [AIO_SOURCE_FD] = "fd",
    [AIO_SOURCE_BH] = "bh",
    [AIO_SOURCE_ONESHOT_BH] = "oneshot-bh",
    [AIO_SOURCE_REQUEST] = "request",
    [AIO_SOURCE_TIMER] = "timer",
    NULL,
};
static const QmpType kind_enum = {
    .kind = QMP_KIND_ENUM,
    .name = "SourceKind",
    .values = kind_values,
};

typedef struct SourceInfo {
    char *loop;
    int kind;
    char *name;
    int64_t fd;
    int64_t deadline_ns;
    int64_t calls;
    int64_t total_ns;
    int64_t max_ns;
} SourceInfo;

static const QmpMember source_info_members[] = {
    { .name = "loop",
      .type = &qmp_type_str,
      .offset = offsetof(SourceInfo, loop),
      .help = "the id of the loop that it runs on" },
    { .name = "kind",
      .type = &kind_enum,
      .offset = offsetof(SourceInfo, kind),
      .help = "what it is" },
    { .name = "name",
      .type = &qmp_type_str,
      .offset = offsetof(SourceInfo, name),
      .help = "its name: that of its callback, unless it was given one" },
    { .name = "fd",
      .type = &qmp_type_int,
      .flags = QMP_MEMBER_MAYBE_ABSENT,
      .default_int = -1,
      .offset = offsetof(SourceInfo, fd),
      .help = "of an fd: the descriptor" },
    { .name = "deadline-ns",
      .type = &qmp_type_int,
      .flags = QMP_MEMBER_MAYBE_ABSENT,
      .default_int = -1,
      .offset = offsetof(SourceInfo, deadline_ns),
      .help = "of a timer: when it fires, in ns of its clock" },
    { .name = "calls",
      .type = &qmp_type_int,
      .offset = offsetof(SourceInfo, calls),
      .help = "how often its callback has been called" },
    { .name = "total-ns",
      .type = &qmp_type_int,
      .offset = offsetof(SourceInfo, total_ns),
      .help = "time in its callback, all calls together, in ns" },
    { .name = "max-ns",
      .type = &qmp_type_int,
      .offset = offsetof(SourceInfo, max_ns),
      .help = "time of the longest call, in ns" },
    { 0 },
};
static const QmpType source_info_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "SourceInfo",
    .members = source_info_members,
    .size = sizeof(SourceInfo),
};
static const QmpType source_info_list_type = {
    .kind = QMP_KIND_ARRAY,
    .element = &source_info_type,
};

typedef struct SourcesArgs {
    char *loop;
} SourcesArgs;

static const QmpMember sources_members[] = {
    { .name = "loop",
      .type = &qmp_type_str,
      .flags = QMP_MEMBER_OPTIONAL,
      .offset = offsetof(SourcesArgs, loop),
      .help = "the id of a loop; all when left out" },
    { 0 },
};
static const QmpType sources_args = {
    .kind = QMP_KIND_OBJECT,
    .name = "QuerySourcesArgs",
    .members = sources_members,
    .size = sizeof(SourcesArgs),
};

typedef struct SourcesQuery {
    const char *wanted; /* the id of a loop, or NULL */
    bool found;
    GArray *infos; /* of AioSourceInfo: what the loop's locks are held for */
    json_object *list;
} SourcesQuery;

static void copy_source(const AioSourceInfo *info, void *infos)
{
    g_array_append_vals(infos, info, 1);
}

static void add_sources(const char *id, pid_t thread_id, AioContext *ctx, AioContext *second,
                        void *opaque)
{
    SourcesQuery *query = opaque;

    if (query->wanted && strcmp(query->wanted, id) != 0) {
        return;
    }
    query->found = true;
    g_array_set_size(query->infos, 0);
    aio_context_foreach_source(ctx, copy_source, query->infos);
    if (second) {
        aio_context_foreach_source(second, copy_source, query->infos);
    }
    for (guint i = 0; i < query->infos->len; i++) {
        const AioSourceInfo *from = &g_array_index(query->infos, AioSourceInfo, i);
        SourceInfo info = {
            .loop = (char *)id,
            .kind = (int)from->kind,
            .name = (char *)from->name,
            .fd = from->fd,
            .deadline_ns = from->deadline_ns,
            .calls = (int64_t)from->calls,
            .total_ns = (int64_t)from->total_ns,
            .max_ns = (int64_t)from->max_ns,
        };

        json_object_array_add(query->list, qmp_marshal(&source_info_type, &info));
    }
}

static void run_query_sources(QmpRequest *request, void *data)
{
    SourcesArgs *args = data;
    SourcesQuery query = {
        .wanted = args->loop,
        .infos = g_array_new(FALSE, FALSE, sizeof(AioSourceInfo)),
        .list = json_object_new_array(),
    };

    loops_foreach(add_sources, &query);
    g_array_unref(query.infos);
    if (query.wanted && !query.found) {
        json_object_put(query.list);
        qmp_fail_generic(request, "Parameter 'loop': there is no loop '%s'", query.wanted);
        return;
    }
    qmp_return(request, query.list);
}

const QmpCommand loop_commands[] = {
    { .name = "query-loops",
      .flags = QMP_COMMAND_ALLOW_OOB | QMP_COMMAND_READ_ONLY,
      .args = &qmp_type_empty,
      .ret = &loop_info_list_type,
      .run = run_query_loops,
      .help = "every loop: what it does now, its counters and times" },
    { .name = "query-sources",
      .flags = QMP_COMMAND_ALLOW_OOB | QMP_COMMAND_READ_ONLY,
      .args = &sources_args,
      .ret = &source_info_list_type,
      .run = run_query_sources,
      .help = "what runs on every loop, or on one: kind, name, calls and times",
      .errors = "GenericError when there is no such loop" },
    { 0 },
};
