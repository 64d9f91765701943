/*
 * Who changed what, for the log.
 */
#include "config.h"
#include "qmp/qmp-session-internal.h"

/* Arguments may be as long as a request; so much of them is shown. */
#define SHOWN_ARGUMENTS 256

static GString *show_arguments(QmpRequest *request)
{
    GString *text = g_string_new(NULL);
    json_object *arguments = qmp_request_get_arguments(request);

    if (arguments && json_object_object_length(arguments) > 0) {
        g_string_append_c(text, ' ');
        /* This is ASCII only, so it can be cut anywhere. */
        qmp_json_write(text, arguments);
        if (text->len > SHOWN_ARGUMENTS) {
            g_string_truncate(text, SHOWN_ARGUMENTS);
            g_string_append(text, "...");
        }
    }
    return text;
}

void qmp_session_log_change(QmpSession *session, QmpRequest *request, const GError *error)
{
    const QmpCommand *command = qmp_request_get_command(request);
    g_autoptr(GString) arguments = NULL;
    g_autofree char *who = NULL;

    if (!command || (command->flags & (QMP_COMMAND_READ_ONLY | QMP_COMMAND_NEGOTIATES))) {
        return;
    }
    arguments = show_arguments(request);
    who = qmp_peer_describe(&session->peer);
    if (error) {
        g_info("session %u (%s): %s%s failed: %s", session->number, who, command->name,
               arguments->str, error->message);
    } else {
        g_info("session %u (%s): %s%s", session->number, who, command->name, arguments->str);
    }
}
