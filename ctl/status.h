/*
 * The state of the daemon, as 'evloopctl status' shows it: what it asks, and what it makes of it.
 */
#ifndef CTL_STATUS_H
#define CTL_STATUS_H

#include <stdbool.h>
#include <glib.h>

#include "ctl/command.h"
#include "ctl/json.h"

G_BEGIN_DECLS

/*
 * Ask for it. The answer, which the caller owns, has the members "version", "loops", "iothreads",
 * "objects" and "clients" with what the commands return, null where it can't be known, and
 * "problems", an array of sentences. What needs the main loop is left out when that is stuck. NULL
 * and @errp when the daemon can't be asked at all.
 */
json_object *status_ask(Ctl *ctl, GError **errp);

/* Print it for people, in colours or not. */
bool status_print(json_object *status, bool colour, GError **errp);

G_END_DECLS

#endif
