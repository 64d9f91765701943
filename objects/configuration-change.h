/*
 * Going over to a configuration, all or nothing, while the objects work.
 *
 * What can fail is done first, and what loses something last: objects are added, properties are
 * set, then objects go, and those are added that had to wait for that. When a step fails, those
 * before it are undone in reverse. What an object loses when it is deleted, its connections and
 * statistics, does not come back with it; so an object that goes does so only when all that could
 * be done without has been.
 *
 * Each step is a turn of the main loop of its own. Meanwhile the tree is reserved: commands of
 * clients that change objects wait.
 */
#ifndef OBJECTS_CONFIGURATION_CHANGE_H
#define OBJECTS_CONFIGURATION_CHANGE_H

#include "objects/configuration-difference.h"

/* Do what @difference, which stays as it is meanwhile, says; then call @done from the main loop,
 * with the error that it failed with, or NULL. Each step is a message of the log. Main thread. */
void configuration_change(ObjectTree *tree, const Difference *difference,
                          void (*done)(const GError *error, void *opaque), void *opaque);

#endif
