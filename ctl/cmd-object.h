/*
 * The members of 'evloopctl object' that only look, and what 'evloopctl iothread' and others share
 * with it.
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

/* Add an object of @type: the words "ID [NAME=VALUE...]". */
bool ctl_object_add(Ctl *ctl, const char *type, char **words, GError **errp);

/* Set properties of an object of @type, or of any when it is NULL: "ID NAME=VALUE...". */
bool ctl_object_set(Ctl *ctl, const char *type, char **words, GError **errp);

/* Run a command that removes an object: the word "ID". */
bool ctl_object_del_run(const CtlCommand *command, Ctl *ctl, char **words, GError **errp);

#endif
