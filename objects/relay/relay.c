/*
 * Relays: life, parameters, statistics, events.
 */
#include "config.h"
#include "objects/relay/relay-internal.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "objects/source-name.h"

G_DEFINE_QUARK(relay - error - quark, relay_error)

const char *relay_cause_name(RelayCause cause)
{
    static const char *const names[RELAY_CAUSE_MAX] = {
        "none",    "reset",           "idle-timeout", "limit",  "accept",  "resolve",
        "refused", "connect-timeout", "connect",      "system", "stopped",
    };

    return names[cause];
}

/* ---- events ---- */

typedef enum {
    EVENT_CONNECTED,
    EVENT_DISCONNECTED,
    EVENT_TARGET_DOWN,
    EVENT_TARGET_UP,
} EventKind;

typedef struct RelayEvent {
    Relay *relay;
    EventKind kind;
    RelayConnectionInfo info;
    char *client;
    char *target;
    char *reason;
} RelayEvent;

static void deliver(void *opaque)
{
    RelayEvent *event = opaque;
    const RelayEvents *events = event->relay->events;

    event->info.client = event->client;
    event->info.target = event->target;
    switch (event->kind) {
    case EVENT_CONNECTED:
        events->connected(event->relay->opaque, &event->info);
        break;
    case EVENT_DISCONNECTED:
        events->disconnected(event->relay->opaque, &event->info);
        break;
    case EVENT_TARGET_DOWN:
        events->target_down(event->relay->opaque, event->target, event->reason);
        break;
    case EVENT_TARGET_UP:
        events->target_up(event->relay->opaque, event->target);
        break;
    }
    g_free(event->client);
    g_free(event->target);
    g_free(event->reason);
    g_free(event);
}

/* Before the bottom half by which a worker says that it is done, so the relay is still there. */
static void send_event(RelayEvent *event)
{
    aio_bh_schedule_oneshot_full(event->relay->owner, deliver, event, "relay_event");
}

static RelayEvent *event_new(Relay *relay, EventKind kind, RelayTarget *target)
{
    RelayEvent *event = g_new0(RelayEvent, 1);

    event->relay = relay;
    event->kind = kind;
    event->target = g_strdup(target->address.text);
    return event;
}

static RelayEvent *connection_event(RelayConnection *connection, EventKind kind)
{
    RelayEvent *event = event_new(connection->worker->relay, kind, connection->target);

    event->info.id = connection->id;
    event->info.bytes_in = connection->flow[RELAY_CLIENT].bytes;
    event->info.bytes_out = connection->flow[RELAY_TARGET].bytes;
    event->info.duration_ns = relay_now_ns() - connection->began_ns;
    return event;
}

void relay_tell_connected(RelayConnection *connection)
{
    RelayEvent *event = connection_event(connection, EVENT_CONNECTED);
    RelaySockaddr client = { .length = sizeof(client.storage) };

    if (getpeername(connection->fd[RELAY_CLIENT], (struct sockaddr *)&client.storage,
                    &client.length) == 0) {
        event->client = relay_sockaddr_to_text(&client);
    } else {
        event->client = g_strdup("");
    }
    send_event(event);
}

void relay_tell_disconnected(RelayConnection *connection, RelayCause cause)
{
    RelayEvent *event = connection_event(connection, EVENT_DISCONNECTED);

    event->info.cause = cause;
    send_event(event);
}

void relay_tell_target(Relay *relay, RelayTarget *target, const char *down_reason)
{
    RelayEvent *event = event_new(relay, down_reason ? EVENT_TARGET_DOWN : EVENT_TARGET_UP, target);

    event->reason = g_strdup(down_reason);
    send_event(event);
}

/* ---- addresses ---- */

static bool parse_listen(RelayAddress *address, const char *text, GError **errp)
{
    if (!relay_address_parse(address, text, RELAY_ADDRESS_LISTEN, errp)) {
        g_prefix_error(errp, "listen: ");
        return false;
    }
    return true;
}

/* A relay that is its own target would connect to itself, and that connection to itself again,
 * until something runs out. False and @errp when one of @targets leads to @bound. */
static bool check_is_no_circle(const RelayTargets *targets, const RelaySockaddr *bound,
                               bool only_ipv6, GError **errp)
{
    for (unsigned i = 0; i < targets->n; i++) {
        const RelayAddress *address = &targets->target[i].address;

        if (relay_address_leads_to(address, bound, only_ipv6)) {
            g_set_error(errp, RELAY_ERROR, RELAY_ERROR_INVALID,
                        "target: '%s' is where the relay itself listens", address->text);
            return false;
        }
    }
    return true;
}

