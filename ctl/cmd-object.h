/*
 * The members of 'evloopctl object' that only look.
 */
#ifndef CTL_CMD_OBJECT_H
#define CTL_CMD_OBJECT_H

#include "ctl/command.h"

extern const CtlCommand ctl_object_list;
extern const CtlCommand ctl_object_show;
extern const CtlCommand ctl_object_types;

#endif
