/*
 * What can go wrong in evloopctl, and the exit status that each case has.
 */
#ifndef CTL_ERROR_H
#define CTL_ERROR_H

#include <glib.h>

G_BEGIN_DECLS

#define CTL_ERROR (ctl_error_quark())

typedef enum {
    CTL_ERROR_DONE,        /* no error: --help or --version was asked for, and answered */
    CTL_ERROR_COMMAND,     /* the daemon answered a command with an error */
    CTL_ERROR_USAGE,       /* the command line, or what stdin held, is wrong */
    CTL_ERROR_CONNECTION,  /* there is no connection to the daemon */
    CTL_ERROR_CLOSED,      /* the daemon closed the connection, between two messages */
    CTL_ERROR_PROTOCOL,    /* what the daemon sent can't be understood */
    CTL_ERROR_TIMEOUT,     /* --timeout is over */
    CTL_ERROR_OUTPUT,      /* stdout takes no more */
    CTL_ERROR_INTERRUPTED, /* Ctrl-C in the shell: what was waited for is not any more */
    CTL_ERROR_NO_EVENT,    /* --timeout is over, and the event that was waited for has not come */
} CtlError;

/* The message of CTL_ERROR_INTERRUPTED, but for what may stand in front of it. */
#define CTL_INTERRUPTED "interrupted"

GQuark ctl_error_quark(void);

/* Add @text to the end of the message. */
void ctl_error_append(GError *error, const char *text);

/* The exit status: 0 when there is no error, 1 when the daemon refused a command, 3 when
 * an event has not come in time, else 2. */
int ctl_error_exit_status(const GError *error);

G_END_DECLS

#endif
