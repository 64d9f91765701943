/*
 * Accepting clients on a listening socket, on a context.
 *
 * When the process or the system is out of descriptors, a waiting client can't be accepted and
 * keeps the socket readable. The acceptor then rests for a while instead of spinning, or until it
 * is woken.
 */
#ifndef SOCKETS_ACCEPTOR_H
#define SOCKETS_ACCEPTOR_H

#include <stdbool.h>

#include "loop/aio.h"
#include "loop/timer.h"

/* Called in the home thread of the context. They may stop the acceptor. */
typedef struct AcceptorOps {
    const char *name;     /* of the source */
    unsigned max_accepts; /* so many clients are accepted before others get their turn */

    /* A client: the connected socket @fd, which does not block, is the callee's. */
    void (*accepted)(void *opaque, int fd);

    /* A client could not be accepted because of @error: it has gone again, or the acceptor rests.
     * @begins_to_rest is true the first time that it does since it has accepted one. NULL: ignore.
     */
    void (*failed)(void *opaque, int error, bool begins_to_rest);

    /* Somebody who shares the socket has shut it down, so that nobody can connect any more. The
     * acceptor has stopped. */
    void (*shut_down)(void *opaque);
} AcceptorOps;

/* All but acceptor_init() in the home thread of the context, or while nothing runs there. */
typedef struct Acceptor {
    const AcceptorOps *ops;
    void *opaque;
    const char *name; /* of the source, for good: ops->name until the owner sets another one */
    int fd;
    AioContext *ctx; /* NULL: stopped */
    bool failing;    /* the last try to accept has ended in a rest */
    QEMUTimer timer; /* the end of the rest */
} Acceptor;

/* An acceptor that has not been started, for the listening socket @fd, which does not block and
 * stays the caller's. */
void acceptor_init(Acceptor *acceptor, int fd, const AcceptorOps *ops, void *opaque);

/* Accept on @ctx. After acceptor_stop() it may be another one. */
void acceptor_start(Acceptor *acceptor, AioContext *ctx);

/* End that, if it has been started. */
void acceptor_stop(Acceptor *acceptor);

/* A descriptor has been freed: if the acceptor rests, end that. */
void acceptor_wake(Acceptor *acceptor);

#endif
