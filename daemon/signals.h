/*
 * SIGTERM and SIGINT as events of the main loop.
 */
#ifndef DAEMON_SIGNALS_H
#define DAEMON_SIGNALS_H

#include <stdbool.h>
#include <glib.h>

/* Block the signals for this thread and those that it will start, and call @func in the main loop
 * when one comes. Main thread, once, after the main loop has been initialised. */
bool signals_init(void (*func)(void *opaque), void *opaque, GError **errp);

void signals_cleanup(void);

#endif
