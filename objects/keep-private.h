/*
 * What objects/keep.c writes and objects/kept.c reads.
 */
#ifndef OBJECTS_KEEP_PRIVATE_H
#define OBJECTS_KEEP_PRIVATE_H

/* Of the state. A daemon reads what has this one, and would read older ones too. */
#define KEEP_VERSION 1

/* The keys of our own memfds, and the first of the others. */
enum {
    KEEP_STATE,
    KEEP_BYTES,
    KEEP_FIRST_KEY
};

/* By AskedBy, ended by NULL. */
extern const char *const asked_by_names[];

#endif
