/*
 * The object type "socket-relay": the relay of objects/relay/relay.h as an object.
 *
 * It can be on several loops at once, so it goes to its places by itself, not by
 * objects/placement.h, and uses the IOThreads that it is on, leaves or goes to.
 */
#include "config.h"
#include "objects/socket-relay-internal.h"

#include <string.h>

#include "iothreads/iothread.h"
#include "loop/main-loop.h"
#include "objects/keep.h"
#include "objects/object-fd.h"
#include "objects/object-types.h"
#include "qmp/qmp-error.h"

/* ---- places ---- */

static bool add_iothread(Object *object, const char *property, const char *id, GPtrArray *iothreads,
                         GError **errp)
{
    Object *iothread = object_find(object->tree, id);

    if (!iothread || iothread->type != &iothread_type) {
        return qmp_error_set(errp, "Parameter '%s' expects %s; there is no IOThread '%s'", property,
                             g_str_equal(property, "iothread")
                                 ? "the id of an IOThread, or null for the main loop"
                                 : "ids of IOThreads",
                             id);
    }
    if (iothread->deleting) {
        return qmp_error_set(errp, "Parameter '%s': IOThread '%s' is being deleted", property, id);
    }
    if (g_ptr_array_find(iothreads, iothread, NULL)) {
        return qmp_error_set(errp, "Parameter '%s' names IOThread '%s' twice", property, id);
    }
    g_ptr_array_add(iothreads, iothread);
    return true;
}

static bool check_places(const SocketRelayProperties *p, GError **errp)
{
    if (p->iothread && p->iothreads && json_object_array_length(p->iothreads) > 0) {
        return qmp_error_set(errp, "Parameters 'iothread' and 'iothreads' can't both be set");
    }
    return true;
}

/* The IOThreads that @p names, none for the main loop; or NULL and @errp. */
static GPtrArray *find_iothreads(Object *object, const SocketRelayProperties *p, GError **errp)
{
    g_autoptr(GPtrArray) iothreads = g_ptr_array_new();
    size_t n = p->iothreads ? json_object_array_length(p->iothreads) : 0;

    if (!check_places(p, errp)) {
        return NULL;
    }
    if (p->iothread && !add_iothread(object, "iothread", p->iothread, iothreads, errp)) {
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        const char *id = json_object_get_string(json_object_array_get_idx(p->iothreads, i));

        if (!add_iothread(object, "iothreads", id, iothreads, errp)) {
            return NULL;
        }
    }
    return g_steal_pointer(&iothreads);
}

/* The contexts of @iothreads, *@n of them, to be freed. */
static AioContext **contexts_of(const GPtrArray *iothreads, size_t *n)
{
    AioContext **contexts = g_new(AioContext *, MAX(iothreads->len, 1));

    for (guint i = 0; i < iothreads->len; i++) {
        const Object *iothread = g_ptr_array_index(iothreads, i);

        contexts[i] = iothread_get_aio_context(iothread_by_id(iothread->id));
    }
    if (iothreads->len == 0) {
        contexts[0] = qemu_get_aio_context();
    }
    *n = MAX(iothreads->len, 1);
    return contexts;
}

static void use_iothreads(Object *object, GPtrArray *iothreads)
{
    for (guint i = 0; i < iothreads->len; i++) {
        object_add_user(g_ptr_array_index(iothreads, i), object);
    }
}

static void leave_iothreads(Object *object, GPtrArray *iothreads)
{
    for (guint i = 0; i < iothreads->len; i++) {
        object_remove_user(g_ptr_array_index(iothreads, i), object);
    }
    g_ptr_array_unref(iothreads);
}

static void relay_has_moved(void *opaque)
{
    SocketRelayObject *self = opaque;

    leave_iothreads(&self->parent, g_steal_pointer(&self->former_iothreads));
    object_tell_settled(&self->parent);
}

