/*
 * Keeping listening sockets.
 */
#include "config.h"
#include "objects/keep-listener.h"

#include <string.h>
#include <unistd.h>

#include "objects/keep-private.h"

typedef struct Listener {
    char *name;
    int64_t key;
    UnixSocket *file; /* or NULL */
} Listener;

struct KeepListeners {
    GArray *array; /* of Listener */
};

static Listener *get(const KeepListeners *listeners, guint i)
{
    return &g_array_index(listeners->array, Listener, i);
}

static void clear(gpointer listener)
{
    Listener *self = listener;

    g_clear_pointer(&self->file, unix_socket_remove);
    g_free(self->name);
}

KeepListeners *keep_listeners_new(void)
{
    KeepListeners *listeners = g_new0(KeepListeners, 1);

    listeners->array = g_array_new(FALSE, FALSE, sizeof(Listener));
    g_array_set_clear_func(listeners->array, clear);
    return listeners;
}

void keep_listeners_free(KeepListeners *listeners)
{
    g_array_unref(listeners->array);
    g_free(listeners);
}

void keep_listeners_leave(KeepListeners *listeners)
{
    for (guint i = 0; i < listeners->array->len; i++) {
        g_clear_pointer(&get(listeners, i)->file, unix_socket_leave);
    }
}

/* ---- the state ---- */

static json_object *to_state(const Listener *listener)
{
    json_object *state = json_object_new_object();

    json_object_object_add(state, "name", json_object_new_string(listener->name));
    json_object_object_add(state, "fd", json_object_new_int64(listener->key));
    if (listener->file) {
        const UnixSocketFile *file = unix_socket_get_file(listener->file);

        json_object_object_add(state, "path", json_object_new_string(file->path));
        json_object_object_add(state, "device", json_object_new_int64((int64_t)file->device));
        json_object_object_add(state, "inode", json_object_new_int64((int64_t)file->inode));
    }
    return state;
}

json_object *keep_listeners_state(const KeepListeners *listeners)
{
    json_object *array = json_object_new_array();

    for (guint i = 0; i < listeners->array->len; i++) {
        json_object_array_add(array, to_state(get(listeners, i)));
    }
    return array;
}

static UnixSocket *file_from_state(json_object *state)
{
    int64_t device = kept_get_int(state, "device");
    int64_t inode = kept_get_int(state, "inode");
    UnixSocketFile file = {
        .path = (char *)kept_get_str(state, "path"),
        .device = (dev_t)device,
        .inode = (ino_t)inode,
    };

    return file.path && device >= 0 && inode > 0 ? unix_socket_take_up(&file) : NULL;
}

void keep_listeners_read(KeepListeners *listeners, json_object *array)
{
    size_t n = array ? json_object_array_length(array) : 0;

    for (size_t i = 0; i < n; i++) {
        json_object *state = json_object_array_get_idx(array, i);
        const char *name = kept_get_str(state, "name");
        Listener listener = { .key = kept_get_int(state, "fd") };

        if (name && listener.key >= 0) {
            listener.name = g_strdup(name);
            listener.file = file_from_state(state);
            g_array_append_val(listeners->array, listener);
        }
    }
}

/* ---- for object types ---- */

bool keep_listener(Keep *keep, const char *name, int fd, UnixSocket *file)
{
    Listener listener = { .file = file };

    if (keep_room(keep) == 0) {
        /* The file first, see unix_socket_remove(). */
        g_clear_pointer(&file, unix_socket_remove);
        close(fd);
        return false;
    }
    listener.name = g_strdup(name);
    listener.key = keep_fd(keep, fd);
    g_array_append_val(keep_get_listeners(keep)->array, listener);
    return true;
}

void kept_give_listener_back(Kept *kept, const char *name, int fd, UnixSocket *file)
{
    Listener listener = { .name = g_strdup(name), .key = kept_add_fd(kept, fd), .file = file };

    g_array_append_val(kept_get_listeners(kept)->array, listener);
}

int kept_take_listener(Kept *kept, const char *name, UnixSocket **file)
{
    KeepListeners *listeners = kept_get_listeners(kept);

    for (guint i = 0; i < listeners->array->len; i++) {
        Listener *listener = get(listeners, i);

        if (strcmp(listener->name, name) == 0) {
            int fd = kept_take_fd(kept, listener->key);

            if (fd >= 0) {
                *file = g_steal_pointer(&listener->file);
            }
            g_array_remove_index(listeners->array, i);
            return fd;
        }
    }
    return -1;
}

/* The port of @name, or the last part of its path. */
static const char *last_part(const char *name)
{
    return MAX(strrchr(name, ':'), strrchr(name, '/'));
}

/* Whether the socket @name may be what keeps another one from @address. No doubt counts. */
static bool is_in_the_way(const char *name, const char *address)
{
    const char *kind_end = strchr(address, ':');
    const char *part;

    if (!kind_end || strncmp(name, address, (size_t)(kind_end - address) + 1) != 0) {
        return !kind_end;
    }
    part = last_part(name);
    if (strcmp(part, last_part(address)) == 0) {
        return true;
    }
    /* Names of services are ports too, and 0 was any. */
    return *part == ':' &&
           (part[1] == '0' || !g_ascii_isdigit(part[1]) || !g_ascii_isdigit(last_part(address)[1]));
}

bool kept_drop_listeners(Kept *kept, const char *address)
{
    KeepListeners *listeners = kept_get_listeners(kept);
    bool any = false;

    for (guint i = listeners->array->len; i-- > 0;) {
        int64_t key = get(listeners, i)->key;

        if (is_in_the_way(get(listeners, i)->name, address)) {
            any = true;
            g_array_remove_index(listeners->array, i);
            kept_close_fd(kept, key);
        }
    }
    return any;
}
