/*
 * Reading what was kept.
 *
 * It comes from outside the process, and may be anything. What is wrong with all of it is an error;
 * what is wrong with one object is a warning, and the others go on without that one.
 */
#include "config.h"
#include "objects/keep.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "objects/keep-listener.h"
#include "objects/keep-parcel.h"
#include "objects/keep-private.h"
#include "objects/keep-store.h"
#include "objects/object-types.h"
#include "qmp/qmp-error.h"
#include "qmp/qmp-json.h"
#include "qmp/qmp-log.h"

/* The memory of a memfd. */
typedef struct Memory {
    void *bytes; /* NULL: none */
    size_t length;
} Memory;

struct Kept {
    GArray *fds; /* of int, by their keys; -1: missing; or KEEP_TAKEN */
    Memory bytes;
    json_object *state;
    GPtrArray *objects; /* of KeptObject */
    GHashTable *by_id;  /* of the same */
    KeepListeners *listeners;
    int64_t n_taken; /* descriptors */
};

static void kept_object_free(KeptObject *object)
{
    json_object_put(object->properties);
    json_object_put(object->state);
    g_free(object->id);
    g_free(object);
}

void kept_free(Kept *kept)
{
    if (kept->bytes.bytes) {
        munmap(kept->bytes.bytes, kept->bytes.length);
    }
    /* While somebody listens still. */
    keep_listeners_free(kept->listeners);
    fds_free(kept->fds);
    json_object_put(kept->state);
    g_hash_table_unref(kept->by_id);
    g_ptr_array_unref(kept->objects);
    g_free(kept);
}

/* ---- looking into states ---- */

static json_object *get(json_object *state, const char *name, json_type type)
{
    json_object *value = NULL;

    if (!json_object_is_type(state, json_type_object) ||
        !json_object_object_get_ex(state, name, &value) || !json_object_is_type(value, type)) {
        return NULL;
    }
    return value;
}

int64_t kept_get_int(json_object *state, const char *name)
{
    json_object *value = get(state, name, json_type_int);
    int64_t number = value ? json_object_get_int64(value) : -1;

    return MAX(number, -1);
}

bool kept_get_bool(json_object *state, const char *name)
{
    return json_object_get_boolean(get(state, name, json_type_boolean));
}

const char *kept_get_str(json_object *state, const char *name)
{
    json_object *value = get(state, name, json_type_string);

    return value ? json_object_get_string(value) : NULL;
}

json_object *kept_get_array(json_object *state, const char *name)
{
    return get(state, name, json_type_array);
}

json_object *kept_get_object(json_object *state, const char *name)
{
    return get(state, name, json_type_object);
}

/* ---- descriptors and bytes ---- */

int kept_take_fd(Kept *kept, int64_t key)
{
    int fd = -1;

    if (key >= KEEP_FIRST_KEY && key < kept->fds->len && g_array_index(kept->fds, int, key) >= 0) {
        fd = g_array_index(kept->fds, int, key);
        g_array_index(kept->fds, int, key) = KEEP_TAKEN;
        kept->n_taken++;
    }
    return fd;
}

void kept_close_fd(Kept *kept, int64_t key)
{
    int fd = kept_take_fd(kept, key);

    if (fd >= 0) {
        close(fd);
        kept->n_taken--;
    }
}

int64_t kept_add_fd(Kept *kept, int fd)
{
    g_array_append_val(kept->fds, fd);
    kept->n_taken--;
    return kept->fds->len - 1;
}

void kept_give_fd_back(Kept *kept, int64_t key, int fd)
{
    g_assert(g_array_index(kept->fds, int, key) == KEEP_TAKEN);
    g_array_index(kept->fds, int, key) = fd;
    kept->n_taken--;
}

int64_t kept_count_taken(const Kept *kept)
{
    return kept->n_taken;
}

const void *kept_bytes(Kept *kept, int64_t offset, size_t length)
{
    size_t size = kept->bytes.length;

    if (!kept->bytes.bytes || offset < 0 || (uint64_t)offset > size ||
        length > size - (size_t)offset) {
        return NULL;
    }
    return (const char *)kept->bytes.bytes + offset;
}