static bool move(Object *object, const SocketRelayProperties *p, GError **errp)
{
    SocketRelayObject *self = (SocketRelayObject *)object;
    GPtrArray *iothreads = find_iothreads(object, p, errp);
    g_autofree AioContext **contexts = NULL;
    size_t n;

    if (!iothreads) {
        return false;
    }
    contexts = contexts_of(iothreads, &n);
    if (!relay_set_contexts(self->relay, contexts, n, relay_has_moved, self, errp)) {
        g_ptr_array_unref(iothreads);
        return false;
    }
    use_iothreads(object, iothreads);
    self->former_iothreads = self->iothreads;
    self->iothreads = iothreads;
    return true;
}

static bool socket_relay_is_settled(const Object *object)
{
    return !((const SocketRelayObject *)object)->former_iothreads;
}

/* ---- targets ---- */

/* The addresses in @value, a string or a list of strings, ended by NULL; or NULL and @errp. */
static const char **targets_of(json_object *value, GError **errp)
{
    bool is_list = json_object_is_type(value, json_type_array);
    size_t n = is_list ? json_object_array_length(value) : 1;
    g_autofree const char **targets = g_new0(const char *, n + 1);

    for (size_t i = 0; i < n; i++) {
        json_object *target = is_list ? json_object_array_get_idx(value, i) : value;

        if (!json_object_is_type(target, json_type_string)) {
            qmp_error_set(errp, "Parameter 'target' expects an address, or a list of addresses");
            return NULL;
        }
        targets[i] = json_object_get_string(target);
        /* The property is of any type, so nobody has looked for that yet. */
        if (strlen(targets[i]) != (size_t)json_object_get_string_len(target)) {
            qmp_error_set(errp,
                          "Parameter 'target' expects a string without the character \\u0000");
            return NULL;
        }
    }
    return g_steal_pointer(&targets);
}

/* ---- life ---- */

static bool socket_relay_check(const void *properties, GError **errp)
{
    const SocketRelayProperties *p = properties;
    g_autofree const char **targets = targets_of(p->target, errp);

    return targets && check_places(p, errp) && relay_check_addresses(p->listen, targets, errp);
}

/* Another relay's socket may be in the way, one that was kept: those that nobody wanted so far go.
 */
static Relay *new_relay(const Object *object, const RelaySetup *setup, GError **errp)
{
    g_autoptr(GError) err = NULL;
    Relay *relay = relay_new(setup, &err);

    if (!relay && err->domain != RELAY_ERROR && object->kept &&
        kept_drop_listeners(object->kept, setup->listen)) {
        g_clear_error(&err);
        relay = relay_new(setup, &err);
    }
    if (!relay) {
        g_propagate_error(errp, g_steal_pointer(&err));
    }
    return relay;
}

/* A relay on the descriptor @name, of a session or of the daemon's. */
static Relay *new_relay_on_fd(Object *object, RelaySetup *setup, const char *name, GError **errp)
{
    Relay *relay;

    setup->listen_fd = object_take_fd(object, "listen", name, errp);
    if (setup->listen_fd < 0) {
        return NULL;
    }
    relay = new_relay(object, setup, errp);
    if (!relay) {
        object_give_fd_back(object, name, setup->listen_fd);
    }
    return relay;
}

static bool create_relay(Object *object, GPtrArray *iothreads, const char *const *targets,
                         GError **errp)
{
    SocketRelayObject *self = (SocketRelayObject *)object;
    SocketRelayProperties *p = object->properties;
    g_autoptr(RelayFrozen) frozen = socket_relay_read_state(object);
    RelaySetup setup = {
        .id = object->id,
        .owner = qemu_get_aio_context(),
        .listen = p->listen,
        .listen_fd = -1,
        .targets = targets,
        .params = p->params,
        .verbose = p->connection_events,
        .events = &socket_relay_callbacks,
        .opaque = object,
        .frozen = frozen,
    };
    g_autofree AioContext **contexts = contexts_of(iothreads, &setup.n_contexts);
    const char *name = socket_relay_fd_name(p->listen);

    setup.contexts = contexts;
    self->relay = name && !(frozen && frozen->listen_fd >= 0)
                      ? new_relay_on_fd(object, &setup, name, errp)
                      : new_relay(object, &setup, errp);
    if (!self->relay && frozen) {
        socket_relay_give_back(object, frozen);
    }
    return self->relay != NULL;
}

