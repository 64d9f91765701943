/*
 * The object type "event-notifier": an eventfd that others kick and the daemon counts.
 *
 * What a kick leaves behind, in the eventfd's counter or the doorbell's, is not in any loop: while
 * the object moves it waits there, and the first thing that start does is to look. So no kick is
 * lost, and as a counter is read and cleared in one, none is counted twice.
 */
#include "config.h"
#include "loop/event-notifier.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "objects/counter.h"
#include "objects/doorbell.h"
#include "objects/event-pace.h"
#include "objects/keep.h"
#include "objects/object-fd.h"
#include "objects/object-types.h"
#include "objects/placement.h"
#include "objects/source-name.h"
#include "qmp/qmp-error.h"
#include "qmp/qmp-request.h"

extern const ObjectType event_notifier_type;

typedef struct NotifierProperties {
    PlacedProperties placed;
    char *fd;
    char *doorbell;
    json_object *chain;
    int64_t kicks;
    int64_t polled;
} NotifierProperties;

typedef struct NotifierObject {
    Object parent;
    EventNotifier notifier; /* constant from creation to deletion, as the next */
    const char *source_name;

    /* Main thread; start reads the first. Of NotifierObject, each of which has this one as a user.
     */
    GPtrArray *chain;
    GPtrArray *former_chain; /* what a change that is under way replaces, else NULL */

    /* With a doorbell: kicks by the daemon itself, which the eventfd can't count, for there its
     * value means nothing. Any thread adds. */
    _Atomic uint64_t own_kicks;

    /* The thread's of the loop that it works on; while it is stopped, whoever has it. */
    AioContext *ctx;
    GPtrArray *targets; /* the chain in force */
    Doorbell bell;
    EventPace pace;
    int64_t untold; /* kicks since the last event */

    /* Statistics, for any thread to read. */
    Counter kicks;
    Counter polled;
} NotifierObject;

static const QmpMember notifier_properties[] = {
    { .name = "fd",
      .type = &qmp_type_str,
      .flags = QMP_MEMBER_OPTIONAL | QMP_MEMBER_CREATE_ONLY,
      .offset = offsetof(NotifierProperties, fd),
      .help = "the name of an eventfd, by getfd or passed to the daemon; none: a new one" },
    { .name = "doorbell",
      .type = &qmp_type_str,
      .flags = QMP_MEMBER_OPTIONAL | QMP_MEMBER_CREATE_ONLY,
      .offset = offsetof(NotifierProperties, doorbell),
      .help = "the name of a memfd with a doorbell in it, likewise; none: no doorbell" },
    { .name = "chain",
      .type = &qmp_type_str_list,
      .flags = QMP_MEMBER_OPTIONAL,
      .offset = offsetof(NotifierProperties, chain),
      .refers_to = "event-notifier",
      .help = "the ids of event notifiers that each kick is handed on to" },
    { .name = "kicks",
      .type = &qmp_type_int,
      .flags = QMP_MEMBER_READ_ONLY,
      .offset = offsetof(NotifierProperties, kicks),
      .help = "how often it has been kicked: the sum of what was written to the eventfd, or with a "
              "doorbell, of its rings" },
    { .name = "polled",
      .type = &qmp_type_int,
      .flags = QMP_MEMBER_READ_ONLY,
      .offset = offsetof(NotifierProperties, polled),
      .help = "those of its kicks that polling found at the doorbell" },
    { 0 },
};
static const QmpType notifier_properties_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "EventNotifierProperties",
    .base = &placed_properties,
    .members = notifier_properties,
    .size = sizeof(NotifierProperties),
};

/* ---- the event ---- */

typedef struct NotifierSet {
    char *id;
    int64_t kicks;
} NotifierSet;

static const QmpMember notifier_set_members[] = {
    { .name = "id",
      .type = &qmp_type_str,
      .offset = offsetof(NotifierSet, id),
      .help = "the event notifier's id" },
    { .name = "kicks",
      .type = &qmp_type_int,
      .offset = offsetof(NotifierSet, kicks),
      .help = "how often it has been kicked since the event before" },
    { 0 },
};
static const QmpType notifier_set_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "EventNotifierSetEvent",
    .members = notifier_set_members,
    .size = sizeof(NotifierSet),
};

static const QmpEvent notifier_events[] = {
    { .name = "EVENT_NOTIFIER_SET",
      .data = &notifier_set_type,
      .help = "an event notifier has been kicked",
      .limit_ms = QMP_EVENT_LIMIT_MS,
      .limit_by = "id",
      .adds_up = true },
    { 0 },
};