KeepListeners *kept_get_listeners(Kept *kept)
{
    return kept->listeners;
}

/* Map the memfd with @key. It must not shrink meanwhile, which would end the process. */
static bool map(const Kept *kept, guint key, Memory *memory, GError **errp)
{
    const int needed = F_SEAL_SHRINK | F_SEAL_WRITE;
    int fd = key < kept->fds->len ? g_array_index(kept->fds, int, key) : -1;
    int seals = fd < 0 ? -1 : fcntl(fd, F_GET_SEALS);
    struct stat status;
    void *bytes;

    if (seals < 0 || (seals & needed) != needed || fstat(fd, &status) != 0) {
        return qmp_error_set(errp, "%s", fd < 0 ? "it is empty" : "its memory is not sealed");
    }
    if (status.st_size == 0) {
        return true;
    }
    bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED) {
        return qmp_error_set(errp, "mmap: %s", g_strerror(errno));
    }
    *memory = (Memory){ .bytes = bytes, .length = (size_t)status.st_size };
    return true;
}

/* ---- the state ---- */

typedef struct Parsed {
    json_object *value;
    GError *error;
    unsigned count;
} Parsed;

static void take_value(json_object *value, GError *error, void *opaque)
{
    Parsed *parsed = opaque;

    json_object_put(parsed->value);
    parsed->value = value;
    parsed->count++;
    if (error && !parsed->error) {
        parsed->error = error;
    } else {
        g_clear_error(&error);
    }
}

static json_object *parse(const Memory *text, GError **errp)
{
    const QmpJsonLimits limits = { .max_bytes = QMP_JSON_HIGHEST_MAX_BYTES,
                                   .max_tokens = SIZE_MAX };
    g_autoptr(QmpJsonParser) parser = NULL;
    Parsed parsed = { 0 };

    parser = qmp_json_parser_new(&limits, take_value, &parsed);
    qmp_json_parser_feed(parser, text->bytes, text->length);
    qmp_json_parser_finish(parser);
    if (!parsed.error &&
        (parsed.count != 1 || !json_object_is_type(parsed.value, json_type_object))) {
        qmp_error_set(&parsed.error, "its state is no object");
    }
    if (parsed.error) {
        json_object_put(parsed.value);
        g_propagate_error(errp, parsed.error);
        return NULL;
    }
    return parsed.value;
}

static bool check_version(json_object *state, GError **errp)
{
    int64_t version = kept_get_int(state, "version");

    if (version != KEEP_VERSION) {
        return qmp_error_set(errp, "its version is %" G_GINT64_FORMAT ", this reads %d", version,
                             KEEP_VERSION);
    }
    return true;
}

static bool read_state(Kept *kept, GError **errp)
{
    Memory text = { 0 };

    if (!map(kept, KEEP_STATE, &text, errp)) {
        return false;
    }
    kept->state = parse(&text, errp);
    if (text.bytes) {
        munmap(text.bytes, text.length);
    }
    return kept->state && check_version(kept->state, errp);
}

/* ---- objects ---- */

static bool find_asked_by(json_object *entry, AskedBy *asked_by)
{
    const char *name = kept_get_str(entry, "asked-by");

    for (int i = 0; name && asked_by_names[i]; i++) {
        if (strcmp(asked_by_names[i], name) == 0) {
            *asked_by = (AskedBy)i;
            return true;
        }
    }
    return false;
}

static KeptObject *read_object(Kept *kept, json_object *entry, GError **errp)
{
    const char *type_name = kept_get_str(entry, "qom-type");
    const ObjectType *type = type_name ? object_type_find(type_name) : NULL;
    const char *id = kept_get_str(entry, "id");
    json_object *properties = kept_get_object(entry, "properties");
    AskedBy asked_by;
    KeptObject *object;

    if (!id || !type_name || !properties || !find_asked_by(entry, &asked_by)) {
        qmp_error_set(errp, "members are missing");
        return NULL;
    }
    if (!type) {
        qmp_error_set(errp, "there is no type '%s'", type_name);
        return NULL;
    }
    if (!object_check_id(id, errp) || !qmp_check_object(type->properties, properties, errp)) {
        return NULL;
    }
    if (g_hash_table_contains(kept->by_id, id)) {
        qmp_error_set(errp, "there is another one with id '%s'", id);
        return NULL;
    }
    object = g_new(KeptObject, 1);
    *object = (KeptObject){
        .type = type,
        .id = g_strdup(id),
        .asked_by = asked_by,
        .properties = json_object_get(properties),
        .state = json_object_get(kept_get_object(entry, "state")),
    };
    return object;
}