static bool socket_relay_create(Object *object, GError **errp)
{
    SocketRelayObject *self = (SocketRelayObject *)object;
    SocketRelayProperties *p = object->properties;
    g_autofree const char **targets = targets_of(p->target, errp);
    GPtrArray *iothreads = targets ? find_iothreads(object, p, errp) : NULL;
    const QmpLogFields about = socket_relay_log_fields(object);

    if (!iothreads) {
        return false;
    }
    if (!create_relay(object, iothreads, targets, errp)) {
        g_ptr_array_unref(iothreads);
        return false;
    }
    use_iothreads(object, iothreads);
    self->iothreads = iothreads;
    self->log_subject = g_strdup_printf("relay '%s'", object->id);
    self->log = qmp_log_limit_new(qemu_get_aio_context(), QMP_LOG_PERIOD_NS, QMP_LOG_TARGET_DOWN,
                                  &about, self->log_subject, "changes of targets");
    p->address = g_strdup(relay_get_address(self->relay));
    if (!p->iothreads) {
        p->iothreads = json_object_new_array();
    }
    return true;
}

/* Whether socket_relay_delete() has been called, which waits for moves that are under way. What is
 * kept does not drain. */
static bool is_draining(const Object *object)
{
    return object->deleting && socket_relay_is_settled(object) &&
           !((const SocketRelayObject *)object)->keep;
}

static bool socket_relay_apply(Object *object, const QmpMember *changed, const void *properties,
                               GError **errp)
{
    Relay *relay = ((SocketRelayObject *)object)->relay;
    const SocketRelayProperties *p = properties;

    switch (changed->offset) {
    case offsetof(SocketRelayProperties, iothread):
    case offsetof(SocketRelayProperties, iothreads):
        return move(object, p, errp);
    case offsetof(SocketRelayProperties, target): {
        g_autofree const char **targets = targets_of(p->target, errp);

        return targets && relay_set_targets(relay, targets, errp);
    }
    case offsetof(SocketRelayProperties, connection_events):
        relay_set_verbose(relay, p->connection_events);
        return true;
    case offsetof(SocketRelayProperties, drain_timeout_ms):
        if (is_draining(object)) {
            relay_set_drain_timeout(relay, p->drain_timeout_ms);
        }
        return true;
    default:
        return relay_set_params(relay, &p->params, errp);
    }
}

static void relay_is_gone(void *opaque)
{
    SocketRelayObject *self = opaque;

    leave_iothreads(&self->parent, self->iothreads);
    qmp_log_limit_free(self->log);
    g_free(self->log_subject);
    object_finish_delete(&self->parent);
}

static void socket_relay_delete(Object *object)
{
    const SocketRelayProperties *p = object->properties;

    relay_delete(((SocketRelayObject *)object)->relay, p->drain_timeout_ms, relay_is_gone, object);
}

static void relay_is_frozen(void *opaque, RelayFrozen *frozen)
{
    SocketRelayObject *self = opaque;

    socket_relay_write_state(&self->parent, frozen, self->keep, self->state);
    relay_frozen_free(frozen);
    relay_is_gone(self);
}

static void socket_relay_keep(Object *object, Keep *keep, json_object *state)
{
    SocketRelayObject *self = (SocketRelayObject *)object;

    self->keep = keep;
    self->state = state;
    relay_freeze(self->relay, relay_is_frozen, self);
}

static void socket_relay_hurry(Object *object)
{
    SocketRelayProperties *p = object->properties;

    p->drain_timeout_ms = 0;
    if (is_draining(object)) {
        relay_set_drain_timeout(((SocketRelayObject *)object)->relay, 0);
    }
}

const ObjectType socket_relay_type = {
    .name = "socket-relay",
    .help = "connects each client of a socket to a target, and copies both ways",
    .properties = &socket_relay_properties_type,
    .size = sizeof(SocketRelayObject),
    .events = socket_relay_events,
    .check = socket_relay_check,
    .create = socket_relay_create,
    .apply = socket_relay_apply,
    .delete = socket_relay_delete,
    .keep = socket_relay_keep,
    .refresh = socket_relay_refresh,
    .is_settled = socket_relay_is_settled,
    .hurry = socket_relay_hurry,
};
