/*
 * Collecting what is to be kept.
 */
#include "config.h"
#include "objects/keep.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "objects/keep-listener.h"
#include "objects/keep-parcel.h"
#include "objects/keep-private.h"
#include "objects/keep-store.h"
#include "objects/object-values.h"
#include "qmp/qmp-error.h"
#include "qmp/qmp-json.h"
#include "qmp/qmp-log.h"

struct Keep {
    size_t max_fds;
    GArray *fds;        /* of int, by their keys: two of our own, then those of keep_fd() */
    GArray *free_keys;  /* of int64_t: places that others have left */
    size_t bytes_len;   /* in fds[KEEP_BYTES] */
    json_object *state; /* all of it */
    json_object *objects;
    GHashTable *by_id; /* of the same */
    KeepListeners *listeners;
};

const char *const asked_by_names[] = {
    [ASKED_BY_CLIENT] = "client",
    [ASKED_BY_START] = "start",
    [ASKED_BY_CONFIGURATION] = "configuration",
    NULL,
};

Keep *keep_new(size_t max_fds)
{
    Keep *keep = g_new0(Keep, 1);
    int none = -1;

    keep->max_fds = MIN(max_fds, PARCELS_MAX_FDS / 2);
    keep->fds = g_array_new(FALSE, FALSE, sizeof(int));
    keep->free_keys = g_array_new(FALSE, FALSE, sizeof(int64_t));
    for (int i = 0; i < KEEP_FIRST_KEY; i++) {
        g_array_append_val(keep->fds, none);
    }
    keep->state = json_object_new_object();
    keep->objects = json_object_new_array();
    keep->by_id = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    keep->listeners = keep_listeners_new();
    keep_set(keep, "version", json_object_new_int(KEEP_VERSION));
    keep_set(keep, "from", json_object_new_string(PACKAGE_STRING));
    keep_set(keep, "objects", keep->objects);
    return keep;
}

void keep_free(Keep *keep)
{
    /* While somebody listens still. */
    keep_listeners_free(keep->listeners);
    fds_free(keep->fds);
    g_array_unref(keep->free_keys);
    json_object_put(keep->state);
    g_hash_table_unref(keep->by_id);
    g_free(keep);
}

void keep_set(Keep *keep, const char *name, json_object *value)
{
    json_object_object_add(keep->state, name, value);
}

/* ---- descriptors ---- */

size_t keep_count_fds(const Keep *keep)
{
    return keep->fds->len - KEEP_FIRST_KEY - keep->free_keys->len;
}

size_t keep_room(const Keep *keep)
{
    return keep->max_fds - MIN(keep->max_fds, keep_count_fds(keep));
}

int64_t keep_fd(Keep *keep, int fd)
{
    g_return_val_if_fail(fd >= 0, -1);
    if (keep_room(keep) == 0) {
        close(fd);
        return -1;
    }
    if (keep->free_keys->len > 0) {
        int64_t key = g_array_index(keep->free_keys, int64_t, keep->free_keys->len - 1);

        g_array_set_size(keep->free_keys, keep->free_keys->len - 1);
        g_array_index(keep->fds, int, key) = fd;
        return key;
    }
    g_array_append_val(keep->fds, fd);
    return keep->fds->len - 1;
}

KeepListeners *keep_get_listeners(Keep *keep)
{
    return keep->listeners;
}

/* ---- bytes ---- */

/* A memfd of ours, made when it is needed; -1 and errno. */
static int get_memfd(Keep *keep, int which)
{
    int *fd = &g_array_index(keep->fds, int, which);

    if (*fd < 0) {
        *fd = memfd_create("evloopd-kept", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    }
    return *fd;
}

static bool write_all(int fd, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t n = write(fd, bytes, length);

        if (n < 0 && errno != EINTR) {
            return false;
        }
        if (n > 0) {
            bytes += n;
            length -= (size_t)n;
        }
    }
    return true;
}

