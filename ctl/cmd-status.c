/*
 * evloopctl status: the daemon on one screen.
 */
#include <unistd.h>

#include "ctl/command.h"
#include "ctl/error.h"
#include "ctl/print.h"
#include "ctl/status.h"

static const char *const colour_words[] = { "auto", "always", "never", NULL };

/* Whether output is to be in colours, as @when says. */
static bool choose_colour(const char *when, bool *colour, GError **errp)
{
    const char *no_color = g_getenv("NO_COLOR");

    if (!g_strv_contains(colour_words, when)) {
        g_set_error(errp, CTL_ERROR, CTL_ERROR_USAGE, "--color is auto, always or never");
        return false;
    }
    *colour = g_str_equal(when, "always") ||
              (g_str_equal(when, "auto") && isatty(STDOUT_FILENO) && !(no_color && *no_color) &&
               g_strcmp0(g_getenv("TERM"), "dumb") != 0);
    return true;
}

static bool status_run(const CtlCommand *command, Ctl *ctl, char **words, GError **errp)
{
    gboolean json = ctl->json;
    g_autofree char *when = NULL;
    const GOptionEntry options[] = {
        { "json", 0, 0, G_OPTION_ARG_NONE, &json, "Print JSON, not tables", NULL },
        { "color", 0, 0, G_OPTION_ARG_STRING, &when, "Use colours: auto, always or never", "WHEN" },
        { NULL },
    };
    g_auto(GStrv) rest = ctl_parse(command, ctl, options, words, 0, 0, errp);
    g_autoptr(json_object) status = NULL;
    bool colour;

    if (!rest || !choose_colour(when ? when : "auto", &colour, errp)) {
        return false;
    }
    status = status_ask(ctl, errp);
    if (!status) {
        return false;
    }
    return json ? print_json(status, errp) : status_print(status, colour, errp);
}

static void status_complete(Ctl *ctl, Completion *completion, char **words)
{
    if (g_strcmp0(completion->option, "color") == 0) {
        for (const char *const *word = colour_words; *word; word++) {
            completion_add(completion, *word, NULL);
        }
    }
}

const CtlCommand ctl_status = {
    .name = "status",
    .summary = "Show the daemon's loops, objects and clients, and what is wrong",
    .description =
        "What is stalled or limited comes first. It works while the main loop is stuck; what\n"
        "can't be known then is left out. Colours are for terminals, unless $NO_COLOR is set.\n",
    .run = status_run,
    .complete = status_complete,
};
