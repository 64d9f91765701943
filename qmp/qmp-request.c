/*
 * Requests: taking a JSON value apart, checking it against its command's table, running it and
 * handing on the answer.
 */
#include "config.h"
#include "qmp/qmp-request.h"

#include <string.h>

#include "qmp/qmp-error.h"
#include "qmp/qmp-session-internal.h"

struct QmpRequest {
    json_object *value;     /* the whole request; NULL for one of which only its error is left */
    json_object *arguments; /* in @value; NULL: none given */
    const QmpCommand *command;
    const char *name; /* in @value */
    void *opaque;     /* of the command */
    void *args;       /* bound; NULL: there are none, or there is an error */
    GError *error;    /* what to answer instead of running it */
    bool oob;
    int reply_fd;        /* to be sent along with the answer; -1: none */
    QmpFds *fds;         /* that came along and are not taken; or NULL */
    QmpSession *session; /* a reference, or NULL */
    const char *text;    /* the answer, as text; NULL: it is a value */
    size_t text_len;
    QmpReplyFunc *reply;
    void *reply_opaque;
};

/* ---- making one ---- */

static QmpRequest *request_alloc(QmpReplyFunc *reply, void *opaque)
{
    QmpRequest *request = g_new0(QmpRequest, 1);

    request->reply_fd = -1;
    request->reply = reply;
    request->reply_opaque = opaque;
    return request;
}

QmpRequest *qmp_request_new_error(GError *error, QmpReplyFunc *reply, void *opaque)
{
    QmpRequest *request = request_alloc(reply, opaque);

    request->error = error;
    return request;
}

/* Find the members of @request, and refuse those that it can't have. */
static bool take_apart(QmpRequest *request, GError **errp)
{
    json_object *execute = NULL;

    if (!json_object_is_type(request->value, json_type_object)) {
        return qmp_error_set(errp, "A request must be a JSON object");
    }
    json_object_object_foreach (request->value, key, value) {
        if (strcmp(key, "execute") == 0 || strcmp(key, "exec-oob") == 0) {
            if (execute) {
                return qmp_error_set(errp,
                                     "A request has either 'execute' or 'exec-oob', not both");
            }
            if (!json_object_is_type(value, json_type_string)) {
                return qmp_error_set(errp, "Request member '%s' expects a string", key);
            }
            if (strlen(json_object_get_string(value)) !=
                (size_t)json_object_get_string_len(value)) {
                return qmp_error_set(errp,
                                     "Request member '%s' expects a string without the character "
                                     "\\u0000",
                                     key);
            }
            execute = value;
            request->oob = key[4] == '-';
        } else if (strcmp(key, "arguments") == 0) {
            if (!json_object_is_type(value, json_type_object)) {
                return qmp_error_set(errp, "Request member 'arguments' expects an object");
            }
            request->arguments = value;
        } else if (strcmp(key, "id") != 0) {
            return qmp_error_set(errp, "Request member '%s' is unexpected", key);
        }
    }
    if (!execute) {
        return qmp_error_set(errp, "A request needs the member 'execute'");
    }
    request->name = json_object_get_string(execute);
    return true;
}

/* Find the command, check the arguments and bind them. */
static bool resolve(QmpRequest *request, const QmpRegistry *registry, GError **errp)
{
    const QmpCommand *command =
        qmp_registry_find_command(registry, request->name, &request->opaque);

    if (!command) {
        g_set_error(errp, QMP_ERROR, QMP_ERROR_COMMAND_NOT_FOUND,
                    "The command %s has not been found", request->name);
        return false;
    }
    request->command = command;
    if (request->oob && !(command->flags & QMP_COMMAND_ALLOW_OOB)) {
        return qmp_error_set(errp, "The command %s does not support out-of-band execution",
                             command->name);
    }
    if (!request->arguments && command->args == &qmp_type_empty) {
        return true;
    }
    if (!request->arguments) {
        request->arguments = json_object_new_object();
        json_object_object_add(request->value, "arguments", request->arguments);
    }
    if (!qmp_check_object(command->args, request->arguments, errp)) {
        return false;
    }
    request->args = g_malloc0(MAX(command->args->size, 1));
    qmp_bind(command->args, request->arguments, request->args);
    return true;
}

QmpRequest *qmp_request_new(const QmpRegistry *registry, json_object *value, QmpReplyFunc *reply,
                            void *opaque)
{
    QmpRequest *request = request_alloc(reply, opaque);

    request->value = value;
    if (take_apart(request, &request->error)) {
        resolve(request, registry, &request->error);
    } else {
        /* What is no proper request keeps its place among the in-band ones. */
        request->oob = false;
    }
    return request;
}

