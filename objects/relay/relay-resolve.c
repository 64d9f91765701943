/*
 * Looking up names, by the thread pool of the connection's context.
 *
 * The connection may have changed over to another context, or be gone, when the answer comes. So
 * the answer is handed on from context to context until it meets the connection at home: who it
 * is for, and where that lives, are guarded by Relay.lock as long as there is a look-up.
 */
#include "config.h"
#include "objects/relay/relay-internal.h"

#include <errno.h>
#include <netdb.h>
#include <string.h>

#include "loop/thread-pool.h"

struct RelayResolve {
    Relay *relay;                /* a reference */
    RelayConnection *connection; /* NULL when it does not want it any more; guarded by the lock */
    char *host;
    char *port;
    int result; /* as thread_pool_submit() gives it: below 0 when the system is to blame */
    int error;  /* of getaddrinfo() */
    struct addrinfo *found;
};

static bool is_wanted(RelayResolve *resolve)
{
    bool wanted;

    pthread_mutex_lock(&resolve->relay->lock);
    wanted = resolve->connection != NULL;
    pthread_mutex_unlock(&resolve->relay->lock);
    return wanted;
}

static int look_up(void *opaque)
{
    RelayResolve *resolve = opaque;
    struct addrinfo hints = {
        .ai_socktype = SOCK_STREAM,
        .ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV,
    };

    /* Those that gave up while this waited for a thread are no reason for others to wait. */
    if (!is_wanted(resolve)) {
        return -ETIMEDOUT;
    }
    resolve->error = getaddrinfo(resolve->host, resolve->port, &hints, &resolve->found);
    switch (resolve->error) {
    case EAI_SYSTEM:
        return -errno;
    case EAI_MEMORY:
        return -ENOMEM;
    default:
        return 0;
    }
}

static void resolve_free(RelayResolve *resolve)
{
    if (resolve->found) {
        freeaddrinfo(resolve->found);
    }
    relay_unref(resolve->relay);
    g_free(resolve->host);
    g_free(resolve->port);
    g_free(resolve);
}

static void pass_on(RelayResolve *resolve, RelayConnection *connection)
{
    g_autofree RelaySockaddr *addresses = NULL;
    const char *reason =
        resolve->result ? g_strerror(-resolve->result) : gai_strerror(resolve->error);
    unsigned n = 0;

    for (struct addrinfo *info = resolve->found; info; info = info->ai_next) {
        n++;
    }
    addresses = g_new0(RelaySockaddr, MAX(n, 1));
    n = 0;
    for (struct addrinfo *info = resolve->found; info; info = info->ai_next) {
        memcpy(&addresses[n].storage, info->ai_addr, info->ai_addrlen);
        addresses[n++].length = info->ai_addrlen;
    }
    relay_connect_resolved(connection, n > 0 ? g_steal_pointer(&addresses) : NULL, n,
                           resolve->result ? RELAY_CAUSE_SYSTEM : RELAY_CAUSE_RESOLVE, reason);
}

static void looked_up(void *opaque, int result);

/* Meet the connection, or go on to where it is. */
static void deliver(void *opaque)
{
    RelayResolve *resolve = opaque;
    RelayConnection *connection;

    pthread_mutex_lock(&resolve->relay->lock);
    connection = resolve->connection;
    if (connection &&
        (connection->in_transit || !in_aio_context_home_thread(connection->worker->ctx))) {
        /* Behind the bottom half that takes the connection there. */
        aio_bh_schedule_oneshot_full(connection->worker->ctx, deliver, resolve, "relay_resolved");
        pthread_mutex_unlock(&resolve->relay->lock);
        return;
    }
    pthread_mutex_unlock(&resolve->relay->lock);
    if (connection && resolve->result == -ECANCELED) {
        /* It waited in a pool that has ended since. */
        thread_pool_submit_full(connection->worker->ctx, look_up, looked_up, resolve,
                                "relay_looked_up");
        return;
    }
    if (connection) {
        pass_on(resolve, connection);
    }
    resolve_free(resolve);
}

static void looked_up(void *opaque, int result)
{
    RelayResolve *resolve = opaque;

    resolve->result = result;
    deliver(resolve);
}

RelayResolve *relay_resolve_start(RelayConnection *connection, const RelayAddress *address)
{
    RelayResolve *resolve = g_new0(RelayResolve, 1);

    resolve->relay = connection->worker->relay;
    relay_ref(resolve->relay);
    resolve->connection = connection;
    resolve->host = g_strdup(address->host);
    resolve->port = g_strdup(address->port);
    thread_pool_submit_full(connection->worker->ctx, look_up, looked_up, resolve,
                            "relay_looked_up");
    return resolve;
}

void relay_resolve_abandon(Relay *relay, RelayResolve *resolve)
{
    pthread_mutex_lock(&relay->lock);
    resolve->connection = NULL;
    pthread_mutex_unlock(&relay->lock);
}
