/*
 * SIGHUP: a reload that nobody waits for but the service manager.
 */
#ifndef DAEMON_RELOAD_SIGNAL_H
#define DAEMON_RELOAD_SIGNAL_H

#include <stdbool.h>

#include "daemon/configurator.h"

/* The main thread's. All zeros is one that is not serving yet. */
typedef struct ReloadSignal {
    Configurator *configurator; /* NULL: it is not the time, or not any more */
    char *status;               /* what the manager is told of a daemon that is well */
    bool wanted;                /* by a signal, and it is not the configurator's turn yet */
} ReloadSignal;

/* From now on, until reload_signal_stop(), reload by @configurator, and be @status after it. What
 * was asked for before is begun. @status is copied. */
void reload_signal_start(ReloadSignal *self, Configurator *configurator, const char *status);

/* Begin none any more, and tell the manager nothing of those that are under way. */
void reload_signal_stop(ReloadSignal *self);

/* Free what it holds, when the configurator is not busy. */
void reload_signal_cleanup(ReloadSignal *self);

/* A signal has come. Those that come before the files are read have one answer. */
void reload_signal_arrived(ReloadSignal *self);

#endif
