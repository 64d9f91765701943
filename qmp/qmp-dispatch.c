/*
 * The dispatcher: runs in-band requests on the main loop, one of each session in turn.
 *
 * Answers of a pass are sent together, and the monitor is told together that it may read on. What
 * must not happen is that they wait behind a command that blocks. So only commands that may run
 * out-of-band, which never do, are run with something held back.
 */
#include "config.h"
#include "qmp/qmp-session-internal.h"

/* So many requests are run in one pass of the main loop, before its other work has its turn. */
#define DISPATCH_BATCH 16

static void push_ready(QmpServer *server, QmpSession *session)
{
    pthread_mutex_lock(&server->lock);
    g_queue_push_tail(&server->ready, qmp_session_ref(session));
    pthread_mutex_unlock(&server->lock);
}

void qmp_server_make_ready(QmpServer *server, QmpSession *session)
{
    push_ready(server, session);
    qemu_bh_schedule(server->dispatcher_bh);
}

static QmpSession *take_ready(QmpServer *server)
{
    QmpSession *session = NULL;

    pthread_mutex_lock(&server->lock);
    if (!server->stopped) {
        session = g_queue_pop_head(&server->ready);
        server->running += session != NULL;
    }
    pthread_mutex_unlock(&server->lock);
    return session;
}

/* ---- holding back ---- */

/* What was held back for @session in this pass goes out. */
static void release(QmpSession *session)
{
    bool may_read_on;
    bool update;

    pthread_mutex_lock(&session->lock);
    session->held_back = false;
    qmp_session_flush_locked(session);
    may_read_on = session->paused && !qmp_session_is_full(session);
    update = may_read_on || session->half_closed || session->blocked || session->ended;
    pthread_mutex_unlock(&session->lock);
    /* Not before: a monitor that polls would be there at once, and wait for the lock. */
    if (update) {
        qemu_bh_schedule(session->update_bh);
    }
}

static void release_all(QmpServer *server)
{
    while (server->held_back->len > 0) {
        QmpSession *session = g_ptr_array_steal_index_fast(server->held_back, 0);

        release(session);
        qmp_session_unref(session);
    }
}

/* ---- running ---- */

static bool never_blocks(const QmpRequest *request)
{
    const QmpCommand *command = qmp_request_get_command(request);

    return !command || (command->flags & QMP_COMMAND_ALLOW_OOB);
}

/* The next request of @session, which now runs; NULL when its client has gone meanwhile. */
static QmpRequest *take_request(QmpSession *session)
{
    QmpServer *server = session->server;
    QmpRequest *request;
    bool held_back;

    pthread_mutex_lock(&session->lock);
    request = g_queue_peek_head(&session->queue);
    /* Where nothing is read from the socket nobody else notices that its client is gone. What
     * changes nothing may run for nothing: that costs less than to look each time. */
    if (request && (session->paused || session->half_closed) && !never_blocks(request) &&
        qmp_session_peer_is_gone(session)) {
        request = NULL;
        if (session->fd >= 0) {
            session->ended = true;
            qemu_bh_schedule(session->update_bh);
        }
    } else {
        g_queue_pop_head(&session->queue);
    }
    session->running = request != NULL;
    held_back = session->held_back;
    session->held_back = true;
    pthread_mutex_unlock(&session->lock);
    if (!held_back) {
        g_ptr_array_add(server->held_back, qmp_session_ref(session));
    }
    return request;
}

static void count_finished(QmpServer *server)
{
    pthread_mutex_lock(&server->lock);
    server->running--;
    pthread_mutex_unlock(&server->lock);
}

static void run(QmpServer *server, QmpRequest *request)
{
    bool outer = server->holding_back;

    /* A command that blocks may run loops, and so a dispatcher within this one. */
    server->holding_back = never_blocks(request);
    if (!server->holding_back) {
        release_all(server);
    }
    qmp_request_run(request);
    server->holding_back = outer;
}

void qmp_server_dispatch(void *opaque)
{
    QmpServer *server = opaque;
    QmpSession *session = NULL;

    for (int i = 0; i < DISPATCH_BATCH && (session = take_ready(server)); i++) {
        QmpRequest *request = take_request(session);

        if (request) {
            run(server, request);
        } else {
            count_finished(server);
        }
        qmp_session_unref(session);
    }
    release_all(server);
    if (session) {
        qemu_bh_schedule(server->dispatcher_bh);
    }
}

void qmp_server_request_done(QmpServer *server, QmpSession *session)
{
    bool more;

    pthread_mutex_lock(&session->lock);
    session->running = false;
    session->in_flight--;
    more = !g_queue_is_empty(&session->queue);
    if (!session->held_back && session->fd >= 0 &&
        (session->half_closed || (session->paused && !qmp_session_is_full(session)))) {
        qemu_bh_schedule(session->update_bh);
    }
    pthread_mutex_unlock(&session->lock);
    count_finished(server);
    if (more) {
        push_ready(server, session);
    }
    /* Else the pass that runs now sees it. */
    if (more && !server->holding_back) {
        qemu_bh_schedule(server->dispatcher_bh);
    }
}

/* ---- out-of-band requests that take longer ---- */

bool qmp_server_late_request_begins(QmpServer *server, QmpSession *session)
{
    bool stopped;

    pthread_mutex_lock(&server->lock);
    stopped = server->stopped;
    server->running += !stopped;
    pthread_mutex_unlock(&server->lock);
    if (stopped) {
        return false;
    }
    pthread_mutex_lock(&session->lock);
    session->in_flight++;
    pthread_mutex_unlock(&session->lock);
    return true;
}

void qmp_server_late_request_done(QmpServer *server, QmpSession *session)
{
    AioContext *main_context = server->config.main_context;

    pthread_mutex_lock(&session->lock);
    session->in_flight--;
    qemu_bh_schedule(session->update_bh);
    pthread_mutex_unlock(&session->lock);
    /* Whoever ends the daemon waits for it, and then for this thread. */
    count_finished(server);
    aio_notify(main_context);
}