bool relay_check_addresses(const char *listen, const char *const *targets, GError **errp)
{
    g_autoptr(RelayTargets) parsed = relay_targets_new(targets, errp);
    RelayAddress address;
    bool ok;

    if (!parsed || !parse_listen(&address, listen, errp)) {
        return false;
    }
    /* Whether IPv6 includes IPv4 is known when it listens. */
    ok = address.sockaddr.length == 0 || check_is_no_circle(parsed, &address.sockaddr, true, errp);
    relay_address_clear(&address);
    return ok;
}

bool relay_check_target(const char *address)
{
    const char *const addresses[] = { address, NULL };
    g_autoptr(RelayTargets) targets = relay_targets_new(addresses, NULL);

    return targets != NULL;
}

/* ---- parameters ---- */

static bool check_param(const char *name, int64_t value, int64_t min, int64_t max, GError **errp)
{
    if (value >= min && value <= max) {
        return true;
    }
    g_set_error(errp, RELAY_ERROR, RELAY_ERROR_INVALID,
                "%s is %" G_GINT64_FORMAT ", expected %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT,
                name, value, min, max);
    return false;
}

static bool check_params(const RelayParams *params, GError **errp)
{
    return check_param("buffer-size", params->buffer_size, RELAY_BUFFER_SIZE_MIN,
                       RELAY_BUFFER_SIZE_MAX, errp) &&
           check_param("max-connections", params->max_connections, 0, INT64_MAX, errp) &&
           check_param("idle-timeout-ms", params->idle_timeout_ms, 0, RELAY_TIMEOUT_MS_MAX, errp) &&
           check_param("connect-timeout-ms", params->connect_timeout_ms, 0, RELAY_TIMEOUT_MS_MAX,
                       errp) &&
           check_param("target-retry-ms", params->target_retry_ms, 0, RELAY_TIMEOUT_MS_MAX, errp);
}

static void store_params(Relay *relay, const RelayParams *params)
{
    /* Relaxed: see relay_param(). */
    atomic_store_explicit(&relay->buffer_size, params->buffer_size, memory_order_relaxed);
    atomic_store_explicit(&relay->max_connections, params->max_connections, memory_order_relaxed);
    atomic_store_explicit(&relay->idle_timeout_ms, params->idle_timeout_ms, memory_order_relaxed);
    atomic_store_explicit(&relay->connect_timeout_ms, params->connect_timeout_ms,
                          memory_order_relaxed);
    atomic_store_explicit(&relay->target_retry_ms, params->target_retry_ms, memory_order_relaxed);
}

bool relay_set_params(Relay *relay, const RelayParams *params, GError **errp)
{
    if (!check_params(params, errp)) {
        return false;
    }
    store_params(relay, params);
    relay_params_changed(relay);
    return true;
}

bool relay_set_targets(Relay *relay, const char *const *targets, GError **errp)
{
    g_autoptr(RelayTargets) new_targets = relay_targets_new(targets, errp);
    RelayTargets *old_targets;

    if (!new_targets || !check_is_no_circle(new_targets, &relay->bound, relay->only_ipv6, errp)) {
        return false;
    }
    /* Only this thread changes them. */
    relay_targets_inherit(new_targets, relay->targets);
    pthread_mutex_lock(&relay->lock);
    old_targets = relay->targets;
    relay->targets = g_steal_pointer(&new_targets);
    pthread_mutex_unlock(&relay->lock);
    relay_targets_unref(old_targets);
    return true;
}

void relay_set_verbose(Relay *relay, bool verbose)
{
    atomic_store_explicit(&relay->verbose, verbose, memory_order_relaxed);
}

/* ---- what there is to know ---- */

const char *relay_get_address(Relay *relay)
{
    return relay->address;
}

char **relay_get_targets_down(Relay *relay)
{
    GPtrArray *down = g_ptr_array_new();

    /* Only the owner's thread changes it. */
    for (unsigned i = 0; i < relay->targets->n; i++) {
        RelayTarget *target = &relay->targets->target[i];

        if (atomic_load_explicit(&target->down_until_ns, memory_order_relaxed) != 0) {
            g_ptr_array_add(down, g_strdup(target->address.text));
        }
    }
    g_ptr_array_add(down, NULL);
    return (char **)g_ptr_array_free(down, FALSE);
}

