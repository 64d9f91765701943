/*
 * The commands for clocks: query-clocks, and those that stop, resume and advance the virtual one.
 */
#ifndef OBJECTS_CLOCK_COMMANDS_H
#define OBJECTS_CLOCK_COMMANDS_H

#include "qmp/qmp-command.h"

/* The enum of clocks, in the order of QEMUClockType. */
extern const QmpType clock_enum;

/* They need no opaque. */
extern const QmpCommand clock_commands[];

#endif
