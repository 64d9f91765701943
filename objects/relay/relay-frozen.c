/*
 * Freezing connections where they are, and thawing them.
 *
 * A connection that has no target yet has been promised nothing by one: its try is given up, and
 * begins anew with the targets that there are then.
 */
#include "config.h"
#include "objects/relay/relay-frozen.h"

#include <unistd.h>

#include "objects/relay/relay-internal.h"

/* ---- life ---- */

void relay_frozen_connection_clear(RelayFrozenConnection *connection)
{
    for (int side = 0; side < 2; side++) {
        if (connection->fd[side] >= 0) {
            close(connection->fd[side]);
        }
        g_free(connection->flow[side].held);
    }
    g_free(connection->target);
}

static void clear_connection(gpointer connection)
{
    relay_frozen_connection_clear(connection);
}

static void clear_target(gpointer target)
{
    g_free(((RelayFrozenTarget *)target)->address);
}

/* An array of connections that clears them. */
static GArray *connections_new(void)
{
    GArray *connections = g_array_new(FALSE, FALSE, sizeof(RelayFrozenConnection));

    g_array_set_clear_func(connections, clear_connection);
    return connections;
}

RelayFrozen *relay_frozen_new(void)
{
    RelayFrozen *frozen = g_new0(RelayFrozen, 1);

    frozen->listen_fd = -1;
    frozen->connections = connections_new();
    frozen->down = g_array_new(FALSE, FALSE, sizeof(RelayFrozenTarget));
    g_array_set_clear_func(frozen->down, clear_target);
    return frozen;
}

void relay_frozen_free(RelayFrozen *frozen)
{
    /* The file while somebody listens still, see unix_socket_remove(). */
    g_clear_pointer(&frozen->file, unix_socket_remove);
    if (frozen->listen_fd >= 0) {
        close(frozen->listen_fd);
    }
    g_array_unref(frozen->connections);
    g_array_unref(frozen->down);
    g_free(frozen);
}

/* ---- freezing ---- */

static bool freeze_flow(RelayFlow *flow, RelayFrozenFlow *frozen)
{
    *frozen = (RelayFrozenFlow){
        .bytes = flow->bytes,
        .n_held = flow->held,
        .eof = flow->eof,
        .broken = flow->broken,
        .bulk = flow->bulk,
    };
    return relay_flow_take_held(flow, &frozen->held);
}

/* Freeze @connection into @frozen, which then has its descriptors. False when its end has come. */
static bool freeze(RelayConnection *connection, RelayFrozenConnection *frozen)
{
    *frozen = (RelayFrozenConnection){
        .id = connection->id,
        .began_ns = connection->began_ns,
        .fd = { -1, -1 },
        .reset = connection->reset,
    };
    for (int i = 0; i < 2; i++) {
        if (!freeze_flow(&connection->flow[i], &frozen->flow[i])) {
            relay_frozen_connection_clear(frozen);
            relay_connection_close(connection, RELAY_CAUSE_SYSTEM);
            return false;
        }
    }
    relay_connection_unwatch(connection);
    relay_worker_remove(connection->worker, connection);
    frozen->fd[RELAY_CLIENT] = connection->fd[RELAY_CLIENT];
    if (!connection->connect) {
        frozen->fd[RELAY_TARGET] = connection->fd[RELAY_TARGET];
        frozen->target = g_strdup(connection->target->address.text);
    } else if (connection->fd[RELAY_TARGET] >= 0) {
        close(connection->fd[RELAY_TARGET]);
    }
    relay_connect_free(connection);
    relay_connection_free(connection);
    return true;
}

static void freeze_list(RelayList *list, GArray *connections)
{
    while (list->head) {
        RelayFrozenConnection frozen;

        if (freeze(list->head, &frozen)) {
            g_array_append_val(connections, frozen);
        }
    }
}

GArray *relay_worker_freeze(RelayWorker *worker)
{
    GArray *connections = connections_new();

    freeze_list(&worker->established, connections);
    freeze_list(&worker->connecting, connections);
    relay_worker_check_drained(worker);
    return connections;
}

void relay_frozen_add(RelayFrozen *frozen, GArray *connections)
{
    if (connections->len > 0) {
        g_array_append_vals(frozen->connections, connections->data, connections->len);
    }
    /* What they refer to has gone over. */
    g_array_set_clear_func(connections, NULL);
    g_array_unref(connections);
}

