/*
 * Signals that evloopctl does not leave to their defaults: Ctrl-C in the shell, and all that end or
 * stop the program while it has the terminal for itself.
 *
 * They are blocked, and let in only by ppoll() and its like while the program waits, so that none
 * is missed.
 */
#ifndef CTL_SIGNALS_H
#define CTL_SIGNALS_H

#include <signal.h>
#include <stdbool.h>
#include <glib.h>

G_BEGIN_DECLS

/* ---- Ctrl-C ends what the program waits for, not the program ---- */

/* From now on, until the program ends. */
void signals_hold_interrupt(void);

/* The mask to wait with, which lets Ctrl-C in; NULL when that ends the program as usual. */
const sigset_t *signals_interrupt_mask(void);

/* Whether Ctrl-C was pressed since this was asked last. */
bool signals_interrupted(void);

/* As if Ctrl-C was pressed now: it has ended a wait that was not what the user waits for. */
void signals_interrupt_again(void);

/* ---- while the terminal is in a state that has to be restored ---- */

typedef struct Signals {
    sigset_t wait;      /* the mask to wait with */
    sigset_t mask;      /* what was blocked before */
    sigset_t interrupt; /* signals_interrupt_mask() before */
    struct sigaction before[NSIG];
} Signals;

/* From now on, signals that end, interrupt or stop the program, and SIGWINCH, come only where
 * @signals->wait lets them in. The last keeps its handler. Signals that are ignored stay so. */
void signals_hold(Signals *signals);

/* As before signals_hold(). */
void signals_release(const Signals *signals);

/* Which signal has come that is to end the program, Ctrl-C among them, since this was asked last; 0
 * when none has. */
int signals_take_end(void);

/* Whether the one to stop (Ctrl-Z) has come since this was asked last. */
bool signals_take_stop(void);

/* Stop, until the program is continued. */
void signals_stop(void);

G_END_DECLS

#endif
