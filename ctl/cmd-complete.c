/*
 * evloopctl complete: what shells ask, see ctl/complete.h. It is not in any help.
 */
#include "ctl/command.h"
#include "ctl/print.h"

static bool complete_run(const CtlCommand *command, Ctl *ctl, char **words, GError **errp)
{
    g_autoptr(GString) found = g_string_new(NULL);
    Completion completion = { .word = "", .prefix = "", .found = found };
    g_auto(GStrv) typed = NULL;
    guint count;

    if (words[0] && g_str_equal(words[0], "--")) {
        words++;
    }
    typed = g_strdupv(words);
    count = g_strv_length(typed);
    if (count > 0) {
        completion.word = words[count - 1];
        g_clear_pointer(&typed[count - 1], g_free);
    }
    ctl->completion = &completion;
    g_set_prgname("evloopctl");
    /* It ends in an error in any case: that nothing was run, or what is wrong with the words. */
    ctl_run(&ctl_program, ctl, typed, NULL);
    ctl->completion = NULL;
    return print_text(found->str, errp);
}

const CtlCommand ctl_complete = {
    .name = "complete",
    .summary = "Print what could come next on a command line, for shells",
    .hidden = true,
    .run = complete_run,
};