/* Move @length bytes from @pipe; false and errno, ENODATA when there are fewer. */
static bool move_all(int fd, int pipe, size_t length)
{
    while (length > 0) {
        ssize_t n = splice(pipe, NULL, fd, NULL, length, SPLICE_F_NONBLOCK);

        if (n == 0 || (n < 0 && errno == EAGAIN)) {
            errno = ENODATA;
            return false;
        }
        if (n < 0 && errno != EINTR) {
            return false;
        }
        length -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

/* The offset of what has been appended, or with !@ok that is undone. */
static int64_t appended(Keep *keep, int fd, size_t length, bool ok)
{
    int error = errno;
    size_t offset = keep->bytes_len;

    if (ok) {
        keep->bytes_len += length;
        return (int64_t)offset;
    }
    if (ftruncate(fd, (off_t)offset) == 0) {
        lseek(fd, (off_t)offset, SEEK_SET);
    }
    errno = error;
    return -1;
}

int64_t keep_bytes(Keep *keep, const void *bytes, size_t length)
{
    int fd = get_memfd(keep, KEEP_BYTES);

    return fd < 0 ? -1 : appended(keep, fd, length, write_all(fd, bytes, length));
}

int64_t keep_pipe(Keep *keep, int pipe, size_t length)
{
    int fd = get_memfd(keep, KEEP_BYTES);

    return fd < 0 ? -1 : appended(keep, fd, length, move_all(fd, pipe, length));
}

/* ---- objects ---- */

static AskedBy who_asked(const Object *object)
{
    if (object->configured) {
        return ASKED_BY_CONFIGURATION;
    }
    return object->from_start ? ASKED_BY_START : ASKED_BY_CLIENT;
}

static void add_object(Keep *keep, const ObjectType *type, const char *id, AskedBy asked_by,
                       json_object *properties)
{
    json_object *entry = json_object_new_object();

    json_object_object_add(entry, "qom-type", json_object_new_string(type->name));
    json_object_object_add(entry, "id", json_object_new_string(id));
    json_object_object_add(entry, "asked-by", json_object_new_string(asked_by_names[asked_by]));
    json_object_object_add(entry, "properties", properties);
    json_object_array_add(keep->objects, entry);
    g_hash_table_insert(keep->by_id, g_strdup(id), entry);
}

void keep_add_object(Keep *keep, const Object *object)
{
    add_object(keep, object->type, object->id, who_asked(object),
               object_values(object->type, object->properties));
}

void keep_set_state(Keep *keep, const char *id, json_object *state)
{
    json_object_object_add(g_hash_table_lookup(keep->by_id, id), "state", state);
}

bool keep_has_state(const Keep *keep, const char *id)
{
    return json_object_object_get_ex(g_hash_table_lookup(keep->by_id, id), "state", NULL);
}

size_t keep_count_objects(const Keep *keep)
{
    return json_object_array_length(keep->objects);
}

/* ---- what is left of what was kept ---- */

void keep_rest(Keep *keep, Kept *kept)
{
    GArray *fds = kept_steal_fds(kept);

    for (guint key = KEEP_FIRST_KEY; key < fds->len; key++) {
        int64_t free_key = key;

        if (g_array_index(fds, int, key) == KEEP_TAKEN) {
            g_array_append_val(keep->free_keys, free_key);
        }
        g_array_append_val(keep->fds, g_array_index(fds, int, key));
        g_array_index(fds, int, key) = -1;
    }
    fds_free(fds);
    keep_listeners_free(keep->listeners);
    keep->listeners = kept_steal_listeners(kept);
}

/* Where the bytes are now that @state tells of; what is lost is nowhere. */
static int64_t copy_bytes(Keep *keep, Kept *kept, json_object *state, size_t length)
{
    const void *bytes = kept_bytes(kept, MAX(kept_get_int(state, "at"), 0), length);
    int64_t at = bytes ? keep_bytes(keep, bytes, length) : -1;

    return at < 0 ? INT64_MAX : at;
}

/* Copy all bytes that @value tells of, see keep_bytes(). Not all that there are: if each start that
 * fails added to them, they would grow and grow. */
static void move_bytes(Keep *keep, Kept *kept, json_object *value)
{
    int64_t held = kept_get_int(value, "held");

    if (held > 0) {
        json_object_object_add(value, "at",
                               json_object_new_int64(copy_bytes(keep, kept, value, (size_t)held)));
    }
    if (json_object_is_type(value, json_type_array)) {
        for (size_t i = 0; i < json_object_array_length(value); i++) {
            move_bytes(keep, kept, json_object_array_get_idx(value, i));
        }
    } else if (json_object_is_type(value, json_type_object)) {
        json_object_object_foreach (value, name, member) {
            (void)name;
            move_bytes(keep, kept, member);
        }
    }
}

void keep_rest_objects(Keep *keep, Kept *kept)
{
    const GPtrArray *objects = kept_get_objects(kept);

    for (guint i = 0; i < objects->len; i++) {
        const KeptObject *object = g_ptr_array_index(objects, i);

        if (!object->used && !g_hash_table_contains(keep->by_id, object->id)) {
            add_object(keep, object->type, object->id, object->asked_by,
                       json_object_get(object->properties));
            if (object->state) {
                move_bytes(keep, kept, object->state);
                keep_set_state(keep, object->id, json_object_get(object->state));
            }
        }
    }
}

/* ---- packing ---- */

/* Each place in a parcel is a descriptor; for one that is missing that of the bytes stands, which
 * nobody asks for there. */
static void fill_places(const Keep *keep, GArray *fds)
{
    g_array_append_vals(fds, keep->fds->data, keep->fds->len);
    for (guint key = KEEP_FIRST_KEY; key < fds->len; key++) {
        if (g_array_index(fds, int, key) < 0) {
            g_array_index(fds, int, key) = g_array_index(fds, int, KEEP_BYTES);
        }
    }
}

static bool seal(int fd)
{
    return fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0;
}

static json_object *free_keys_state(const Keep *keep)
{
    json_object *keys = json_object_new_array();

    for (guint i = 0; i < keep->free_keys->len; i++) {
        json_object_array_add(keys,
                              json_object_new_int64(g_array_index(keep->free_keys, int64_t, i)));
    }
    return keys;
}

static bool write_state(Keep *keep)
{
    g_auto(QmpText) text = { 0 };
    int fd = get_memfd(keep, KEEP_STATE);

    keep_set(keep, "listeners", keep_listeners_state(keep->listeners));
    keep_set(keep, "free-keys", free_keys_state(keep));
    json_object_object_add(keep->state, "descriptors", json_object_new_int64(keep->fds->len));
    qmp_json_print(&text, keep->state);
    if (text.cut) {
        errno = ENOMEM;
    }
    return fd >= 0 && !text.cut && write_all(fd, text.bytes, text.len) && seal(fd);
}

GArray *keep_pack(Keep *keep, GError **errp)
{
    g_autoptr(GArray) fds = g_array_new(FALSE, FALSE, sizeof(int));
    GArray *parcels;
    size_t packed;
    g_autoptr(GError) error = NULL;

    if (get_memfd(keep, KEEP_BYTES) < 0 || !seal(g_array_index(keep->fds, int, KEEP_BYTES)) ||
        !write_state(keep)) {
        qmp_error_set(errp, "%s", g_strerror(errno));
        return NULL;
    }
    fill_places(keep, fds);
    parcels = g_array_new(FALSE, FALSE, sizeof(int));
    packed = parcels_pack((const int *)fds->data, fds->len, parcels, &error);
    if (packed == 0) {
        g_propagate_error(errp, g_steal_pointer(&error));
        g_clear_pointer(&parcels, fds_free);
    } else if (packed < keep->fds->len) {
        qmp_log(QMP_LOG_RESTART_DESCRIPTORS_LOST,
                &(QmpLogFields){ .count = keep->fds->len - packed, .reason = error->message },
                "restart: %zu of %u descriptors are lost: %s", keep->fds->len - packed,
                keep->fds->len, error->message);
    }
    return parcels;
}

void keep_hand_over(Keep *keep)
{
    keep_listeners_leave(keep->listeners);
}
