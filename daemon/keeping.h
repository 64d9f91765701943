/*
 * The end of all objects: they are deleted, or kept for the next start of the daemon.
 */
#ifndef DAEMON_KEEPING_H
#define DAEMON_KEEPING_H

#include <stdbool.h>
#include <stddef.h>

#include "objects/object.h"

/* What is kept is with the service manager under this name. */
#define KEEPING_NAME "evloopd-state"

/* Delete all of @objects; return when they are gone. Main thread. */
void keeping_delete_all(ObjectTree *objects);

/*
 * End all of @objects, and leave what the next daemon needs to go on with them to the service
 * manager; return when they are gone. When *@hurried becomes true meanwhile, nothing is left to it.
 * An object that can't end, because its loop is held, does not keep the others from it. Main
 * thread; no command runs any more.
 */
void keeping_keep_all(ObjectTree *objects, const bool *hurried);

/* The same for a daemon whose start has failed, along with what nobody has taken out of @kept. */
void keeping_keep_again(ObjectTree *objects, Kept *kept, const bool *hurried);

#endif