static uint64_t get(_Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void relay_stats_add(RelayStats *stats, RelayCounters *counters)
{
    stats->total_connections += get(&counters->total_connections);
    stats->refused += get(&counters->refused);
    stats->bytes_in += get(&counters->bytes[RELAY_CLIENT]);
    stats->bytes_out += get(&counters->bytes[RELAY_TARGET]);
    for (int i = 0; i < RELAY_CAUSE_MAX; i++) {
        stats->errors[i] += get(&counters->errors[i]);
    }
}

void relay_get_stats(Relay *relay, RelayStats *stats)
{
    *stats = relay->past;
    stats->connections = get(&relay->n_connections);
    if (relay->listener) {
        relay_stats_add(stats, &relay->listener->counters);
    }
    for (size_t i = 0; i < relay->n_workers; i++) {
        relay_stats_add(stats, &relay->workers[i]->counters);
    }
    relay_add_moving_stats(relay, stats);
}

/* ---- life ---- */

void relay_ref(Relay *relay)
{
    /* Relaxed: who has a reference may give another. */
    atomic_fetch_add_explicit(&relay->refs, 1, memory_order_relaxed);
}

void relay_unref(Relay *relay)
{
    /* Each holder's use is over before the last one frees. */
    if (atomic_fetch_sub_explicit(&relay->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    pthread_mutex_destroy(&relay->lock);
    relay_targets_unref(relay->targets);
    g_free(relay->id);
    g_free(relay->address);
    g_free(relay->workers);
    g_free(relay);
}

static Relay *relay_alloc(const RelaySetup *setup, RelayTargets *targets)
{
    Relay *relay = g_new0(Relay, 1);

    atomic_init(&relay->refs, 1);
    pthread_mutex_init(&relay->lock, NULL);
    relay->targets = targets;
    store_params(relay, &setup->params);
    relay->verbose = setup->verbose;
    relay->names = (RelayNames){
        .accept = source_name("relay_accept", setup->id),
        .ready = source_name("relay_ready", setup->id),
        .timeout = source_name("relay_timeout", setup->id),
        .retry = source_name("relay_connect_retry", setup->id),
    };
    relay->id = g_strdup(setup->id);
    relay->owner = setup->owner;
    relay->events = setup->events;
    relay->opaque = setup->opaque;
    g_queue_init(&relay->ops);
    return relay;
}

static void get_bound(Relay *relay, int fd)
{
    int only_ipv6 = 0;
    socklen_t length = sizeof(only_ipv6);

    relay->only_ipv6 =
        getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only_ipv6, &length) == 0 && only_ipv6;
    relay->bound.length = sizeof(relay->bound.storage);
    if (getsockname(fd, (struct sockaddr *)&relay->bound.storage, &relay->bound.length) != 0) {
        relay->bound = (RelaySockaddr){ 0 };
    }
    relay->address = relay_sockaddr_to_text(&relay->bound);
}

static void begin(void *opaque)
{
    Relay *relay = opaque;

    relay_listener_attach(relay->listener, relay->workers, relay->n_workers);
}

static void free_workers(Relay *relay)
{
    while (relay->n_workers > 0) {
        relay_worker_free(relay->workers[--relay->n_workers]);
    }
}

/* False and @errp, with none left behind, when out of descriptors. */
static bool make_workers(Relay *relay, const RelaySetup *setup, GError **errp)
{
    relay->workers = g_new0(RelayWorker *, setup->n_contexts);
    while (relay->n_workers < setup->n_contexts) {
        int epoll = relay_worker_open(errp);

        if (epoll < 0) {
            free_workers(relay);
            return false;
        }
        relay->workers[relay->n_workers] =
            relay_worker_new(relay, setup->contexts[relay->n_workers], epoll);
        relay->n_workers++;
    }
    return true;
}

/* Listen, where no target is. False and @errp, with nothing left behind. */
static bool make_listener(Relay *relay, const RelaySetup *setup, const RelayAddress *listen,
                          GError **errp)
{
    RelayListener *listener =
        relay_listener_new(relay, listen, setup->listen_fd, setup->frozen, errp);

    if (!listener) {
        return false;
    }
    get_bound(relay, listener->fd);
    if (!check_is_no_circle(relay->targets, &relay->bound, relay->only_ipv6, errp)) {
        relay_listener_free(listener);
        return false;
    }
    relay->listener = listener;
    return true;
}

Relay *relay_new(const RelaySetup *setup, GError **errp)
{
    g_autoptr(RelayTargets) targets = NULL;
    RelayAddress listen;
    Relay *relay;

    if (!check_params(&setup->params, errp)) {
        return NULL;
    }
    targets = relay_targets_new(setup->targets, errp);
    if (!targets) {
        return NULL;
    }
    if (!parse_listen(&listen, setup->listen, errp)) {
        return NULL;
    }
    relay = relay_alloc(setup, g_steal_pointer(&targets));
    if (setup->frozen) {
        relay_thaw_down(relay->targets, setup->frozen);
    }
    if (!make_workers(relay, setup, errp) || !make_listener(relay, setup, &listen, errp)) {
        free_workers(relay);
        relay_address_clear(&listen);
        relay_unref(relay);
        return NULL;
    }
    relay_address_clear(&listen);
    relay_listener_own(relay->listener, setup->frozen);
    if (setup->frozen) {
        relay_thaw(relay, setup->frozen);
    }
    aio_bh_schedule_oneshot_full(relay->workers[0]->ctx, begin, relay, "relay_begin");
    return relay;
}
