/*
 * Who changed what, and who was not let, for the log.
 */
#include "config.h"
#include "qmp/qmp-session-internal.h"

#include <string.h>

/* Arguments, and an error that names one, may be as long as a request; so much of each is shown. */
#define SHOWN 256

static char *show_arguments(QmpRequest *request)
{
    g_auto(QmpText) text = { .max = SHOWN };
    json_object *arguments = qmp_request_get_arguments(request);

    if (arguments && json_object_object_length(arguments) > 0) {
        qmp_text_append_c(&text, ' ');
        /* This is ASCII only, so it can be cut anywhere. */
        qmp_json_print(&text, arguments);
    }
    return g_strdup_printf("%.*s%s", (int)text.len, text.bytes ? text.bytes : "",
                           text.cut ? "..." : "");
}

static char *show_error(const GError *error)
{
    const char *text = error->message;
    const char *end = text + strnlen(text, SHOWN + 1);

    if (end <= text + SHOWN) {
        return g_strdup(text);
    }
    end = g_utf8_find_prev_char(text, end);
    return g_strdup_printf("%.*s...", (int)(end - text), text);
}

/* The argument that names the object which a command is about, or NULL. */
static const QmpMember *find_object_member(const QmpType *type)
{
    const QmpMember *found = type->base ? find_object_member(type->base) : NULL;

    for (const QmpMember *member = type->members; !found && member && member->name; member++) {
        found = member->flags & QMP_MEMBER_NAMES_OBJECT ? member : NULL;
    }
    return found;
}

/* The id of the object that @request is about, as far as it says so; else NULL. */
static const char *object_of(QmpRequest *request)
{
    const QmpMember *member = find_object_member(qmp_request_get_command(request)->args);
    json_object *arguments = member ? qmp_request_get_arguments(request) : NULL;
    json_object *value = arguments ? json_object_object_get(arguments, member->name) : NULL;
    const char *id =
        json_object_is_type(value, json_type_string) ? json_object_get_string(value) : NULL;
    const char *slash = id ? strrchr(id, '/') : NULL;

    id = slash ? slash + 1 : id;
    return id && strlen(id) <= SHOWN ? id : NULL;
}

QmpLogFields qmp_session_log_fields(const QmpSession *session)
{
    return (QmpLogFields){
        .socket = session->access->name,
        .session = session->number,
        .peer = &session->peer,
    };
}

void qmp_session_log_change(QmpSession *session, QmpRequest *request, const GError *error)
{
    const QmpCommand *command = qmp_request_get_command(request);
    QmpLogMessage message = error ? QMP_LOG_COMMAND_FAILED : QMP_LOG_COMMAND_DONE;
    QmpLogFields fields;
    g_autofree char *arguments = NULL;
    g_autofree char *who = NULL;

    if (!qmp_log_shows(message) || !command ||
        (command->flags & (QMP_COMMAND_READ_ONLY | QMP_COMMAND_NEGOTIATES))) {
        return;
    }
    arguments = show_arguments(request);
    who = qmp_peer_describe(&session->peer);
    fields = qmp_session_log_fields(session);
    fields.command = command->name;
    fields.object = object_of(request);
    if (error) {
        g_autofree char *why = show_error(error);

        fields.reason = why;
        qmp_log(message, &fields, "session %u (%s): %s%s failed: %s", session->number, who,
                command->name, arguments, why);
    } else {
        qmp_log(message, &fields, "session %u (%s): %s%s", session->number, who, command->name,
                arguments);
    }
}

void qmp_session_log_refusal(QmpSession *session, const QmpCommand *command)
{
    g_autofree char *who = qmp_peer_describe(&session->peer);
    QmpLogFields fields = qmp_session_log_fields(session);

    fields.command = command->name;
    qmp_log_limit_say(session->listener->logs[QMP_LISTENER_LOG_COMMANDS], QMP_LOG_COMMAND_REFUSED,
                      &fields, "session %u: refused %s (%s), for it may only read", session->number,
                      command->name, who);
}

void qmp_session_log_full(QmpSession *session, QmpRequest *request, const GError *error)
{
    g_autofree char *who = qmp_peer_describe(&session->peer);
    g_autofree char *why = show_error(error);
    QmpLogFields fields = qmp_session_log_fields(session);

    fields.command = qmp_request_get_command(request)->name;
    fields.reason = why;
    qmp_log_limit_say(session->server->fds_log, QMP_LOG_DESCRIPTORS_FULL, &fields,
                      "session %u: refused %s (%s): %s", session->number, fields.command, who, why);
}