static void send_notifier_set(void *opaque)
{
    NotifierObject *self = opaque;
    NotifierSet data = { .id = self->parent.id, .kicks = self->untold };

    self->untold = 0;
    object_emit(&self->parent, &notifier_events[0], &data);
}

/* ---- kicking: any thread ---- */

/* Kick @self @n times. */
static void kick(NotifierObject *self, uint64_t n)
{
    int fd = event_notifier_get_fd(&self->notifier);
    ssize_t written;

    n = MIN(n, UINT64_MAX - 1); /* the most that an eventfd takes */
    if (self->bell.words) {
        /* Sequentially consistent: before the eventfd is set, for whom that wakes. */
        atomic_fetch_add(&self->own_kicks, n);
        n = 1;
    }
    /* A counter that is full, after 2^64 - 2 kicks, stays so. */
    do {
        written = write(fd, &n, sizeof(n));
    } while (written < 0 && errno == EINTR);
}

/* ---- at work: in the thread of its loop ---- */

static NotifierObject *notifier_object(const EventNotifier *notifier)
{
    return (NotifierObject *)((char *)notifier - offsetof(NotifierObject, notifier));
}

static int64_t at_most_int64(uint64_t n)
{
    return (int64_t)MIN(n, (uint64_t)INT64_MAX);
}

/* It has been kicked @n times; 0: no more than woken. */
static void take_kicks(NotifierObject *self, uint64_t n)
{
    if (n == 0) {
        return;
    }
    counter_increase(&self->kicks, at_most_int64(n));
    if (__builtin_add_overflow(self->untold, at_most_int64(n), &self->untold)) {
        self->untold = INT64_MAX;
    }
    for (guint i = 0; i < self->targets->len; i++) {
        kick(g_ptr_array_index(self->targets, i), n);
    }
    event_pace_raise(&self->pace);
}

/* What is there to be counted; @value is what has been read from the eventfd. */
static uint64_t count_kicks(NotifierObject *self, uint64_t value)
{
    return self->bell.words ? doorbell_take(&self->bell) + atomic_exchange(&self->own_kicks, 0)
                            : value;
}

/* Read the eventfd @fd. Somebody else may have read it before, then it is 0; even if that is a
 * client who has made it block again, this does not wait. */
static uint64_t read_counter(int fd)
{
    uint64_t value = 0;
    struct iovec iov = { .iov_base = &value, .iov_len = sizeof(value) };
    ssize_t n = preadv2(fd, &iov, 1, -1, RWF_NOWAIT);

    if (n < 0 && errno != EAGAIN) {
        /* An older kernel. */
        n = read(fd, &value, sizeof(value));
    }
    return n == sizeof(value) ? value : 0;
}

static void notifier_kicked(EventNotifier *notifier)
{
    NotifierObject *self = notifier_object(notifier);

    take_kicks(self, count_kicks(self, read_counter(event_notifier_get_fd(notifier))));
}

static bool poll_doorbell(void *opaque)
{
    return doorbell_has_rung(&notifier_object(opaque)->bell);
}

static void doorbell_rung(EventNotifier *notifier)
{
    NotifierObject *self = notifier_object(notifier);
    uint64_t n = doorbell_take(&self->bell);

    counter_increase(&self->polled, at_most_int64(n));
    take_kicks(self, n);
}

static void begin_polling(EventNotifier *notifier)
{
    doorbell_set_awake(&notifier_object(notifier)->bell, true);
}

static void end_polling(EventNotifier *notifier)
{
    doorbell_set_awake(&notifier_object(notifier)->bell, false);
}

static void notifier_type_start(Object *object, AioContext *ctx)
{
    NotifierObject *self = (NotifierObject *)object;
    bool has_bell = self->bell.words != NULL;

    self->ctx = ctx;
    self->targets = self->chain;
    event_pace_start(&self->pace, ctx);
    aio_set_event_notifier_full(ctx, &self->notifier, notifier_kicked,
                                has_bell ? poll_doorbell : NULL, has_bell ? doorbell_rung : NULL,
                                self->source_name);
    if (has_bell) {
        aio_set_event_notifier_poll(ctx, &self->notifier, begin_polling, end_polling);
        /* Polling may have seen a ring, without a kick, and stop have come before it was taken. */
        take_kicks(self, count_kicks(self, 0));
    }
}

static void notifier_type_stop(Object *object)
{
    NotifierObject *self = (NotifierObject *)object;

    aio_set_event_notifier(self->ctx, &self->notifier, NULL, NULL, NULL);
    doorbell_set_awake(&self->bell, false);
    event_pace_stop(&self->pace);
}

