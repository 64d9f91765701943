/*
 * Clocks that go on in the next process.
 */
#ifndef OBJECTS_CLOCK_KEEP_H
#define OBJECTS_CLOCK_KEEP_H

#include <stdbool.h>
#include <json-c/json.h>

/* What clocks_restore() needs; a reference for the caller. */
json_object *clocks_keep(void);

/* Go on from @state, which may be anything. False: that is no state of theirs, and they are as
 * before. While there are no timers on them. */
bool clocks_restore(json_object *state);

#endif
