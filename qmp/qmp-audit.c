/*
 * Who changed what, for the log.
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

void qmp_session_log_change(QmpSession *session, QmpRequest *request, const GError *error)
{
    const QmpCommand *command = qmp_request_get_command(request);
    g_autofree char *arguments = NULL;
    g_autofree char *who = NULL;

    if (!session->server->config.log_changes || !command ||
        (command->flags & (QMP_COMMAND_READ_ONLY | QMP_COMMAND_NEGOTIATES))) {
        return;
    }
    arguments = show_arguments(request);
    who = qmp_peer_describe(&session->peer);
    if (error) {
        g_autofree char *why = show_error(error);

        g_info("session %u (%s): %s%s failed: %s", session->number, who, command->name, arguments,
               why);
    } else {
        g_info("session %u (%s): %s%s", session->number, who, command->name, arguments);
    }
}
