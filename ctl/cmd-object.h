/*
 * The members of 'evloopctl object' that only look, and what others need of them.
 */
#ifndef CTL_CMD_OBJECT_H
#define CTL_CMD_OBJECT_H

#include "ctl/command.h"

extern const CtlCommand ctl_object_list;
extern const CtlCommand ctl_object_show;
extern const CtlCommand ctl_object_types;

/* All objects, an array of objects with "id", "type" and "loop", the ids of the loops that it works
 * on, or null. NULL and @errp on failure. The caller owns it. */
json_object *ctl_object_rows(Client *client, GError **errp);

#endif
