/*
 * --qmp: the address of a control socket, and who may do what on it.
 */
#ifndef DAEMON_MONITOR_OPTION_H
#define DAEMON_MONITOR_OPTION_H

#include <stdbool.h>
#include <sys/types.h>
#include <glib.h>

#include "qmp/qmp-access.h"

/* The sessions that a socket has at a time when its option does not say. */
#define MONITOR_MAX_CLIENTS_DEFAULT 1024

typedef enum {
    MONITOR_UNIX,
    MONITOR_FD,
    MONITOR_VSOCK,
} MonitorKind;

typedef struct MonitorOption {
    MonitorKind kind;
    char *address; /* as it was given */
    char *path;    /* of MONITOR_UNIX */
    mode_t mode;
    gid_t group;  /* -1: as it comes */
    int fd;       /* of MONITOR_FD */
    unsigned cid; /* of MONITOR_VSOCK */
    unsigned port;
    QmpAccess access; /* named after the address */
} MonitorOption;

/* Parse the value of --qmp; the caller frees it. NULL and @errp. */
MonitorOption *monitor_option_parse(const char *text, GError **errp);
void monitor_option_free(MonitorOption *monitor);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MonitorOption, monitor_option_free)

#endif
