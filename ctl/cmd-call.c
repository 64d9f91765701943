/*
 * evloopctl call: run any command of the daemon and print what it returns.
 */
#include "ctl/arguments.h"
#include "ctl/command.h"
#include "ctl/error.h"
#include "ctl/print.h"
#include "ctl/schema.h"

/* The arguments of @words, before any type is known; NULL for none. */
static bool parse_arguments(char **words, json_object **arguments, GError **errp)
{
    g_autoptr(json_object) object = NULL;

    if (!words[0]) {
        return true;
    }
    if (arguments_is_json(words[0])) {
        if (words[1]) {
            g_set_error(errp, CTL_ERROR, CTL_ERROR_USAGE, "unexpected after the JSON: '%s'",
                        words[1]);
            return false;
        }
        *arguments = arguments_from_json(words[0], errp);
        return *arguments != NULL;
    }
    object = json_object_new_object();
    if (!arguments_add_words(object, words, errp)) {
        return false;
    }
    *arguments = g_steal_pointer(&object);
    return true;
}

static bool call_run(const CtlCommand *command, Ctl *ctl, char **words, GError **errp)
{
    gboolean oob = FALSE;
    const GOptionEntry options[] = {
        { "oob", 0, 0, G_OPTION_ARG_NONE, &oob, "Run it out of band, ahead of what is queued",
          NULL },
        { NULL },
    };
    g_auto(GStrv) rest = ctl_parse(command, ctl, options, words, 1, G_MAXUINT, errp);
    g_autoptr(json_object) arguments = NULL;
    g_autoptr(json_object) result = NULL;
    g_autoptr(Client) client = NULL;

    if (!rest || !parse_arguments(rest + 1, &arguments, errp)) {
        return false;
    }
    if (!g_utf8_validate(rest[0], -1, NULL)) {
        g_set_error(errp, CTL_ERROR, CTL_ERROR_USAGE, "the command's name is not UTF-8");
        return false;
    }
    client = ctl_connect(ctl, oob ? CLIENT_OOB : CLIENT_IN_BAND, errp);
    if (!client) {
        return false;
    }
    if (arguments && !arguments_is_json(rest[1]) &&
        !schema_type_arguments(client, rest[0], arguments, errp)) {
        return false;
    }
    return client_call_oob(client, rest[0], arguments, &result, errp) && print_json(result, errp);
}

static void call_complete(Ctl *ctl, Completion *completion, char **words)
{
    if (completion->option) {
        return;
    }
    if (words[0]) {
        completion_add_arguments(completion, ctl, words[0], words + 1);
    } else {
        completion_add_names(completion, ctl, "command");
    }
}

const CtlCommand ctl_call = {
    .name = "call",
    .parameters = "COMMAND [KEY=VALUE... | JSON | -]",
    .summary = "Run a command of the daemon and print what it returns",
    .description =
        "Each KEY=VALUE is an argument of the command; the daemon's schema tells its type. A\n"
        "boolean is on, true, yes, off, false or no; an array or an object is JSON. Instead, all\n"
        "arguments may be one JSON object, or be read as one from standard input (-).\n"
        "\n"
        "What the command returns is printed as JSON, in one line unless on a terminal.\n"
        "'call query-commands' lists the commands.\n",
    .run = call_run,
    .complete = call_complete,
};
