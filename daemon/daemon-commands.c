/*
 * quit, and the event SHUTDOWN.
 */
#include "config.h"
#include "daemon/commands.h"

#include "qmp/qmp-request.h"

static const char *const shutdown_cause_values[] = {
    [SHUTDOWN_CAUSE_NONE] = "none",
    [SHUTDOWN_CAUSE_HOST_QMP_QUIT] = "host-qmp-quit",
    [SHUTDOWN_CAUSE_HOST_SIGNAL] = "host-signal",
    NULL,
};
static const QmpType shutdown_cause_enum = {
    .kind = QMP_KIND_ENUM,
    .name = "ShutdownCause",
    .values = shutdown_cause_values,
};

static const QmpMember shutdown_members[] = {
    { .name = "guest",
      .type = &qmp_type_bool,
      .offset = offsetof(ShutdownEvent, guest),
      .help = "always false; QMP clients look for it" },
    { .name = "reason",
      .type = &shutdown_cause_enum,
      .offset = offsetof(ShutdownEvent, reason),
      .help = "who asked for it" },
    { 0 },
};
static const QmpType shutdown_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "ShutdownEvent",
    .members = shutdown_members,
    .size = sizeof(ShutdownEvent),
};

const QmpEvent daemon_events[] = {
    { .name = "SHUTDOWN", .data = &shutdown_type, .help = "the daemon is about to end" },
    { 0 },
};

void daemon_request_shutdown(DaemonControl *control, ShutdownCause cause)
{
    if (control->shutdown == SHUTDOWN_CAUSE_NONE) {
        control->shutdown = cause;
    }
}

static void run_quit(QmpRequest *request, void *args)
{
    DaemonControl *control = qmp_request_get_opaque(request);

    qmp_return_empty(request);
    daemon_request_shutdown(control, SHUTDOWN_CAUSE_HOST_QMP_QUIT);
}

const QmpCommand daemon_commands[] = {
    { .name = "quit",
      .args = &qmp_type_empty,
      .ret = &qmp_type_empty,
      .run = run_quit,
      .help = "end the daemon; answered before it does" },
    { 0 },
};
