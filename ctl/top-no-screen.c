/*
 * 'evloopctl top' where it was built without ncurses.
 */
#include "ctl/error.h"
#include "ctl/top.h"

bool top_screen_check(GError **errp)
{
    g_set_error(errp, CTL_ERROR, CTL_ERROR_USAGE,
                "this evloopctl was built without ncurses; 'top --batch' prints");
    return false;
}

bool top_screen(Client *client, const TopOptions *options, GError **errp)
{
    return top_screen_check(errp);
}
