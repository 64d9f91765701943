/*
 * The events LOOP_STALLED and LOOP_RESUMED, as tables.
 */
#include "config.h"
#include "daemon/commands.h"
#include "daemon/stall-watch.h"

/* What the two have in common. */
static const QmpMember stall_members[] = {
    { .name = "loop",
      .type = &qmp_type_str,
      .offset = offsetof(StallEvent, loop),
      .help = "'main-loop', 'mon_iothread', or the id of an IOThread" },
    { .name = "source",
      .type = &qmp_type_str,
      .flags = QMP_MEMBER_MAYBE_ABSENT,
      .offset = offsetof(StallEvent, source),
      .help = "the name of the callback that holds it; absent when it is none of a context's" },
    { .name = "since-ns",
      .type = &qmp_type_int,
      .offset = offsetof(StallEvent, since_ns),
      .help = "since when: a time of the clock 'realtime'" },
    { 0 },
};
static const QmpType stall_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "LoopStall",
    .members = stall_members,
    .size = sizeof(StallEvent),
};

static const QmpMember stalled_members[] = {
    { .name = "backtrace",
      .type = &qmp_type_str_list,
      .flags = QMP_MEMBER_MAYBE_ABSENT,
      .offset = offsetof(StallEvent, backtrace),
      .help = "where its thread is, innermost first; absent when it could not be asked" },
    { 0 },
};
static const QmpType stalled_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "LoopStalledEvent",
    .base = &stall_type,
    .is_result = true,
    .members = stalled_members,
    .size = sizeof(StallEvent),
};

static const QmpMember resumed_members[] = {
    { .name = "duration-ns",
      .type = &qmp_type_int,
      .offset = offsetof(StallEvent, duration_ns),
      .help = "for how long it was held, in ns" },
    { 0 },
};
static const QmpType resumed_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "LoopResumedEvent",
    .base = &stall_type,
    .is_result = true,
    .members = resumed_members,
    .size = sizeof(StallEvent),
};

/* No limits: a loop is stalled at most once in a time of the threshold, and who is told of the
 * beginning is told of the end. */
const QmpEvent stall_events[] = {
    [STALL_EVENT_STALLED] = { .name = "LOOP_STALLED",
                              .data = &stalled_type,
                              .help = "a loop has been held for longer than --stall-threshold-ms" },
    [STALL_EVENT_RESUMED] = { .name = "LOOP_RESUMED",
                              .data = &resumed_type,
                              .help = "a loop that was stalled goes on, or has gone" },
    { 0 },
};
