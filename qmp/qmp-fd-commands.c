/*
 * The commands for descriptors that clients send along: getfd and closefd, whose names are the
 * session's own, and add-fd, remove-fd and query-fdsets, whose sets are everybody's.
 */
#include "config.h"
#include "qmp/qmp-session-internal.h"

#include "qmp/qmp-error.h"

/* The texts of clients that are kept with descriptors are no longer than this. */
#define MAX_NAME   255
#define MAX_OPAQUE 1024

/* ---- getfd, closefd ---- */

typedef struct FdNameArgs {
    char *fdname;
} FdNameArgs;

static const QmpMember getfd_members[] = {
    { .name = "fdname",
      .type = &qmp_type_str,
      .max = MAX_NAME,
      .offset = offsetof(FdNameArgs, fdname),
      .help = "the name that the session knows the descriptor by; no digit first" },
    { 0 },
};
static const QmpType getfd_args = {
    .kind = QMP_KIND_OBJECT,
    .name = "GetfdArgs",
    .members = getfd_members,
    .size = sizeof(FdNameArgs),
};

static const QmpMember closefd_members[] = {
    { .name = "fdname",
      .type = &qmp_type_str,
      .offset = offsetof(FdNameArgs, fdname),
      .help = "the name that the session knows the descriptor by" },
    { 0 },
};
static const QmpType closefd_args = {
    .kind = QMP_KIND_OBJECT,
    .name = "ClosefdArgs",
    .members = closefd_members,
    .size = sizeof(FdNameArgs),
};

static void run_getfd(QmpRequest *request, void *data)
{
    FdNameArgs *args = data;
    QmpSession *session = qmp_request_get_session(request);
    g_autofree char *what = g_strdup_printf("for '%s'", args->fdname);
    GError *error = NULL;
    int fd;

    if (!session) {
        qmp_fail_generic(request, "Descriptor '%s' can only be sent by a session", args->fdname);
        return;
    }
    if (args->fdname[0] == '\0' || g_ascii_isdigit(args->fdname[0])) {
        qmp_fail_generic(
            request, "Parameter 'fdname' expects a name that does not start with a digit, not '%s'",
            args->fdname);
        return;
    }
    fd = qmp_request_take_fd(request, what, &error);
    if (fd < 0) {
        qmp_fail(request, error);
        return;
    }
    if (qmp_session_add_fd(session, args->fdname, fd, &error)) {
        qmp_return_empty(request);
    } else {
        qmp_session_log_full(session, request, error);
        qmp_fail(request, error);
    }
}

static void run_closefd(QmpRequest *request, void *data)
{
    FdNameArgs *args = data;
    QmpSession *session = qmp_request_get_session(request);
    int fd = session ? qmp_session_take_fd(session, args->fdname) : -1;

    if (fd < 0) {
        qmp_fail_generic(request, "There is no descriptor '%s'", args->fdname);
        return;
    }
    qmp_fds_close_one(fd);
    qmp_return_empty(request);
}

/* ---- add-fd ---- */

static QmpFdsets *fdsets_of(QmpRequest *request)
{
    QmpServer *server = qmp_request_get_opaque(request);

    return server->fdsets;
}

typedef struct AddFdArgs {
    int64_t fdset_id;
    char *opaque;
} AddFdArgs;

static const QmpMember add_fd_members[] = {
    { .name = "fdset-id",
      .type = &qmp_type_int,
      .flags = QMP_MEMBER_OPTIONAL,
      .max = INT64_MAX,
      .default_int = -1,
      .offset = offsetof(AddFdArgs, fdset_id),
      .help = "the set to add it to, an old or a new one; when left out, a new one of the lowest "
              "number that is free" },
    { .name = "opaque",
      .type = &qmp_type_str,
      .flags = QMP_MEMBER_OPTIONAL,
      .max = MAX_OPAQUE,
      .offset = offsetof(AddFdArgs, opaque),
      .help = "any text, which query-fdsets gives back" },
    { 0 },
};
static const QmpType add_fd_args = {
    .kind = QMP_KIND_OBJECT,
    .name = "AddFdArgs",
    .members = add_fd_members,
    .size = sizeof(AddFdArgs),
};

typedef struct AddfdInfo {
    int64_t fdset_id;
    int64_t fd;
} AddfdInfo;

static const QmpMember addfd_info_members[] = {
    { .name = "fdset-id",
      .type = &qmp_type_int,
      .offset = offsetof(AddfdInfo, fdset_id),
      .help = "the set that it is in" },
    { .name = "fd",
      .type = &qmp_type_int,
      .offset = offsetof(AddfdInfo, fd),
      .help = "its number in the daemon" },
    { 0 },
};
static const QmpType addfd_info_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "AddfdInfo",
    .members = addfd_info_members,
    .size = sizeof(AddfdInfo),
};

static void run_add_fd(QmpRequest *request, void *data)
{
    AddFdArgs *args = data;
    GError *error = NULL;
    AddfdInfo info = { .fd = qmp_request_take_fd(request, "", &error) };

    if (info.fd < 0) {
        qmp_fail(request, error);
        return;
    }
    info.fdset_id =
        qmp_fdsets_add(fdsets_of(request), args->fdset_id, (int)info.fd, args->opaque, &error);
    if (info.fdset_id < 0) {
        qmp_session_log_full(qmp_request_get_session(request), request, error);
        qmp_fail(request, error);
        return;
    }
    qmp_return(request, qmp_marshal(&addfd_info_type, &info));
}

/* ---- remove-fd ---- */

typedef struct RemoveFdArgs {
    int64_t fdset_id;
    int64_t fd;
} RemoveFdArgs;