/* ---- the chain: in the main thread ---- */

/* Add to @found those of @chain that are not in @seen yet. */
static void find_more(GPtrArray *found, GHashTable *seen, GPtrArray *chain)
{
    for (guint i = 0; chain && i < chain->len; i++) {
        if (g_hash_table_add(seen, g_ptr_array_index(chain, i))) {
            g_ptr_array_add(found, g_ptr_array_index(chain, i));
        }
    }
}

/* Whether a kick of @from would come to @self, which is not one of @seen: what has been looked at
 * before, to no avail. A chain that a change under way replaces may be in force still. */
static bool leads_to(NotifierObject *from, const NotifierObject *self, GHashTable *seen)
{
    g_autoptr(GPtrArray) found = g_ptr_array_new();

    if (g_hash_table_add(seen, from)) {
        g_ptr_array_add(found, from);
    }
    for (guint i = 0; i < found->len; i++) {
        const NotifierObject *next = g_ptr_array_index(found, i);

        if (next == self) {
            return true;
        }
        find_more(found, seen, next->chain);
        find_more(found, seen, next->former_chain);
    }
    return false;
}

static bool add_link(NotifierObject *self, GPtrArray *chain, GHashTable *seen, const char *id,
                     GError **errp)
{
    Object *target = object_find(self->parent.tree, id);

    if (strcmp(id, self->parent.id) == 0) {
        return qmp_error_set(errp, "Parameter 'chain': '%s' would kick itself", id);
    }
    if (!target || target->type != self->parent.type || target->deleting) {
        return qmp_error_set(errp, "Parameter 'chain': there is no event notifier '%s'", id);
    }
    if (leads_to((NotifierObject *)target, self, seen)) {
        return qmp_error_set(errp, "Parameter 'chain': '%s' would kick itself by way of '%s'",
                             self->parent.id, id);
    }
    if (g_ptr_array_find(chain, target, NULL)) {
        return qmp_error_set(errp, "Parameter 'chain': '%s' is named twice", id);
    }
    g_ptr_array_add(chain, target);
    return true;
}

/* The notifiers that @ids (NULL: none) names; NULL and @errp when that can't be. */
static GPtrArray *find_chain(NotifierObject *self, json_object *ids, GError **errp)
{
    g_autoptr(GPtrArray) chain = g_ptr_array_new();
    g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
    size_t len = ids ? json_object_array_length(ids) : 0;

    for (size_t i = 0; i < len; i++) {
        const char *id = json_object_get_string(json_object_array_get_idx(ids, i));

        if (!add_link(self, chain, seen, id, errp)) {
            return NULL;
        }
    }
    return g_steal_pointer(&chain);
}

static void use_chain(NotifierObject *self)
{
    for (guint i = 0; i < self->chain->len; i++) {
        object_add_user(g_ptr_array_index(self->chain, i), &self->parent);
    }
}

static void release_chain(NotifierObject *self, GPtrArray *chain)
{
    for (guint i = 0; i < chain->len; i++) {
        object_remove_user(g_ptr_array_index(chain, i), &self->parent);
    }
    g_ptr_array_unref(chain);
}

static bool notifier_type_apply(Object *object, const QmpMember *changed, const void *properties,
                                GError **errp)
{
    NotifierObject *self = (NotifierObject *)object;
    const NotifierProperties *p = properties;
    GPtrArray *chain = find_chain(self, p->chain, errp);

    if (!chain) {
        return false;
    }
    self->former_chain = self->chain;
    self->chain = chain;
    use_chain(self);
    return true;
}

static void notifier_type_settled(Object *object)
{
    NotifierObject *self = (NotifierObject *)object;

    if (self->former_chain) {
        release_chain(self, g_steal_pointer(&self->former_chain));
    }
}

/* ---- descriptors of the client's ---- */

static bool is_eventfd(int fd)
{
    static const char kind[] = "anon_inode:[eventfd]";
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
    g_autofree char *link = g_file_read_link(path, NULL);

    return g_strcmp0(link, kind) == 0;
}

/* The eventfd that the process before has made. */
static bool get_kept_notifier(NotifierObject *self)
{
    int fd = object_take_kept_fd(&self->parent, "fd", NULL);

    if (fd >= 0 && is_eventfd(fd)) {
        event_notifier_init_fd(&self->notifier, fd);
        return true;
    }
    if (fd >= 0) {
        close(fd);
    }
    return false;
}

