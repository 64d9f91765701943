/*
 * evloopctl quit: end the daemon, and wait until it has let go of us.
 */
#include "ctl/command.h"

static bool quit_run(const CtlCommand *command, Ctl *ctl, char **words, GError **errp)
{
    g_auto(GStrv) rest = ctl_parse(command, ctl, NULL, words, 0, 0, errp);
    g_autoptr(Client) client = rest ? ctl_connect(ctl, CLIENT_IN_BAND, errp) : NULL;

    return client && client_call(client, "quit", NULL, NULL, errp) &&
           client_wait_closed(client, errp);
}

const CtlCommand ctl_quit = {
    .name = "quit",
    .summary = "End the daemon",
    .description = "It returns when the daemon has closed the connection.\n",
    .run = quit_run,
};
