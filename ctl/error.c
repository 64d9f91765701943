/*
 * The error domain of evloopctl. GLib's own errors (of option parsing) count as usage errors.
 */
#include "ctl/error.h"

G_DEFINE_QUARK(ctl_error, ctl_error)

void ctl_error_append(GError *error, const char *text)
{
    g_autofree char *message = error->message;

    error->message = g_strconcat(message, text, NULL);
}

int ctl_error_exit_status(const GError *error)
{
    if (!error || g_error_matches(error, CTL_ERROR, CTL_ERROR_DONE)) {
        return 0;
    }
    if (g_error_matches(error, CTL_ERROR, CTL_ERROR_NO_EVENT)) {
        return 3;
    }
    return g_error_matches(error, CTL_ERROR, CTL_ERROR_COMMAND) ? 1 : 2;
}
