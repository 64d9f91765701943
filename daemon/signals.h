/*
 * SIGTERM, SIGINT and SIGHUP as events of the main loop.
 */
#ifndef DAEMON_SIGNALS_H
#define DAEMON_SIGNALS_H

#include <stdbool.h>
#include <glib.h>

/* Block the signals for this thread and those that it will start, and in the main loop call @reload
 * when a SIGHUP comes, @end when one of the others does. Main thread, once, after the main loop has
 * been initialised. */
bool signals_init(void (*end)(void *opaque), void (*reload)(void *opaque), void *opaque,
                  GError **errp);

void signals_cleanup(void);

#endif
