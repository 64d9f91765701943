/*
 * The configurator: applies configurations, one at a time.
 *
 * They come from the configuration directory, at the start and when it is asked to reload, and from
 * clients. What was done is in the log: a message for each step, and one for all. Main thread.
 */
#ifndef DAEMON_CONFIGURATOR_H
#define DAEMON_CONFIGURATOR_H

#include <stdbool.h>
#include <glib.h>
#include <json-c/json.h>

#include "daemon/config-files.h"

typedef struct Configurator Configurator;

/*
 * The end of what was asked for: @error, and nothing is other than before, or @difference, a result
 * of difference_type, and that has been done. Neither is taken.
 */
typedef void ConfiguratorFunc(json_object *difference, const GError *error, void *opaque);

/* One for the objects of @tree. @format is copied; @directory is NULL for none, and outlives it. */
Configurator *configurator_new(ObjectTree *tree, const ConfigFormat *format, const char *directory);

/* Free it; it is not busy. */
void configurator_free(Configurator *self);

/* How it reads commands. */
const ConfigFormat *configurator_get_format(const Configurator *self);

/* Apply what the directory has when it is its turn. @begun (may be NULL) is called when it is, then
 * @done, both with @opaque. */
void configurator_reload(Configurator *self, void (*begun)(void *opaque), ConfiguratorFunc *done,
                         void *opaque);

/* Apply @configuration, which is taken over, or when it is @dry_run find the difference only. @done
 * is called with @opaque. */
void configurator_apply(Configurator *self, Configuration *configuration, bool dry_run,
                        ConfiguratorFunc *done, void *opaque);

/* Begin no further one: what waits fails. What is under way goes on. */
void configurator_stop(Configurator *self);

bool configurator_is_busy(const Configurator *self);

#endif
