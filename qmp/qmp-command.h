/*
 * Commands and events as tables, and the registry of all that a server offers.
 *
 * A registry is filled while the program starts and does not change once a server uses it; from
 * then on any thread may read it.
 */
#ifndef QMP_QMP_COMMAND_H
#define QMP_QMP_COMMAND_H

#include <stdbool.h>
#include <glib.h>
#include <json-c/json.h>

#include "qmp/qmp-schema.h"

typedef struct QmpRequest QmpRequest;
typedef struct QmpSession QmpSession;
typedef struct QmpRegistry QmpRegistry;

typedef enum {
    QMP_COMMAND_ALLOW_OOB = 1 << 0, /* may run on the monitor thread, while the main loop runs */
    QMP_COMMAND_TAKES_FD = 1 << 1,  /* takes a descriptor that was sent along with it */
    QMP_COMMAND_NEGOTIATES =
        1 << 2,                     /* works before the session is in command mode, and not after */
    QMP_COMMAND_READ_ONLY = 1 << 3, /* changes nothing: also for sessions that may only read */
} QmpCommandFlags;

/*
 * @run executes the command with @args, the bound struct of its arguments, which lives until the
 * request is answered. It calls qmp_return(), qmp_return_empty() or qmp_fail() exactly once, now or
 * later. It runs in the main thread, or, when out-of-band, in the monitor's.
 */
typedef struct QmpCommand {
    const char *name;
    unsigned flags;
    unsigned features;   /* QmpFeatures */
    const QmpType *args; /* an object type */
    const QmpType *ret;  /* any type */
    void (*run)(QmpRequest *request, void *args);
    const char *help;   /* one line */
    const char *errors; /* one line: what it fails with when the arguments are of their types, as in
                         * "GenericError when ..."; NULL: nothing */
} QmpCommand;

/* The limit_ms of events that can flood. */
#define QMP_EVENT_LIMIT_MS 1000

typedef struct QmpEvent {
    const char *name;
    unsigned features;   /* QmpFeatures */
    const QmpType *data; /* an object type */
    const char *help;    /* one line */

    /* Of similar ones at most one is sent in so many ms: the last, late. 0: all are sent. */
    unsigned limit_ms;
    const char *limit_by; /* similar are those with the same value of this member; NULL: all are */
    bool adds_up;         /* whoever emits it keeps to that by itself: it adds up what comes too
                           * early, and tells it late, or when its source goes; all are sent */
} QmpEvent;

QmpRegistry *qmp_registry_new(void);
void qmp_registry_free(QmpRegistry *registry);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(QmpRegistry, qmp_registry_free)

/* Add @commands, a table ended by one without a name. What they are about is @opaque, which
 * qmp_request_get_opaque() gives back. Names must be new. */
void qmp_registry_add_commands(QmpRegistry *registry, const QmpCommand *commands, void *opaque);

/* Add @events, a table ended by one without a name. Names must be new. */
void qmp_registry_add_events(QmpRegistry *registry, const QmpEvent *events);

/* The command called @name, and where it was added with which opaque; NULL when there is none. */
const QmpCommand *qmp_registry_find_command(const QmpRegistry *registry, const char *name,
                                            void **opaque);

/* Call @func for every command, sorted by name. */
void qmp_registry_foreach_command(const QmpRegistry *registry,
                                  void (*func)(const QmpCommand *command, void *data), void *data);

/* Call @func for every event, sorted by name. */
void qmp_registry_foreach_event(const QmpRegistry *registry,
                                void (*func)(const QmpEvent *event, void *data), void *data);

/* The commands of the protocol itself, that for clients, and those for descriptors; they need the
 * QmpServer as their opaque. */
extern const QmpCommand qmp_protocol_commands[];
extern const QmpCommand qmp_client_commands[];
extern const QmpCommand qmp_fd_commands[];

/* The events of the protocol itself. */
extern const QmpEvent qmp_protocol_events[];

#endif
