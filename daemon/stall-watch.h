/*
 * The watch for loops that are stalled: the events LOOP_STALLED and LOOP_RESUMED.
 *
 * A loop is stalled when something has held it for longer than the threshold: a callback, a GLib
 * source, or the loop itself. The watch looks from the monitor thread, and only while a loop is
 * awake; when all sleep it sleeps too, until the first that wakes up tells it.
 */
#ifndef DAEMON_STALL_WATCH_H
#define DAEMON_STALL_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "qmp/qmp-server.h"

typedef struct StallWatch StallWatch;

/* The data of LOOP_STALLED, and with how long it took that of LOOP_RESUMED. */
typedef struct StallEvent {
    char *loop;
    char *source;           /* NULL: none */
    int64_t since_ns;       /* of QEMU_CLOCK_REALTIME */
    json_object *backtrace; /* of LOOP_STALLED: strings; NULL: none */
    int64_t duration_ns;    /* of LOOP_RESUMED */
} StallEvent;

/* Begin to watch, with the threshold in ns, from the thread of @monitor; @server outlives the
 * watch. Main thread. */
StallWatch *stall_watch_new(AioContext *monitor, QmpServer *server, int64_t threshold_ns);

/* Watch no more. Loops that are stalled still are said to go on. Main thread. */
void stall_watch_stop(StallWatch *watch);

/* Free a watch that was stopped, when no other thread runs a loop any more; NULL is ignored. Main
 * thread. */
void stall_watch_free(StallWatch *watch);

#endif
