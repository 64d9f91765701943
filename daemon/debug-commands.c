/*
 * Commands and an event for tests, offered with --debug-commands only.
 */
#include "config.h"
#include "daemon/commands.h"

#include "daemon/debug-block.h"
#include "loop/timer.h"
#include "qmp/qmp-request.h"
#include "qmp/qmp-server.h"

typedef struct BlockArgs {
    int64_t duration_ms;
    char *loop;
} BlockArgs;

static const QmpMember block_members[] = {
    { .name = "duration-ms",
      .type = &qmp_type_int,
      .max = 3600000,
      .offset = offsetof(BlockArgs, duration_ms),
      .help = "how long, in ms" },
    { .name = "loop",
      .type = &qmp_type_str,
      .flags = QMP_MEMBER_OPTIONAL,
      .offset = offsetof(BlockArgs, loop),
      .help = "the id of a loop; the main loop when left out" },
    { 0 },
};
static const QmpType block_args = {
    .kind = QMP_KIND_OBJECT,
    .name = "XDebugBlockArgs",
    .members = block_members,
    .size = sizeof(BlockArgs),
};

static void block_is_over(void *opaque)
{
    qmp_return_empty(opaque);
}

static void run_block(QmpRequest *request, void *data)
{
    BlockArgs *args = data;

    if (!debug_block(args->loop, args->duration_ms * SCALE_MS, block_is_over, request)) {
        qmp_fail_generic(request, "Parameter 'loop': there is no loop '%s'", args->loop);
    }
}

typedef struct UnblockArgs {
    char *loop;
} UnblockArgs;

static const QmpMember unblock_members[] = {
    { .name = "loop",
      .type = &qmp_type_str,
      .flags = QMP_MEMBER_OPTIONAL,
      .offset = offsetof(UnblockArgs, loop),
      .help = "the id of a loop; the main loop when left out" },
    { 0 },
};
static const QmpType unblock_args = {
    .kind = QMP_KIND_OBJECT,
    .name = "XDebugUnblockArgs",
    .members = unblock_members,
    .size = sizeof(UnblockArgs),
};

static void run_unblock(QmpRequest *request, void *data)
{
    UnblockArgs *args = data;

    debug_unblock(args->loop);
    qmp_return_empty(request);
}

typedef struct EchoArgs {
    json_object *value;
} EchoArgs;

static const QmpMember echo_members[] = {
    { .name = "value",
      .type = &qmp_type_any,
      .offset = offsetof(EchoArgs, value),
      .help = "any value" },
    { 0 },
};
static const QmpType echo_args = {
    .kind = QMP_KIND_OBJECT,
    .name = "XDebugEchoArgs",
    .members = echo_members,
    .size = sizeof(EchoArgs),
};

static void run_echo(QmpRequest *request, void *data)
{
    EchoArgs *args = data;

    qmp_return(request, json_object_get(args->value));
}

typedef struct EventArgs {
    char *id;
    int64_t value;
} EventArgs;

static const QmpMember event_members[] = {
    { .name = "id",
      .type = &qmp_type_str,
      .offset = offsetof(EventArgs, id),
      .help = "events with the same one are similar" },
    { .name = "value",
      .type = &qmp_type_int,
      .offset = offsetof(EventArgs, value),
      .help = "any number" },
    { 0 },
};
static const QmpType event_args = {
    .kind = QMP_KIND_OBJECT,
    .name = "XDebugEvent",
    .members = event_members,
    .size = sizeof(EventArgs),
};

const QmpEvent debug_events[] = {
    { .name = "X_DEBUG_EVENT",
      .features = QMP_FEATURE_UNSTABLE,
      .data = &event_args,
      .help = "x-debug-event was run",
      .limit_ms = QMP_EVENT_LIMIT_MS,
      .limit_by = "id" },
    { 0 },
};

static void run_event(QmpRequest *request, void *args)
{
    qmp_server_emit(qmp_request_get_opaque(request), &debug_events[0], args);
    qmp_return_empty(request);
}

const QmpCommand debug_commands[] = {
    { .name = "x-debug-block",
      .features = QMP_FEATURE_UNSTABLE,
      .args = &block_args,
      .ret = &qmp_type_empty,
      .run = run_block,
      .help = "hold a loop for a while; answered when that is over",
      .errors = "GenericError when there is no such loop" },
    { .name = "x-debug-unblock",
      .flags = QMP_COMMAND_ALLOW_OOB,
      .features = QMP_FEATURE_UNSTABLE,
      .args = &unblock_args,
      .ret = &qmp_type_empty,
      .run = run_unblock,
      .help = "let a loop go on that x-debug-block holds now, if it does" },
    { .name = "x-debug-echo",
      .flags = QMP_COMMAND_ALLOW_OOB | QMP_COMMAND_READ_ONLY,
      .features = QMP_FEATURE_UNSTABLE,
      .args = &echo_args,
      .ret = &qmp_type_any,
      .run = run_echo,
      .help = "give the argument back" },
    { .name = "x-debug-event",
      .features = QMP_FEATURE_UNSTABLE,
      .args = &event_args,
      .ret = &qmp_type_empty,
      .run = run_event,
      .help = "send the event X_DEBUG_EVENT with the arguments as its data" },
    { 0 },
};
