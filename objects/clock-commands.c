/*
 * The clocks. All commands may run out-of-band: they touch no object, and to stop a clock is a way
 * out when a timer of it is a nuisance.
 */
#include "config.h"
#include "objects/clock-commands.h"

#include "loop/timer.h"
#include "qmp/qmp-request.h"

static const char *const clock_values[] = {
    [QEMU_CLOCK_REALTIME] = "realtime",
    [QEMU_CLOCK_VIRTUAL] = "virtual",
    [QEMU_CLOCK_HOST] = "host",
    [QEMU_CLOCK_VIRTUAL_RT] = "virtual-rt",
    NULL,
};
const QmpType clock_enum = {
    .kind = QMP_KIND_ENUM,
    .name = "Clock",
    .values = clock_values,
};

/* ---- query-clocks ---- */

typedef struct ClockInfo {
    int clock; /* a QEMUClockType */
    int64_t now_ns;
    bool running;
} ClockInfo;

static const QmpMember clock_info_members[] = {
    { .name = "clock",
      .type = &clock_enum,
      .offset = offsetof(ClockInfo, clock),
      .help = "its name" },
    { .name = "now-ns",
      .type = &qmp_type_int,
      .offset = offsetof(ClockInfo, now_ns),
      .help = "what it shows, in ns" },
    { .name = "running",
      .type = &qmp_type_bool,
      .offset = offsetof(ClockInfo, running),
      .help = "whether it runs, and its timers fire" },
    { 0 },
};
static const QmpType clock_info_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "ClockInfo",
    .members = clock_info_members,
    .size = sizeof(ClockInfo),
};
static const QmpType clock_info_list_type = { .kind = QMP_KIND_ARRAY, .element = &clock_info_type };

static json_object *describe_clock(QEMUClockType clock)
{
    ClockInfo info = {
        .clock = (int)clock,
        .now_ns = qemu_clock_get_ns(clock),
        .running = qemu_clock_is_enabled(clock),
    };

    return qmp_marshal(&clock_info_type, &info);
}

static void run_query_clocks(QmpRequest *request, void *args)
{
    json_object *list = json_object_new_array();

    for (int i = 0; i < QEMU_CLOCK_MAX; i++) {
        json_object_array_add(list, describe_clock((QEMUClockType)i));
    }
    qmp_return(request, list);
}

/* ---- clock-stop, clock-resume ---- */

static void run_clock_stop(QmpRequest *request, void *args)
{
    qemu_clock_enable(QEMU_CLOCK_VIRTUAL, false);
    qmp_return(request, describe_clock(QEMU_CLOCK_VIRTUAL));
}

static void run_clock_resume(QmpRequest *request, void *args)
{
    qemu_clock_enable(QEMU_CLOCK_VIRTUAL, true);
    qmp_return(request, describe_clock(QEMU_CLOCK_VIRTUAL));
}

/* ---- clock-advance ---- */

/* So far can the clock be advanced: it runs on for 146 years from there. */
#define CLOCK_ADVANCE_MAX ((int64_t)1 << 62)

typedef struct AdvanceArgs {
    int64_t by_ns;
    int64_t to_ns;
} AdvanceArgs;

static const QmpMember advance_members[] = {
    { .name = "by-ns",
      .type = &qmp_type_int,
      .flags = QMP_MEMBER_OPTIONAL,
      .min = 1,
      .max = CLOCK_ADVANCE_MAX,
      .offset = offsetof(AdvanceArgs, by_ns),
      .help = "how far, in ns; either this or to-ns" },
    { .name = "to-ns",
      .type = &qmp_type_int,
      .flags = QMP_MEMBER_OPTIONAL,
      .min = 1,
      .max = CLOCK_ADVANCE_MAX,
      .offset = offsetof(AdvanceArgs, to_ns),
      .help = "what it shall show, in ns; what it has shown before changes nothing" },
    { 0 },
};
static const QmpType advance_args = {
    .kind = QMP_KIND_OBJECT,
    .name = "ClockAdvanceArgs",
    .members = advance_members,
    .size = sizeof(AdvanceArgs),
};

static void run_clock_advance(QmpRequest *request, void *data)
{
    AdvanceArgs *args = data;
    int64_t dest = args->to_ns;

    if ((args->by_ns != 0) == (args->to_ns != 0)) {
        qmp_fail_generic(request, "Either 'by-ns' or 'to-ns' is expected");
        return;
    }
    if (args->by_ns != 0 &&
        (__builtin_add_overflow(qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL), args->by_ns, &dest) ||
         dest > CLOCK_ADVANCE_MAX)) {
        qmp_fail_generic(request,
                         "Parameter 'by-ns': the clock can be advanced to %" G_GINT64_FORMAT
                         " at the most",
                         CLOCK_ADVANCE_MAX);
        return;
    }
    qemu_clock_advance_virtual_time(dest);
    qmp_return(request, describe_clock(QEMU_CLOCK_VIRTUAL));
}

/* ---- the table ---- */

const QmpCommand clock_commands[] = {
    { .name = "query-clocks",
      .flags = QMP_COMMAND_ALLOW_OOB | QMP_COMMAND_READ_ONLY,
      .args = &qmp_type_empty,
      .ret = &clock_info_list_type,
      .run = run_query_clocks,
      .help = "the clocks that timers go by" },
    { .name = "clock-stop",
      .flags = QMP_COMMAND_ALLOW_OOB,
      .args = &qmp_type_empty,
      .ret = &clock_info_type,
      .run = run_clock_stop,
      .help = "stop the virtual clock, and virtual-rt with it: their timers do not fire" },
    { .name = "clock-resume",
      .flags = QMP_COMMAND_ALLOW_OOB,
      .args = &qmp_type_empty,
      .ret = &clock_info_type,
      .run = run_clock_resume,
      .help = "let the virtual clock run on, and virtual-rt with it" },
    { .name = "clock-advance",
      .flags = QMP_COMMAND_ALLOW_OOB,
      .args = &advance_args,
      .ret = &clock_info_type,
      .run = run_clock_advance,
      .help = "advance the virtual clock, whether it runs or stands",
      .errors = "GenericError when not exactly one of the two is given, or it is too far" },
    { 0 },
};
