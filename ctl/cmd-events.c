/*
 * evloopctl events: print the daemon's events as they come.
 */
#include <unistd.h>

#include "ctl/command.h"
#include "ctl/error.h"
#include "ctl/print.h"

/* Print events, @count of them (0: no end), with one of @names unless there are none. */
static bool print_events(Client *client, const char *const *names, int count, GError **errp)
{
    int seen = 0;

    while (count == 0 || seen < count) {
        g_autoptr(json_object) event = client_next_event(client, errp);

        if (!event) {
            return false;
        }
        if (names[0] && !g_strv_contains(names, json_member_string(event, "event"))) {
            continue;
        }
        if (!print_json_line(event, errp)) {
            return false;
        }
        seen = count > 0 ? seen + 1 : 0;
    }
    return true;
}

static bool events_run(const CtlCommand *command, Ctl *ctl, char **words, GError **errp)
{
    int count = 0;
    const GOptionEntry options[] = {
        { "count", 'n', 0, G_OPTION_ARG_INT, &count, "End after so many events", "N" },
        { NULL },
    };
    g_auto(GStrv) names = ctl_parse(command, ctl, options, words, 0, G_MAXUINT, errp);
    g_autoptr(Client) client = NULL;
    g_autoptr(GError) error = NULL;

    if (!names) {
        return false;
    }
    if (count < 0) {
        g_set_error(errp, CTL_ERROR, CTL_ERROR_USAGE, "--count is a number from 1");
        return false;
    }
    client = ctl_connect(ctl, CLIENT_IN_BAND, errp);
    if (!client) {
        return false;
    }
    client_watch_output(client, STDOUT_FILENO);
    if (!print_events(client, (const char *const *)names, count, &error)) {
        /* Without a count, the daemon's end is the one to wait for. */
        if (count == 0 && g_error_matches(error, CTL_ERROR, CTL_ERROR_CLOSED)) {
            return true;
        }
        g_propagate_error(errp, g_steal_pointer(&error));
        return false;
    }
    return true;
}

static void events_complete(Ctl *ctl, Completion *completion, char **words)
{
    if (!completion->option) {
        completion_add_names(completion, ctl, "event");
    }
}

const CtlCommand ctl_events = {
    .name = "events",
    .parameters = "[NAME...]",
    .summary = "Print events as they come",
    .description =
        "Each event is printed as JSON in one line, those with one of the NAMEs or, when\n"
        "there is none, all. It ends when the daemon does, after --count events, or when\n"
        "nobody reads the output any more. That the daemon ends before --count events\n"
        "were seen is an error.\n",
    .run = events_run,
    .complete = events_complete,
};
