/*
 * Asking terminfo before newterm() is called, which leaves memory behind when it fails.
 */
#include <curses.h>
#include <term.h>

#include "ctl/terminal.h"

bool terminal_is_known(int fd)
{
    int status;

    return setupterm(NULL, fd, &status) == OK && del_curterm(cur_term) == OK;
}
