/*
 * The daemon's own commands and events, each table in a file of its own, and all that it offers.
 */
#ifndef DAEMON_COMMANDS_H
#define DAEMON_COMMANDS_H

#include "daemon/configurator.h"
#include "daemon/trace.h"
#include "objects/object-types.h"
#include "qmp/qmp-command.h"
#include "qmp/qmp-server.h"

/* quit; its opaque is a DaemonControl. */
extern const QmpCommand daemon_commands[];

/* SHUTDOWN */
extern const QmpEvent daemon_events[];

/* config-apply, reload; their opaque is a Configurator. */
extern const QmpCommand configuration_commands[];

/* query-loops, query-sources; their opaque is the threshold of the stall watch in ns, a
 * const int64_t, or NULL when there is none. */
extern const QmpCommand loop_commands[];

/* LOOP_STALLED and LOOP_RESUMED; their data is a StallEvent. */
typedef enum {
    STALL_EVENT_STALLED,
    STALL_EVENT_RESUMED,
} StallEventKind;
extern const QmpEvent stall_events[];

/* trace-start, trace-stop, trace-save, query-trace; their opaque is the Trace. */
extern const QmpCommand trace_commands[];

/* x-debug-*, and their event; their opaque is the QmpServer. */
extern const QmpCommand debug_commands[];
extern const QmpEvent debug_events[];

/* Why the daemon ends; in the order of the enum ShutdownCause. */
typedef enum {
    SHUTDOWN_CAUSE_NONE, /* it does not */
    SHUTDOWN_CAUSE_HOST_QMP_QUIT,
    SHUTDOWN_CAUSE_HOST_SIGNAL,
} ShutdownCause;

/* Main thread's. */
typedef struct DaemonControl {
    ShutdownCause shutdown; /* the first one asked for */
} DaemonControl;

/* Ask the main loop to end. Main thread. */
void daemon_request_shutdown(DaemonControl *control, ShutdownCause cause);

/* What the commands are about; each outlives the registry's use. */
typedef struct DaemonOffer {
    QmpServer *server;
    ObjectTree *objects;
    DaemonControl *control;
    Configurator *configurator;
    const int64_t *stall_threshold_ns; /* NULL: no watch */
    Trace *trace;
    bool debug_commands; /* those for tests too */
} DaemonOffer;

/* Add all commands and events of the daemon to @registry. */
void daemon_register(QmpRegistry *registry, const DaemonOffer *offer);

/* The data of the event SHUTDOWN. */
typedef struct ShutdownEvent {
    bool guest;
    int reason; /* a ShutdownCause */
} ShutdownEvent;

#endif