static const QmpMember remove_fd_members[] = {
    { .name = "fdset-id",
      .type = &qmp_type_int,
      .offset = offsetof(RemoveFdArgs, fdset_id),
      .max = INT64_MAX,
      .help = "the set" },
    { .name = "fd",
      .type = &qmp_type_int,
      .flags = QMP_MEMBER_OPTIONAL,
      .max = INT64_MAX,
      .default_int = -1,
      .offset = offsetof(RemoveFdArgs, fd),
      .help = "the number of a descriptor in it; when left out, all of them" },
    { 0 },
};
static const QmpType remove_fd_args = {
    .kind = QMP_KIND_OBJECT,
    .name = "RemoveFdArgs",
    .members = remove_fd_members,
    .size = sizeof(RemoveFdArgs),
};

static void run_remove_fd(QmpRequest *request, void *data)
{
    RemoveFdArgs *args = data;
    GError *error = NULL;

    if (qmp_fdsets_remove(fdsets_of(request), args->fdset_id, args->fd, &error)) {
        qmp_return_empty(request);
    } else {
        qmp_fail(request, error);
    }
}

/* ---- query-fdsets ---- */

typedef struct FdsetFdInfo {
    int64_t fd;
    char *opaque;
} FdsetFdInfo;

static const QmpMember fdset_fd_info_members[] = {
    { .name = "fd",
      .type = &qmp_type_int,
      .offset = offsetof(FdsetFdInfo, fd),
      .help = "its number in the daemon" },
    { .name = "opaque",
      .type = &qmp_type_str,
      .flags = QMP_MEMBER_MAYBE_ABSENT,
      .offset = offsetof(FdsetFdInfo, opaque),
      .help = "the text that came with it, if any" },
    { 0 },
};
static const QmpType fdset_fd_info_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "FdsetFdInfo",
    .members = fdset_fd_info_members,
    .size = sizeof(FdsetFdInfo),
};
static const QmpType fdset_fd_info_list_type = {
    .kind = QMP_KIND_ARRAY,
    .element = &fdset_fd_info_type,
};

typedef struct FdsetInfo {
    int64_t fdset_id;
    json_object *fds;
} FdsetInfo;

static const QmpMember fdset_info_members[] = {
    { .name = "fdset-id",
      .type = &qmp_type_int,
      .offset = offsetof(FdsetInfo, fdset_id),
      .help = "its number" },
    { .name = "fds",
      .type = &fdset_fd_info_list_type,
      .offset = offsetof(FdsetInfo, fds),
      .help = "the descriptors in it, the oldest first" },
    { 0 },
};
static const QmpType fdset_info_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "FdsetInfo",
    .members = fdset_info_members,
    .size = sizeof(FdsetInfo),
};
static const QmpType fdset_info_list_type = {
    .kind = QMP_KIND_ARRAY,
    .element = &fdset_info_type,
};

typedef struct FdsetsQuery {
    json_object *list;
    FdsetInfo last; /* the set that is being filled; fds is NULL before the first */
} FdsetsQuery;

static void add_fd_info(int64_t id, int fd, const char *opaque, void *data)
{
    FdsetsQuery *query = data;
    FdsetFdInfo info = { .fd = fd, .opaque = (char *)opaque };

    if (!query->last.fds || query->last.fdset_id != id) {
        json_object_put(query->last.fds);
        query->last = (FdsetInfo){ .fdset_id = id, .fds = json_object_new_array() };
        json_object_array_add(query->list, qmp_marshal(&fdset_info_type, &query->last));
    }
    json_object_array_add(query->last.fds, qmp_marshal(&fdset_fd_info_type, &info));
}

static void run_query_fdsets(QmpRequest *request, void *args)
{
    FdsetsQuery query = { .list = json_object_new_array() };

    qmp_fdsets_foreach(fdsets_of(request), add_fd_info, &query);
    json_object_put(query.last.fds);
    qmp_return(request, query.list);
}

/* ---- the table ---- */

const QmpCommand qmp_fd_commands[] = {
    { .name = "getfd",
      .flags = QMP_COMMAND_TAKES_FD,
      .args = &getfd_args,
      .ret = &qmp_type_empty,
      .run = run_getfd,
      .help = "keep the descriptor that was sent along by SCM_RIGHTS under a name",
      .errors =
          "GenericError when no descriptor was sent along, more than 16 were, the name begins "
          "with a digit, or the session keeps " G_STRINGIFY(
              QMP_MAX_NAMED_FDS) " descriptors already" },
    { .name = "closefd",
      .args = &closefd_args,
      .ret = &qmp_type_empty,
      .run = run_closefd,
      .help = "close a descriptor that was kept by getfd",
      .errors = "GenericError when the session has no descriptor of that name" },
    { .name = "add-fd",
      .flags = QMP_COMMAND_TAKES_FD,
      .args = &add_fd_args,
      .ret = &addfd_info_type,
      .run = run_add_fd,
      .help = "add the descriptor that was sent along by SCM_RIGHTS to a set",
      .errors = "GenericError when no descriptor was sent along, more than 16 were, or the sets "
                "hold " G_STRINGIFY(QMP_MAX_FDSET_FDS) " descriptors already" },
    { .name = "remove-fd",
      .args = &remove_fd_args,
      .ret = &qmp_type_empty,
      .run = run_remove_fd,
      .help = "close a descriptor of a set, or all of them",
      .errors = "GenericError when there is no such set, or no such descriptor in it" },
    { .name = "query-fdsets",
      .flags = QMP_COMMAND_READ_ONLY,
      .args = &qmp_type_empty,
      .ret = &fdset_info_list_type,
      .run = run_query_fdsets,
      .help = "the descriptor sets, and what is in them" },
    { 0 },
};
