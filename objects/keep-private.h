/*
 * What objects/keep.c writes and objects/kept.c reads.
 */
#ifndef OBJECTS_KEEP_PRIVATE_H
#define OBJECTS_KEEP_PRIVATE_H

#include "objects/keep-listener.h"

/* Of the state. A daemon reads what has this one, and would read older ones too. */
#define KEEP_VERSION 1

/* The keys of our own memfds, and the first of the others. */
enum {
    KEEP_STATE,
    KEEP_BYTES,
    KEEP_FIRST_KEY
};

/* In place of a descriptor: it has been taken. */
#define KEEP_TAKEN (-2)

/* Close the one with @key, if there is one, for nobody wants it. */
void kept_close_fd(Kept *kept, int64_t key);

/* Add @fd, which was taken. Its key. */
int64_t kept_add_fd(Kept *kept, int fd);

/* Take the descriptors out of @kept, by their keys; -1: missing; or KEEP_TAKEN. */
GArray *kept_steal_fds(Kept *kept);
/* Take its listening sockets out, to go along with them. */
KeepListeners *kept_steal_listeners(Kept *kept);

/* By AskedBy, ended by NULL. */
extern const char *const asked_by_names[];

#endif