void relay_frozen_add_down(RelayFrozen *frozen, RelayTargets *targets)
{
    for (unsigned i = 0; i < targets->n; i++) {
        /* Relaxed: it is a hint. */
        RelayFrozenTarget target = {
            .down_until_ns =
                atomic_load_explicit(&targets->target[i].down_until_ns, memory_order_relaxed),
        };

        if (target.down_until_ns != 0) {
            target.address = g_strdup(targets->target[i].address.text);
            g_array_append_val(frozen->down, target);
        }
    }
}

/* ---- thawing ---- */

/* What a worker gets, for it to begin in its own thread. */
typedef struct Share {
    RelayWorker *worker;
    RelayList list;
} Share;

static void thaw_share(void *opaque)
{
    g_autofree Share *share = opaque;
    RelayConnection *connection = share->list.head;

    while (connection) {
        RelayConnection *next = connection->next;

        if (connection->target) {
            relay_worker_add(share->worker, connection);
            relay_connection_watch(connection);
        } else {
            relay_connect_begin(connection);
        }
        connection = next;
    }
}

/* A set of its own for each address that a connection has as its target; NULL when it is none. */
static RelayTargets *find_target(GHashTable *sets, const char *address)
{
    const char *const addresses[] = { address, NULL };
    RelayTargets *targets = g_hash_table_lookup(sets, address);

    if (!targets) {
        targets = relay_targets_new(addresses, NULL);
        if (targets) {
            g_hash_table_insert(sets, g_strdup(address), targets);
        }
    }
    return targets;
}

static void thaw_flow(RelayFrozenFlow *frozen, RelayFlow *flow)
{
    flow->bytes = frozen->bytes;
    flow->rest = g_steal_pointer(&frozen->held);
    flow->held = frozen->n_held;
    flow->eof = frozen->eof;
    flow->broken = frozen->broken;
    flow->done = frozen->eof && frozen->n_held == 0;
    flow->bulk = frozen->bulk;
}

static RelayConnection *thaw(RelayFrozenConnection *frozen, RelayWorker *worker,
                             RelayTargets *targets)
{
    RelayConnection *connection = relay_connection_new(worker, frozen->fd[RELAY_CLIENT]);

    connection->fd[RELAY_TARGET] = frozen->fd[RELAY_TARGET];
    frozen->fd[RELAY_CLIENT] = frozen->fd[RELAY_TARGET] = -1;
    connection->id = frozen->id;
    connection->began_ns = MIN(frozen->began_ns, connection->began_ns);
    connection->reset = frozen->reset;
    if (targets) {
        connection->targets = relay_targets_ref(targets);
        connection->target = &targets->target[0];
        for (int i = 0; i < 2; i++) {
            thaw_flow(&frozen->flow[i], &connection->flow[i]);
        }
    }
    return connection;
}

void relay_thaw(Relay *relay, RelayFrozen *frozen)
{
    g_autoptr(GHashTable) sets =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)relay_targets_unref);
    g_autofree Share **shares = g_new(Share *, relay->n_workers);
    size_t turn = 0;

    for (size_t i = 0; i < relay->n_workers; i++) {
        shares[i] = g_new0(Share, 1);
        shares[i]->worker = relay->workers[i];
    }
    for (unsigned i = 0; i < frozen->connections->len; i++) {
        RelayFrozenConnection *connection =
            &g_array_index(frozen->connections, RelayFrozenConnection, i);
        RelayTargets *targets = connection->target ? find_target(sets, connection->target) : NULL;

        if (!connection->target == !targets) {
            relay_list_append(&shares[turn]->list, thaw(connection, relay->workers[turn], targets));
            turn = (turn + 1) % relay->n_workers;
        }
    }
    for (size_t i = 0; i < relay->n_workers; i++) {
        aio_bh_schedule_oneshot_full(relay->workers[i]->ctx, thaw_share, shares[i], "relay_thaw");
    }
    relay->past = frozen->stats;
    /* Relaxed: nobody else knows of the relay yet. */
    atomic_store_explicit(&relay->next_id, frozen->last_id, memory_order_relaxed);
}

void relay_thaw_down(RelayTargets *targets, const RelayFrozen *frozen)
{
    for (unsigned i = 0; i < frozen->down->len; i++) {
        const RelayFrozenTarget *down = &g_array_index(frozen->down, RelayFrozenTarget, i);

        for (unsigned j = 0; j < targets->n; j++) {
            if (g_str_equal(targets->target[j].address.text, down->address)) {
                /* Relaxed: it is a hint. */
                atomic_store_explicit(&targets->target[j].down_until_ns, down->down_until_ns,
                                      memory_order_relaxed);
            }
        }
    }
}
