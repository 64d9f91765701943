/*
 * query-clients: who is connected, with what rights, and what each leaves unread.
 *
 * It may run out-of-band, while the main loop is stuck. Of each session it takes a copy of what
 * changes, under that session's lock alone, and makes JSON of it with no lock held.
 */
#include "config.h"
#include "qmp/qmp-session-internal.h"

/* In the order of QmpPeerKind. */
static const char *const peer_values[] = {
    [QMP_PEER_UNKNOWN] = "unknown",
    [QMP_PEER_UNIX] = "unix",
    [QMP_PEER_VSOCK] = "vsock",
    NULL,
};
static const QmpType peer_enum = {
    .kind = QMP_KIND_ENUM,
    .name = "ClientPeer",
    .values = peer_values,
};

static const char *const access_values[] = { "full", "read-only", NULL };
static const QmpType access_enum = {
    .kind = QMP_KIND_ENUM,
    .name = "ClientAccess",
    .values = access_values,
};

static const char *const mode_values[] = { "negotiation", "command", NULL };
static const QmpType mode_enum = {
    .kind = QMP_KIND_ENUM,
    .name = "ClientMode",
    .values = mode_values,
};

typedef struct ClientInfo {
    int64_t id;
    char *socket;
    int peer;
    int64_t pid;
    int64_t uid;
    int64_t gid;
    int64_t cid;
    int64_t port;
    int access; /* an index of access_values */
    int mode;   /* an index of mode_values */
    bool oob;
    int64_t unanswered;
    bool paused;
    int64_t unsent_bytes;
    int64_t events_left_out;
} ClientInfo;

static const QmpMember client_info_members[] = {
    { .name = "id",
      .type = &qmp_type_int,
      .offset = offsetof(ClientInfo, id),
      .help = "the number of its session, as in the log" },
    { .name = "socket",
      .type = &qmp_type_str,
      .offset = offsetof(ClientInfo, socket),
      .help = "the control socket that it is connected to, as in the log" },
    { .name = "peer",
      .type = &peer_enum,
      .offset = offsetof(ClientInfo, peer),
      .help = "from where it has come" },
    { .name = "pid",
      .type = &qmp_type_int,
      .flags = QMP_MEMBER_MAYBE_ABSENT,
      .default_int = -1,
      .offset = offsetof(ClientInfo, pid),
      .help = "over a unix socket: the process that connected; 0 when it can't be seen from here" },
    { .name = "uid",
      .type = &qmp_type_int,
      .flags = QMP_MEMBER_MAYBE_ABSENT,
      .default_int = -1,
      .offset = offsetof(ClientInfo, uid),
      .help = "likewise: its user" },
    { .name = "gid",
      .type = &qmp_type_int,
      .flags = QMP_MEMBER_MAYBE_ABSENT,
      .default_int = -1,
      .offset = offsetof(ClientInfo, gid),
      .help = "likewise: its group" },
    { .name = "cid",
      .type = &qmp_type_int,
      .flags = QMP_MEMBER_MAYBE_ABSENT,
      .default_int = -1,
      .offset = offsetof(ClientInfo, cid),
      .help = "over a vsock: the context id of its machine" },
    { .name = "port",
      .type = &qmp_type_int,
      .flags = QMP_MEMBER_MAYBE_ABSENT,
      .default_int = -1,
      .offset = offsetof(ClientInfo, port),
      .help = "likewise: its port there" },
    { .name = "access",
      .type = &access_enum,
      .offset = offsetof(ClientInfo, access),
      .help = "what it may do" },
    { .name = "mode",
      .type = &mode_enum,
      .offset = offsetof(ClientInfo, mode),
      .help = "whether it has negotiated; only then it gets events" },
    { .name = "oob",
      .type = &qmp_type_bool,
      .offset = offsetof(ClientInfo, oob),
      .help = "whether it has negotiated the capability 'oob'" },
    { .name = "unanswered",
      .type = &qmp_type_int,
      .offset = offsetof(ClientInfo, unanswered),
      .help = "requests of it that have not been answered" },
    { .name = "paused",
      .type = &qmp_type_bool,
      .offset = offsetof(ClientInfo, paused),
      .help = "whether these are so many that no more are read for now" },
    { .name = "unsent-bytes",
      .type = &qmp_type_int,
      .offset = offsetof(ClientInfo, unsent_bytes),
      .help = "memory held by what it has not read yet" },
    { .name = "events-left-out",
      .type = &qmp_type_int,
      .offset = offsetof(ClientInfo, events_left_out),
      .help = "events that it did not get, all in all, for it had left too much unread" },
    { 0 },
};
static const QmpType client_info_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "ClientInfo",
    .members = client_info_members,
    .size = sizeof(ClientInfo),
};
static const QmpType client_info_list_type = {
    .kind = QMP_KIND_ARRAY,
    .element = &client_info_type,
};

static void set_peer(ClientInfo *info, const QmpPeer *peer)
{
    info->peer = (int)peer->kind;
    info->pid = info->uid = info->gid = info->cid = info->port = -1;
    if (peer->kind == QMP_PEER_UNIX) {
        info->pid = peer->pid;
        info->uid = peer->uid;
        info->gid = peer->gid;
    } else if (peer->kind == QMP_PEER_VSOCK) {
        info->cid = peer->cid;
        info->port = peer->port;
    }
}

/* Fill in @info; false when the session has ended. */
static bool get_info(QmpSession *session, ClientInfo *info)
{
    bool there;

    *info = (ClientInfo){
        .id = session->number,
        .socket = (char *)session->access->name,
        .access = session->access->read_only,
    };
    set_peer(info, &session->peer);
    pthread_mutex_lock(&session->lock);
    there = session->fd >= 0 && !session->ended;
    info->mode = session->command_mode;
    /* It is the monitor thread's until the command mode begins, and does not change after. */
    info->oob = session->command_mode && session->oob_enabled;
    info->unanswered = session->in_flight;
    info->paused = session->paused;
    info->unsent_bytes = (int64_t)session->output.held;
    info->events_left_out = (int64_t)(session->events_told + session->events_lost);
    pthread_mutex_unlock(&session->lock);
    return there;
}

static gint compare_numbers(gconstpointer a, gconstpointer b)
{
    const QmpSession *left = *(QmpSession *const *)a;
    const QmpSession *right = *(QmpSession *const *)b;

    return left->number < right->number ? -1 : left->number > right->number;
}

static void run_query_clients(QmpRequest *request, void *args)
{
    QmpServer *server = qmp_request_get_opaque(request);
    g_autoptr(GPtrArray) sessions = qmp_server_get_sessions(server);
    json_object *list = json_object_new_array();

    g_ptr_array_sort(sessions, compare_numbers);
    for (guint i = 0; i < sessions->len; i++) {
        ClientInfo info;

        if (get_info(g_ptr_array_index(sessions, i), &info)) {
            json_object_array_add(list, qmp_marshal(&client_info_type, &info));
        }
    }
    qmp_return(request, list);
}

const QmpCommand qmp_client_commands[] = {
    { .name = "query-clients",
      .flags = QMP_COMMAND_ALLOW_OOB | QMP_COMMAND_READ_ONLY,
      .args = &qmp_type_empty,
      .ret = &client_info_list_type,
      .run = run_query_clients,
      .help = "all clients of the control sockets, the one that asks included" },
    { 0 },
};
