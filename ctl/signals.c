/*
 * Signals are of the whole process: so what has come is kept here, for whoever waits.
 */
#include "config.h"
#include "ctl/signals.h"

#include <poll.h>

static volatile sig_atomic_t came[NSIG];

/* What ends a program. */
static const int ends[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };

static bool interrupt_held;
static sigset_t interrupt_mask;

static void note(int number)
{
    came[number] = 1;
}

static bool take(int number)
{
    bool has_come = came[number];

    came[number] = 0;
    return has_come;
}

/* Have note() called for the signal @number, unless that is ignored. */
static void handle(int number, struct sigaction *before)
{
    struct sigaction action = { .sa_handler = note };

    sigemptyset(&action.sa_mask);
    sigaction(number, NULL, before);
    if (before->sa_handler != SIG_IGN) {
        sigaction(number, &action, NULL);
    }
}

/* ---- Ctrl-C ---- */

void signals_hold_interrupt(void)
{
    struct sigaction before;
    sigset_t held;

    sigemptyset(&held);
    sigaddset(&held, SIGINT);
    sigprocmask(SIG_BLOCK, &held, &interrupt_mask);
    sigdelset(&interrupt_mask, SIGINT);
    handle(SIGINT, &before);
    interrupt_held = true;
}

const sigset_t *signals_interrupt_mask(void)
{
    return interrupt_held ? &interrupt_mask : NULL;
}

bool signals_interrupted(void)
{
    const struct timespec no_time = { 0 };

    if (interrupt_held) {
        ppoll(NULL, 0, &no_time, &interrupt_mask); /* lets in one that is pending */
    }
    return take(SIGINT);
}

void signals_interrupt_again(void)
{
    raise(SIGINT);
}

/* ---- all of them ---- */

void signals_hold(Signals *signals)
{
    sigset_t held;

    sigemptyset(&held);
    sigaddset(&held, SIGWINCH);
    sigaddset(&held, SIGTSTP);
    for (size_t i = 0; i < G_N_ELEMENTS(ends); i++) {
        sigaddset(&held, ends[i]);
    }
    sigprocmask(SIG_BLOCK, &held, &signals->mask);
    signals->wait = interrupt_held ? interrupt_mask : signals->mask;
    /* A wait for Ctrl-C alone would let the others in too, and they would be noted and lost. */
    signals->interrupt = interrupt_mask;
    interrupt_mask = held;
    sigdelset(&interrupt_mask, SIGINT);
    for (size_t i = 0; i < G_N_ELEMENTS(ends); i++) {
        came[ends[i]] = 0;
        handle(ends[i], &signals->before[ends[i]]);
    }
    came[SIGTSTP] = 0;
    handle(SIGTSTP, &signals->before[SIGTSTP]);
}

void signals_release(const Signals *signals)
{
    interrupt_mask = signals->interrupt;
    sigprocmask(SIG_SETMASK, &signals->mask, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(ends); i++) {
        sigaction(ends[i], &signals->before[ends[i]], NULL);
    }
    sigaction(SIGTSTP, &signals->before[SIGTSTP], NULL);
}

int signals_take_end(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(ends); i++) {
        if (take(ends[i])) {
            return ends[i];
        }
    }
    return 0;
}

bool signals_take_stop(void)
{
    return take(SIGTSTP);
}

void signals_stop(void)
{
    const struct sigaction usual = { .sa_handler = SIG_DFL };
    struct sigaction own;
    sigset_t just_that, mask;

    sigaction(SIGTSTP, &usual, &own);
    raise(SIGTSTP);
    sigemptyset(&just_that);
    sigaddset(&just_that, SIGTSTP);
    sigprocmask(SIG_UNBLOCK, &just_that, &mask); /* here it stops */
    sigprocmask(SIG_SETMASK, &mask, NULL);
    sigaction(SIGTSTP, &own, NULL);
    came[SIGTSTP] = 0;
}
