/*
 * Whether the terminal can be used; apart from ctl/top-screen.c, for <term.h> defines everyday
 * words as macros.
 */
#ifndef CTL_TERMINAL_H
#define CTL_TERMINAL_H

#include <stdbool.h>

/* Whether ncurses knows the kind of terminal that $TERM names, for output on @fd. */
bool terminal_is_known(int fd);

#endif
