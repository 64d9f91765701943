/*
 * Keeping: what a daemon that ends leaves to the one that is started after it, so that the same
 * objects go on, on the same descriptors.
 *
 * The one that ends collects descriptors and bytes in a Keep, while its objects end by type->keep
 * instead of type->delete, and each writes into a JSON state of its own where they are. What the
 * Keep has collected goes to a place that outlives the process (the service manager's), in no order
 * that could be relied on. The next daemon gets a Kept from there, and each object that it creates
 * finds its state in object->kept_state and takes from object->kept what belongs to it.
 *
 * All of it is the main thread's.
 */
#ifndef OBJECTS_KEEP_H
#define OBJECTS_KEEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <glib.h>
#include <json-c/json.h>

#include "sockets/unix-socket.h"

typedef struct Keep Keep;
typedef struct Kept Kept;

/* ---- for object types: at the end ---- */

/* Have @fd survive; it is taken over. Its key, to be written into the state. -1: there are as many
 * as may be, and it has been closed. */
int64_t keep_fd(Keep *keep, int fd);

/* How many descriptors may follow. */
size_t keep_room(const Keep *keep);

/* Have @length bytes survive, those at @bytes or those that wait in @pipe, whose read end it is.
 * Their offset, to be written into the state as "at", beside @length as "held", by which others
 * find them; -1 and errno, with nothing kept, and then what has been read from the pipe is lost. */
int64_t keep_bytes(Keep *keep, const void *bytes, size_t length);
int64_t keep_pipe(Keep *keep, int pipe, size_t length);

/* Have the listening socket @fd survive, and its @file, which may be NULL; both are taken over. It
 * is found by @name, whichever object asks for it. False when there are as many as may be, and it
 * has been closed. */
bool keep_listener(Keep *keep, const char *name, int fd, UnixSocket *file);

/* ---- for object types: at the start, in type->create ---- */

/* The descriptor with @key, close-on-exec, for the caller, who closes it. -1: there is none, or it
 * has been taken. */
int kept_take_fd(Kept *kept, int64_t key);

/* Nothing comes of the object: give back @fd, which has been taken with @key. */
void kept_give_fd_back(Kept *kept, int64_t key, int fd);

/* The @length bytes at @offset, valid while @kept is; NULL when they are not all there. */
const void *kept_bytes(Kept *kept, int64_t offset, size_t length);

/* The listening socket that has been kept as @name, for the caller, and its file in *@file, if it
 * has one that is still there, else NULL; -1 when there is none. */
int kept_take_listener(Kept *kept, const char *name, UnixSocket **file);

/* Nothing comes of the object: give back what has been taken, with its @file or NULL. */
void kept_give_listener_back(Kept *kept, const char *name, int fd, UnixSocket *file);

/* Close those that nobody has taken so far and that may be in the way of one at @address. Returns
 * whether there were any. */
bool kept_drop_listeners(Kept *kept, const char *address);

/*
 * Look into a state, which comes from outside and may be anything: an integer that is not negative,
 * -1 when @state has no such member; whether it has one that is true; a text, NULL when it has
 * none; an array or object (borrowed), NULL likewise. @state may be NULL, and then has nothing.
 */
int64_t kept_get_int(json_object *state, const char *name);
bool kept_get_bool(json_object *state, const char *name);
const char *kept_get_str(json_object *state, const char *name);
json_object *kept_get_array(json_object *state, const char *name);
json_object *kept_get_object(json_object *state, const char *name);

#endif
