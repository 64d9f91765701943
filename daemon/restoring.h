/*
 * Going on where the daemon before has ended.
 */
#ifndef DAEMON_RESTORING_H
#define DAEMON_RESTORING_H

#include <stdbool.h>

#include "objects/object.h"
#include "qmp/qmp-command.h"

/*
 * Take what the daemon before has left with the service manager out of what that has passed. From
 * now on the clocks go on, and objects that are created in @objects, which is empty, with what
 * there is of them. NULL: there is nothing, or it can't be used, which is a warning. Main thread.
 */
Kept *restoring_begin(PassedFds *passed, ObjectTree *objects);

/*
 * Create the objects that have not been created since, but not those that a configuration or an
 * option asked for and does not any more: with @has_configuration there is one that would. Free
 * @kept, and what is left of it. What can't be restored is a warning. Main thread.
 */
void restoring_end(Kept *kept, ObjectTree *objects, const QmpRegistry *registry,
                   bool has_configuration);

#endif
