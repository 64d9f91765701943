/*
 * The commands of the protocol itself: negotiation, and what the server offers.
 */
#include "config.h"
#include "qmp/qmp-session-internal.h"

#include "qmp/qmp-error.h"
#include "qmp/qmp-introspect.h"

/* ---- qmp_capabilities ---- */

static const char *const capability_values[] = { "oob", NULL };
static const QmpType capability_type = {
    .kind = QMP_KIND_ENUM,
    .name = "QMPCapability",
    .values = capability_values,
};
static const QmpType capability_list_type = {
    .kind = QMP_KIND_ARRAY,
    .element = &capability_type,
};

typedef struct CapabilitiesArgs {
    json_object *enable;
} CapabilitiesArgs;

static const QmpMember capabilities_members[] = {
    { .name = "enable",
      .type = &capability_list_type,
      .flags = QMP_MEMBER_OPTIONAL,
      .offset = offsetof(CapabilitiesArgs, enable),
      .help = "capabilities to enable; none when left out" },
    { 0 },
};
static const QmpType capabilities_args = {
    .kind = QMP_KIND_OBJECT,
    .name = "QmpCapabilitiesArgs",
    .members = capabilities_members,
    .size = sizeof(CapabilitiesArgs),
};

/* Runs on the monitor thread: see run_negotiating(). */
static void run_qmp_capabilities(QmpRequest *request, void *data)
{
    CapabilitiesArgs *args = data;
    QmpSession *session = qmp_request_get_session(request);
    bool wants_oob;

    if (!session) {
        qmp_fail(request, g_error_new(QMP_ERROR, QMP_ERROR_COMMAND_NOT_FOUND,
                                      "qmp_capabilities is for sessions only"));
        return;
    }
    /* There is but one capability, and the table has let no other through. */
    wants_oob = args->enable && json_object_array_length(args->enable) > 0;
    if (wants_oob && session->access->without_oob) {
        qmp_fail_generic(request, "The capability 'oob' is not offered on this socket");
        return;
    }
    session->oob_enabled = wants_oob;
    session->negotiated = true;
    g_clear_pointer(&session->negotiation_timer, timer_free);
    pthread_mutex_lock(&session->lock);
    session->ends_negotiation = true;
    pthread_mutex_unlock(&session->lock);
    qmp_return_empty(request);
}

/* ---- query-version ---- */

typedef struct VersionTriple {
    int64_t major;
    int64_t minor;
    int64_t micro;
} VersionTriple;

static const QmpMember version_triple_members[] = {
    { .name = "major",
      .type = &qmp_type_int,
      .offset = offsetof(VersionTriple, major),
      .help = "major number" },
    { .name = "minor",
      .type = &qmp_type_int,
      .offset = offsetof(VersionTriple, minor),
      .help = "minor number" },
    { .name = "micro",
      .type = &qmp_type_int,
      .offset = offsetof(VersionTriple, micro),
      .help = "micro number" },
    { 0 },
};
static const QmpType version_triple_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "VersionTriple",
    .members = version_triple_members,
    .size = sizeof(VersionTriple),
};

typedef struct VersionInfo {
    json_object *qemu;
    char *package;
} VersionInfo;

static const QmpMember version_members[] = {
    { .name = "qemu",
      .type = &version_triple_type,
      .offset = offsetof(VersionInfo, qemu),
      .help = "the server's version, under the name that QMP clients look for" },
    { .name = "package",
      .type = &qmp_type_str,
      .offset = offsetof(VersionInfo, package),
      .help = "name and version of the server" },
    { 0 },
};
static const QmpType version_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "VersionInfo",
    .members = version_members,
    .size = sizeof(VersionInfo),
};

static void run_query_version(QmpRequest *request, void *args)
{
    size_t len;
    const char *text = qmp_server_version_text(qmp_request_get_opaque(request), &len);

    qmp_return_text(request, text, len);
}

/* ---- query-commands, query-qmp-schema ---- */

typedef struct CommandInfo {
    char *name;
} CommandInfo;

static const QmpMember command_info_members[] = {
    { .name = "name",
      .type = &qmp_type_str,
      .offset = offsetof(CommandInfo, name),
      .help = "the command's name" },
    { 0 },
};
static const QmpType command_info_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "CommandInfo",
    .members = command_info_members,
    .size = sizeof(CommandInfo),
};
static const QmpType command_info_list_type = {
    .kind = QMP_KIND_ARRAY,
    .element = &command_info_type,
};

static void add_command_info(const QmpCommand *command, void *list)
{
    CommandInfo info = { .name = (char *)command->name };

    json_object_array_add(list, qmp_marshal(&command_info_type, &info));
}

static void run_query_commands(QmpRequest *request, void *args)
{
    QmpServer *server = qmp_request_get_opaque(request);
    json_object *list = json_object_new_array();

    qmp_registry_foreach_command(qmp_server_get_registry(server), add_command_info, list);
    qmp_return(request, list);
}

static void run_query_qmp_schema(QmpRequest *request, void *args)
{
    QmpServer *server = qmp_request_get_opaque(request);

    size_t len;
    const char *text = qmp_registry_schema_text(qmp_server_get_registry(server), &len);

    qmp_return_text(request, text, len);
}

/* ---- EVENTS_LOST ---- */

static const QmpMember events_lost_members[] = {
    { .name = "count",
      .type = &qmp_type_int,
      .offset = offsetof(QmpEventsLost, count),
      .help = "how many" },
    { 0 },
};
static const QmpType events_lost_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "EventsLost",
    .members = events_lost_members,
    .size = sizeof(QmpEventsLost),
};

/* ---- the tables ---- */

const QmpCommand qmp_protocol_commands[] = {
    { .name = "qmp_capabilities",
      .flags = QMP_COMMAND_NEGOTIATES,
      .args = &capabilities_args,
      .ret = &qmp_type_empty,
      .run = run_qmp_capabilities,
      .help = "end the negotiation, with the capabilities that the client wants",
      .errors = "CommandNotFound when the session is negotiated already" },
    { .name = "query-version",
      .flags = QMP_COMMAND_ALLOW_OOB | QMP_COMMAND_READ_ONLY,
      .args = &qmp_type_empty,
      .ret = &version_type,
      .run = run_query_version,
      .help = "the server's version" },
    { .name = "query-commands",
      .flags = QMP_COMMAND_ALLOW_OOB | QMP_COMMAND_READ_ONLY,
      .args = &qmp_type_empty,
      .ret = &command_info_list_type,
      .run = run_query_commands,
      .help = "the names of all commands" },
    { .name = "query-qmp-schema",
      .flags = QMP_COMMAND_ALLOW_OOB | QMP_COMMAND_READ_ONLY,
      .args = &qmp_type_empty,
      .ret = &qmp_type_schema_info_list,
      .run = run_query_qmp_schema,
      .help = "the types of all commands and events, in QEMU's introspection format" },
    { 0 },
};

const QmpEvent qmp_protocol_events[] = {
    { .name = "EVENTS_LOST",
      .data = &events_lost_type,
      .help = "events were left out here, for the client had left too much unread" },
    { 0 },
};
