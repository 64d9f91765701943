/*
 * evloopctl complete: what shells ask, see ctl/complete.h. It is not in any help.
 */
#include "ctl/command.h"
#include "ctl/print.h"

static bool complete_run(const CtlCommand *command, Ctl *ctl, char **words, GError **errp)
{
    g_autoptr(GString) found = NULL;
    g_auto(GStrv) typed = NULL;
    g_autofree char *word = NULL;
    guint count;

    if (words[0] && g_str_equal(words[0], "--")) {
        words++;
    }
    typed = g_strdupv(words);
    count = g_strv_length(typed);
    if (count > 0) {
        word = g_steal_pointer(&typed[count - 1]);
    }
    found = completion_find(ctl->program, ctl, typed, word ? word : "");
    return print_text(found->str, errp);
}

const CtlCommand ctl_complete = {
    .name = "complete",
    .summary = "Print what could come next on a command line, for shells",
    .hidden = true,
    .run = complete_run,
};