static bool get_notifier(NotifierObject *self, const char *name, GError **errp)
{
    int fd;

    if (!name && get_kept_notifier(self)) {
        return true;
    }
    if (!name) {
        return event_notifier_init(&self->notifier, false, errp);
    }
    fd = object_take_fd(&self->parent, "fd", name, errp);
    if (fd < 0) {
        return false;
    }
    if (!is_eventfd(fd)) {
        object_give_fd_back(&self->parent, name, fd);
        return qmp_error_set(errp, "Parameter 'fd' expects an eventfd; '%s' is none", name);
    }
    event_notifier_init_fd(&self->notifier, fd);
    return true;
}

static bool get_doorbell(NotifierObject *self, const char *name, GError **errp)
{
    bool ok;
    int fd;

    if (!name) {
        return true;
    }
    fd = object_take_fd(&self->parent, "doorbell", name, errp);
    if (fd < 0) {
        return false;
    }
    ok = doorbell_map(&self->bell, fd, errp);
    if (!ok) {
        object_give_fd_back(&self->parent, name, fd);
    }
    return ok;
}

/* Undo get_notifier(): what the client has sent is its own again. */
static void give_notifier_back(NotifierObject *self, const char *name)
{
    if (name) {
        object_give_fd_back(&self->parent, name, event_notifier_get_fd(&self->notifier));
    } else {
        event_notifier_cleanup(&self->notifier);
    }
}

/* ---- going on in the next process: in the main thread ---- */

static void add_number(json_object *state, const char *name, uint64_t number)
{
    g_autofree char *text = g_strdup_printf("%" G_GUINT64_FORMAT, number);

    json_object_object_add(state, name, json_object_new_string(text));
}

static uint64_t get_number(json_object *state, const char *name)
{
    const char *text = kept_get_str(state, name);
    guint64 number = 0;

    if (text) {
        g_ascii_string_to_unsigned(text, 10, 0, UINT64_MAX, &number, NULL);
    }
    return number;
}

/* What the memory of a doorbell is told by, whoever passes it. */
static char *memory_id(int fd)
{
    struct stat status;

    if (fstat(fd, &status) != 0) {
        return NULL;
    }
    return g_strdup_printf("%ju:%ju", (uintmax_t)status.st_dev, (uintmax_t)status.st_ino);
}

static void keep_doorbell(NotifierObject *self, Keep *keep, json_object *state)
{
    const NotifierProperties *p = self->parent.properties;
    g_autofree char *memory = memory_id(self->bell.fd);

    if (memory) {
        json_object_object_add(state, "memory", json_object_new_string(memory));
    }
    add_number(state, "rings-seen", self->bell.seen);
    add_number(state, "own-kicks", atomic_load(&self->own_kicks));
    object_keep_fd(&self->parent, keep, state, "doorbell", p->doorbell,
                   doorbell_unmap_steal(&self->bell));
}

static void notifier_type_keep(Object *object, Keep *keep, json_object *state)
{
    NotifierObject *self = (NotifierObject *)object;
    const NotifierProperties *p = object->properties;

    event_pace_finish(&self->pace);
    release_chain(self, self->chain);
    json_object_object_add(state, "kicks", json_object_new_int64(counter_read(&self->kicks)));
    json_object_object_add(state, "polled", json_object_new_int64(counter_read(&self->polled)));
    if (self->bell.words) {
        keep_doorbell(self, keep, state);
    }
    object_keep_fd(object, keep, state, "fd", p->fd, event_notifier_get_fd(&self->notifier));
    object_finish_delete(object);
}

static void go_on(NotifierObject *self, json_object *state)
{
    g_autofree char *memory = self->bell.words ? memory_id(self->bell.fd) : NULL;

    counter_restore(&self->kicks, kept_get_int(state, "kicks"));
    counter_restore(&self->polled, kept_get_int(state, "polled"));
    /* What has rung meanwhile is still to be counted. */
    if (memory && g_strcmp0(memory, kept_get_str(state, "memory")) == 0) {
        self->bell.seen = get_number(state, "rings-seen");
        atomic_store(&self->own_kicks, get_number(state, "own-kicks"));
    }
}

/* ---- life: in the main thread ---- */

static bool notifier_type_create(Object *object, GError **errp)
{
    NotifierObject *self = (NotifierObject *)object;
    NotifierProperties *p = object->properties;
    g_autoptr(GPtrArray) chain = find_chain(self, p->chain, errp);

    if (!chain || !get_notifier(self, p->fd, errp)) {
        return false;
    }
    if (!get_doorbell(self, p->doorbell, errp)) {
        give_notifier_back(self, p->fd);
        return false;
    }
    if (!p->chain) {
        p->chain = json_object_new_array();
    }
    self->chain = g_steal_pointer(&chain);
    use_chain(self);
    self->source_name = source_name("notifier_kicked", object->id);
    event_pace_init(&self->pace, object->id, send_notifier_set, self);
    if (object->kept_state) {
        go_on(self, object->kept_state);
    }
    return true;
}

