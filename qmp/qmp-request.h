/*
 * A request: one command to be run, and its answer.
 */
#ifndef QMP_QMP_REQUEST_H
#define QMP_QMP_REQUEST_H

#include <stdbool.h>
#include <glib.h>
#include <json-c/json.h>

#include "qmp/qmp-command.h"
#include "qmp/qmp-fds.h"

/* ---- for those who implement commands ---- */

/* Answer @request with @value, taking over the reference; NULL is null. The request is gone.
 * In the thread that runs the command, or, later, in the main thread; of an out-of-band one, later
 * only after qmp_request_answer_later(). */
void qmp_return(QmpRequest *request, json_object *value);

/* As qmp_return(), and send the descriptor @fd along, by SCM_RIGHTS with the first byte of the
 * answer. It is taken over, and closed when it is sent or can't be. */
void qmp_return_with_fd(QmpRequest *request, json_object *value, int fd);

/* Answer @request with @len bytes of JSON text, on one line and in ASCII, that stay as they are
 * until this returns. Threads as qmp_return(). */
void qmp_return_text(QmpRequest *request, const char *text, size_t len);

/* Answer @request with an empty object. Threads as qmp_return(). */
void qmp_return_empty(QmpRequest *request);

/* Answer @request with the error @error, which is taken over. Threads as qmp_return(). */
void qmp_fail(QmpRequest *request, GError *error);

/* Answer @request with a GenericError whose text is made from @format. Threads as qmp_return(). */
void qmp_fail_generic(QmpRequest *request, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* For a command that may run out-of-band, before its run() returns without an answer: @request will
 * be answered later, in the thread that runs it. False and @errp when it must be answered now, for
 * the server is about to end; never in-band. */
bool qmp_request_answer_later(QmpRequest *request, GError **errp);

/* The opaque that the command was registered with. */
void *qmp_request_get_opaque(QmpRequest *request);

/* The checked arguments as JSON, for what the bound struct does not hold; owned by @request. */
json_object *qmp_request_get_arguments(QmpRequest *request);

/* The session that the request came in on, or NULL; alive as long as @request. */
QmpSession *qmp_request_get_session(QmpRequest *request);

/* Take the oldest descriptor that was sent along, for the one who @what names in an error ("for
 * 'name'", or ""). The caller closes it. -1 and @errp when there is none, or there were too many.
 */
int qmp_request_take_fd(QmpRequest *request, const char *what, GError **errp);

/* ---- for those who make requests ---- */

/*
 * Deliver the answer of @request: @value (NULL is null) when @error is NULL. Neither is taken. For
 * a request of a session @value is NULL too where qmp_request_get_text() has the answer.
 */
typedef void QmpReplyFunc(QmpRequest *request, json_object *value, const GError *error,
                          void *opaque);

/*
 * Make a request out of a JSON value, checked but for whether it may run: when anything about it
 * is wrong, the result holds the error as its answer, and qmp_request_run() gives that. Takes
 * over the reference to @value. @reply is called with @opaque when it is answered. Any thread.
 */
QmpRequest *qmp_request_new(const QmpRegistry *registry, json_object *value, QmpReplyFunc *reply,
                            void *opaque);

/* Make a request that is nothing but its error, which is taken over. Any thread. */
QmpRequest *qmp_request_new_error(GError *error, QmpReplyFunc *reply, void *opaque);

/* In a QmpReplyFunc: take the descriptor that goes along with the answer, which the caller closes;
 * -1 when there is none. */
int qmp_request_take_reply_fd(QmpRequest *request);

/* Free a request that was not run. Any thread. */
void qmp_request_free(QmpRequest *request);

/* Run the command, or answer with the error. The request is its runner's from now on. */
void qmp_request_run(QmpRequest *request);

/* Replace who gets the answer. */
void qmp_request_set_reply(QmpRequest *request, QmpReplyFunc *reply, void *opaque);

/* Replace what @request does by the answer @error, which is taken over, and close its descriptors.
 */
void qmp_request_set_error(QmpRequest *request, GError *error);

/* Of a request that will be answered with an error, free what the answer does not need: all members
 * but the id and strings, and a value that is no object. */
void qmp_request_shrink(QmpRequest *request);

/* Whether it came as exec-oob. */
bool qmp_request_is_oob(const QmpRequest *request);

/* Its command, also when its arguments are in error; NULL when there is no command of that name. */
const QmpCommand *qmp_request_get_command(const QmpRequest *request);

/* The name that the request asked for, also where there is no such command; NULL when there was
 * no name in it. */
const char *qmp_request_get_command_name(const QmpRequest *request);

/* What is wrong with it, and will be its answer; NULL: it can be run. Owned by @request. */
const GError *qmp_request_get_error(const QmpRequest *request);

/* The member "id", owned by @request. Returns whether there is one; *@id NULL is null. */
bool qmp_request_get_id(const QmpRequest *request, json_object **id);

/* What qmp_return_text() was given, while it is delivered to a session; else NULL and 0. */
const char *qmp_request_get_text(const QmpRequest *request, size_t *len);

/* Give it the session it came from. */
void qmp_request_set_session(QmpRequest *request, QmpSession *session);

/* Give it the descriptors sent along with it (NULL: none), which it takes over. Those that its
 * command does not take are closed before it is answered; when it is in error, at once. */
void qmp_request_set_fds(QmpRequest *request, QmpFds *fds);

#endif
