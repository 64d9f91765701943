/*
 * The listening sockets among what is kept.
 *
 * They are found by name and not by object, since an address may have gone from one object to
 * another in the configuration; and a unix socket has a file, which somebody has to remove when
 * nobody goes on with it. The state of each is { "name", "fd": the key of its descriptor, "path",
 * "device", "inode" }, the last three if it has a file.
 */
#ifndef OBJECTS_KEEP_LISTENER_H
#define OBJECTS_KEEP_LISTENER_H

#include "objects/keep.h"

typedef struct KeepListeners KeepListeners;

KeepListeners *keep_listeners_new(void);

/* Removes the files that are still its own. Their sockets are to be open still. */
void keep_listeners_free(KeepListeners *listeners);

/* The state of all. */
json_object *keep_listeners_state(const KeepListeners *listeners);

/* Add those in @array, an array of states from outside, or NULL. */
void keep_listeners_read(KeepListeners *listeners, json_object *array);

/* The next process has them: the files are its. */
void keep_listeners_leave(KeepListeners *listeners);

/* Of objects/keep.c and objects/kept.c. */
KeepListeners *keep_get_listeners(Keep *keep);
KeepListeners *kept_get_listeners(Kept *kept);

#endif