static void notifier_type_refresh(Object *object)
{
    NotifierObject *self = (NotifierObject *)object;
    NotifierProperties *p = object->properties;

    p->kicks = counter_read(&self->kicks);
    p->polled = counter_read(&self->polled);
}

static void notifier_type_delete(Object *object)
{
    NotifierObject *self = (NotifierObject *)object;

    event_pace_finish(&self->pace);
    release_chain(self, self->chain);
    doorbell_unmap(&self->bell);
    event_notifier_cleanup(&self->notifier);
    object_finish_delete(object);
}

/* ---- event-notifier-set, event-notifier-get: monitor or main thread ---- */

typedef struct NotifierArgs {
    char *id;
} NotifierArgs;

static const QmpMember notifier_args_members[] = {
    { .name = "id",
      .type = &qmp_type_str,
      .flags = QMP_MEMBER_NAMES_OBJECT,
      .offset = offsetof(NotifierArgs, id),
      .help = "the event notifier's id" },
    { 0 },
};
static const QmpType notifier_args = {
    .kind = QMP_KIND_OBJECT,
    .name = "EventNotifierArgs",
    .members = notifier_args_members,
    .size = sizeof(NotifierArgs),
};

static void fail_not_found(QmpRequest *request, const char *id)
{
    qmp_fail(request, g_error_new(QMP_ERROR, QMP_ERROR_DEVICE_NOT_FOUND,
                                  "There is no event notifier '%s'", id));
}

static void kick_once(Object *object, void *opaque)
{
    kick((NotifierObject *)object, 1);
}

static void run_event_notifier_set(QmpRequest *request, void *data)
{
    const NotifierArgs *args = data;

    if (object_peek(qmp_request_get_opaque(request), args->id, &event_notifier_type, kick_once,
                    NULL)) {
        qmp_return_empty(request);
    } else {
        fail_not_found(request, args->id);
    }
}

static void duplicate_fd(Object *object, void *fd)
{
    const NotifierObject *self = (NotifierObject *)object;

    *(int *)fd = fcntl(event_notifier_get_fd(&self->notifier), F_DUPFD_CLOEXEC, 0);
}

static void run_event_notifier_get(QmpRequest *request, void *data)
{
    const NotifierArgs *args = data;
    int fd = -1;

    if (!qmp_request_get_session(request)) {
        qmp_fail_generic(request, "event-notifier-get is for sessions only");
    } else if (!object_peek(qmp_request_get_opaque(request), args->id, &event_notifier_type,
                            duplicate_fd, &fd)) {
        fail_not_found(request, args->id);
    } else if (fd < 0) {
        qmp_fail_generic(request, "The daemon is out of descriptors");
    } else {
        qmp_return_with_fd(request, json_object_new_object(), fd);
    }
}

static const QmpCommand notifier_commands[] = {
    { .name = "event-notifier-set",
      .flags = QMP_COMMAND_ALLOW_OOB,
      .args = &notifier_args,
      .ret = &qmp_type_empty,
      .run = run_event_notifier_set,
      .help = "kick an event notifier once",
      .errors = "DeviceNotFound when there is no event notifier of that id" },
    { .name = "event-notifier-get",
      .flags = QMP_COMMAND_ALLOW_OOB,
      .args = &notifier_args,
      .ret = &qmp_type_empty,
      .run = run_event_notifier_get,
      .help = "get the eventfd of an event notifier, which comes with the answer by SCM_RIGHTS",
      .errors = "DeviceNotFound when there is no event notifier of that id, GenericError when the "
                "daemon is out of descriptors" },
    { 0 },
};

/* ---- the type ---- */

const ObjectType event_notifier_type = {
    .name = "event-notifier",
    .help = "an eventfd that others kick and the daemon counts",
    .properties = &notifier_properties_type,
    .size = sizeof(NotifierObject),
    .commands = notifier_commands,
    .events = notifier_events,
    .create = notifier_type_create,
    .apply = notifier_type_apply,
    .delete = notifier_type_delete,
    .keep = notifier_type_keep,
    .refresh = notifier_type_refresh,
    .start = notifier_type_start,
    .stop = notifier_type_stop,
    .settled = notifier_type_settled,
};