static bool read_objects(Kept *kept, GError **errp)
{
    json_object *array = kept_get_array(kept->state, "objects");

    if (!array) {
        return qmp_error_set(errp, "it has no objects");
    }
    for (size_t i = 0; i < json_object_array_length(array); i++) {
        g_autoptr(GError) error = NULL;
        KeptObject *object = read_object(kept, json_object_array_get_idx(array, i), &error);

        if (object) {
            g_ptr_array_add(kept->objects, object);
            g_hash_table_insert(kept->by_id, object->id, object);
        } else {
            qmp_log(QMP_LOG_RESTART_OBJECT_LOST, &(QmpLogFields){ .reason = error->message },
                    "restart: object number %zu is lost: %s", i + 1, error->message);
        }
    }
    return true;
}

/* ---- all of it ---- */

static void warn_missing(const Kept *kept)
{
    int64_t expected = kept_get_int(kept->state, "descriptors");
    int64_t found = 0;

    for (guint i = 0; i < kept->fds->len; i++) {
        found += g_array_index(kept->fds, int, i) >= 0;
    }
    if (found < expected) {
        qmp_log(QMP_LOG_RESTART_DESCRIPTORS_LOST,
                &(QmpLogFields){ .count = (uint64_t)(expected - found) },
                "restart: %" G_GINT64_FORMAT " of %" G_GINT64_FORMAT
                " descriptors have not come: is LimitNOFILE= lower than it was?",
                expected - found, expected);
    }
}

/* Places that stand for nothing. */
static void close_free_keys(Kept *kept)
{
    json_object *keys = kept_get_array(kept->state, "free-keys");
    size_t n = keys ? json_object_array_length(keys) : 0;

    for (size_t i = 0; i < n; i++) {
        kept_close_fd(kept, json_object_get_int64(json_object_array_get_idx(keys, i)));
    }
}

Kept *kept_new(const int *parcels, size_t n, GError **errp)
{
    g_autoptr(Kept) kept = g_new0(Kept, 1);
    g_autoptr(GError) error = NULL;

    kept->objects = g_ptr_array_new_with_free_func((GDestroyNotify)kept_object_free);
    kept->by_id = g_hash_table_new(g_str_hash, g_str_equal);
    kept->fds = parcels_unpack(parcels, n);
    kept->listeners = keep_listeners_new();
    if (!read_state(kept, errp) || !read_objects(kept, errp)) {
        return NULL;
    }
    keep_listeners_read(kept->listeners, kept_get_array(kept->state, "listeners"));
    warn_missing(kept);
    close_free_keys(kept);
    /* Without them only those who need them can't go on. */
    if (!map(kept, KEEP_BYTES, &kept->bytes, &error)) {
        qmp_log(QMP_LOG_RESTART_CONNECTIONS_LOST, &(QmpLogFields){ .reason = error->message },
                "restart: what connections held is lost: %s", error->message);
    }
    return g_steal_pointer(&kept);
}

json_object *kept_get(const Kept *kept, const char *name)
{
    return json_object_object_get(kept->state, name);
}

KeptObject *kept_find(Kept *kept, const ObjectType *type, const char *id)
{
    KeptObject *object = g_hash_table_lookup(kept->by_id, id);

    return object && !object->used && object->type == type ? object : NULL;
}

const GPtrArray *kept_get_objects(const Kept *kept)
{
    return kept->objects;
}

/* ---- for those that keep it again ---- */

GArray *kept_steal_fds(Kept *kept)
{
    GArray *fds = kept->fds;

    kept->fds = g_array_new(FALSE, FALSE, sizeof(int));
    return fds;
}

KeepListeners *kept_steal_listeners(Kept *kept)
{
    KeepListeners *listeners = kept->listeners;

    kept->listeners = keep_listeners_new();
    return listeners;
}
