/*
 * What runs before the daemon is ready: --object, --config and --config-dir.
 */
#ifndef DAEMON_STARTUP_H
#define DAEMON_STARTUP_H

#include <stdbool.h>
#include <glib.h>

#include "daemon/configurator.h"
#include "daemon/options.h"
#include "qmp/qmp-command.h"

/*
 * Run all of @options->startup, in order, each command when the one before is answered; the main
 * loop runs meanwhile. False and @errp at the first that fails, which names the option, or the
 * file and line. Main thread.
 */
bool startup_run(const Options *options, const QmpRegistry *registry, Configurator *configurator,
                 GError **errp);

/* Run object-add with @arguments, which are taken over, and wait for its answer. False and @errp.
 * Main thread. */
bool startup_add_object(const QmpRegistry *registry, json_object *arguments, GError **errp);

#endif
