/*
 * A relay that has been frozen: what another one, of this process or of the next, needs to go on
 * with its connections, without a byte lost or a client that notices.
 *
 * It is plain data and descriptors, on which nothing happens. Any thread, one at a time.
 */
#ifndef OBJECTS_RELAY_RELAY_FROZEN_H
#define OBJECTS_RELAY_RELAY_FROZEN_H

#include "objects/relay/relay.h"
#include "sockets/unix-socket.h"

G_BEGIN_DECLS

/* One direction of a connection, which is over when it has come to its end and holds nothing. */
typedef struct RelayFrozenFlow {
    uint64_t bytes;  /* that were read so far */
    char *held;      /* those of them that have not been written yet; or NULL */
    uint32_t n_held; /* up to RELAY_BUFFER_SIZE_MAX */
    bool eof;        /* nothing more is to be read */
    bool broken;     /* nor can it: the source has failed, and something is held still */
    bool bulk;       /* a bulk transfer is under way */
} RelayFrozenFlow;

typedef struct RelayFrozenConnection {
    uint64_t id;
    int64_t began_ns;        /* on QEMU_CLOCK_REALTIME, when it was accepted */
    int fd[2];               /* of the client and of the target; the second -1: it has none yet */
    int64_t key[2];          /* by which they were kept, if they were */
    char *target;            /* the address, with a target */
    RelayFrozenFlow flow[2]; /* from the client to the target, and back */
    bool reset;              /* a side has broken it off; what the other one sent goes on */
} RelayFrozenConnection;

typedef struct RelayFrozenTarget {
    char *address;
    int64_t down_until_ns; /* on QEMU_CLOCK_REALTIME */
} RelayFrozenTarget;

struct RelayFrozen {
    int listen_fd;       /* or -1 */
    UnixSocket *file;    /* of a unix socket that is the relay's own; or NULL */
    GArray *connections; /* of RelayFrozenConnection */
    GArray *down;        /* of RelayFrozenTarget: those that failed when they were last tried */
    RelayStats stats;    /* all but the connections now */
    uint64_t last_id;    /* of a connection */
};

/* One that has nothing. */
RelayFrozen *relay_frozen_new(void);

/* Free it, break off the connections that are left, and remove the listening socket if that is. */
void relay_frozen_free(RelayFrozen *frozen);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(RelayFrozen, relay_frozen_free)

/* Free what @connection has, and break it off, if its descriptors are there. */
void relay_frozen_connection_clear(RelayFrozenConnection *connection);

G_END_DECLS

#endif
