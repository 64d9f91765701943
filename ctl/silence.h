/*
 * What is said when the daemon does not answer: why, as far as it can be found out.
 *
 * Commands run on the daemon's main loop, one after another, and something there may hold it. A
 * second connection, out of band, is served while it does, and knows what holds it.
 */
#ifndef CTL_SILENCE_H
#define CTL_SILENCE_H

#include <glib.h>

#include "ctl/client.h"

G_BEGIN_DECLS

/* After so long without an answer, the user is told why. */
#define SILENCE_US (5 * G_USEC_PER_SEC)

/* A ClientLateFunc: says it on stderr, or adds it to the error. It takes up to two seconds to find
 * out. */
void silence_report(const char *path, const char *command, GError *error);

G_END_DECLS

#endif
