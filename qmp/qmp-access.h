/*
 * Who may connect to a control socket, and what sessions on it may do.
 */
#ifndef QMP_QMP_ACCESS_H
#define QMP_QMP_ACCESS_H

#include <stdbool.h>
#include <glib.h>

/* All zero but @name: everybody may connect, and do everything. */
typedef struct QmpAccess {
    const char *name;      /* of the socket, for the log */
    bool read_only;        /* only commands that are marked QMP_COMMAND_READ_ONLY */
    bool without_oob;      /* the capability "oob" is not offered */
    unsigned max_sessions; /* at a time; 0: any number */
    /* Of uid_t and gid_t: the user, or one of the groups, of a client must be in one of these. Both
     * NULL: any client may connect. */
    GArray *uids;
    GArray *gids;
} QmpAccess;

#endif