void qmp_request_free(QmpRequest *request)
{
    if (request->args) {
        qmp_unbind(request->command->args, request->args);
    }
    g_free(request->args);
    json_object_put(request->value);
    g_clear_error(&request->error);
    if (request->reply_fd >= 0) {
        close(request->reply_fd);
    }
    qmp_fds_free(request->fds);
    if (request->session) {
        qmp_session_unref(request->session);
    }
    g_free(request);
}

/* ---- running it ---- */

void qmp_request_run(QmpRequest *request)
{
    if (request->error) {
        qmp_fail(request, g_steal_pointer(&request->error));
    } else {
        request->command->run(request, request->args);
    }
}

bool qmp_request_answer_later(QmpRequest *request, GError **errp)
{
    if (request->oob && !qmp_session_answer_later(request->session, request)) {
        return qmp_error_set(errp, "The daemon is about to end");
    }
    return true;
}

void qmp_return(QmpRequest *request, json_object *value)
{
    g_clear_pointer(&request->fds, qmp_fds_free);
    request->reply(request, value, NULL, request->reply_opaque);
    json_object_put(value);
    qmp_request_free(request);
}

void qmp_return_with_fd(QmpRequest *request, json_object *value, int fd)
{
    request->reply_fd = fd;
    qmp_return(request, value);
}

int qmp_request_take_reply_fd(QmpRequest *request)
{
    int fd = request->reply_fd;

    request->reply_fd = -1;
    return fd;
}

void qmp_return_text(QmpRequest *request, const char *text, size_t len)
{
    json_object *value = NULL;

    if (request->session) {
        request->text = text;
        request->text_len = len;
    } else {
        value = json_tokener_parse(text);
    }
    qmp_return(request, value);
}

void qmp_return_empty(QmpRequest *request)
{
    qmp_return(request, json_object_new_object());
}

void qmp_fail(QmpRequest *request, GError *error)
{
    g_clear_pointer(&request->fds, qmp_fds_free);
    request->reply(request, NULL, error, request->reply_opaque);
    g_error_free(error);
    qmp_request_free(request);
}

void qmp_fail_generic(QmpRequest *request, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    qmp_fail(request, g_error_new_valist(QMP_ERROR, QMP_ERROR_GENERIC, format, args));
    va_end(args);
}

/* ---- what is in it ---- */

void *qmp_request_get_opaque(QmpRequest *request)
{
    return request->opaque;
}

json_object *qmp_request_get_arguments(QmpRequest *request)
{
    return request->arguments;
}

QmpSession *qmp_request_get_session(QmpRequest *request)
{
    return request->session;
}

int qmp_request_take_fd(QmpRequest *request, const char *what, GError **errp)
{
    return qmp_fds_take(request->fds, what, errp);
}

bool qmp_request_is_oob(const QmpRequest *request)
{
    return request->oob;
}

const QmpCommand *qmp_request_get_command(const QmpRequest *request)
{
    return request->command;
}

const GError *qmp_request_get_error(const QmpRequest *request)
{
    return request->error;
}

const char *qmp_request_get_command_name(const QmpRequest *request)
{
    return request->name;
}

bool qmp_request_get_id(const QmpRequest *request, json_object **id)
{
    return json_object_is_type(request->value, json_type_object) &&
           json_object_object_get_ex(request->value, "id", id);
}

const char *qmp_request_get_text(const QmpRequest *request, size_t *len)
{
    *len = request->text_len;
    return request->text;
}

void qmp_request_set_error(QmpRequest *request, GError *error)
{
    g_clear_error(&request->error);
    request->error = error;
    g_clear_pointer(&request->fds, qmp_fds_free);
}

void qmp_request_shrink(QmpRequest *request)
{
    json_object_iter iter;
    g_autoptr(GPtrArray) names = NULL;

    if (!request->error) {
        return;
    }
    if (!json_object_is_type(request->value, json_type_object)) {
        g_clear_pointer(&request->value, json_object_put);
        return;
    }
    names = g_ptr_array_new();
    json_object_object_foreachC(request->value, iter)
    {
        if (strcmp(iter.key, "id") != 0 && !json_object_is_type(iter.val, json_type_string)) {
            g_ptr_array_add(names, iter.key);
        }
    }
    request->arguments = NULL;
    for (guint i = 0; i < names->len; i++) {
        json_object_object_del(request->value, g_ptr_array_index(names, i));
    }
}

void qmp_request_set_reply(QmpRequest *request, QmpReplyFunc *reply, void *opaque)
{
    request->reply = reply;
    request->reply_opaque = opaque;
}

void qmp_request_set_session(QmpRequest *request, QmpSession *session)
{
    request->session = qmp_session_ref(session);
}

void qmp_request_set_fds(QmpRequest *request, QmpFds *fds)
{
    if (request->error) {
        qmp_fds_free(fds);
    } else {
        request->fds = fds;
    }
}
