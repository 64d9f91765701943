/*
 * evloopctl call and oob: run any command of the daemon and print what it returns.
 */
#include "ctl/argument-names.h"
#include "ctl/arguments.h"
#include "ctl/command.h"
#include "ctl/error.h"
#include "ctl/result.h"
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

static ResultFormat choose_format(const Ctl *ctl, bool json, bool table)
{
    if (json || (ctl->json && !table)) {
        return RESULT_JSON;
    }
    return table ? RESULT_TABLE : RESULT_AUTO;
}

/* @rest are the command and its arguments. */
static bool call(Ctl *ctl, char **rest, bool oob, ResultFormat format, GError **errp)
{
    g_autoptr(json_object) arguments = NULL;
    g_autoptr(json_object) result = NULL;
    g_autoptr(Client) client = NULL;
    GError *error = NULL;

    if (!parse_arguments(rest + 1, &arguments, errp)) {
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
    if (!client_call_oob(client, rest[0], arguments, &result, &error)) {
        argument_names_hint(client, rest[0], arguments, error);
        g_propagate_error(errp, error);
        return false;
    }
    return result_print(result, format, errp);
}

/* Both commands: 'oob' is 'call --oob'. */
static bool call_run(const CtlCommand *command, Ctl *ctl, char **words, GError **errp)
{
    gboolean oob = command == &ctl_oob;
    gboolean json = FALSE;
    gboolean table = FALSE;
    const GOptionEntry options[] = {
        { "json", 0, 0, G_OPTION_ARG_NONE, &json, "Print JSON, on a terminal too", NULL },
        { "table", 0, 0, G_OPTION_ARG_NONE, &table, "Print for people, also to a pipe", NULL },
        /* The last is not for 'oob'. */
        { oob ? NULL : "oob", 0, 0, G_OPTION_ARG_NONE, &oob,
          "Run it out of band, ahead of what is queued", NULL },
        { NULL },
    };
    g_auto(GStrv) rest = ctl_parse(command, ctl, options, words, 1, G_MAXUINT, errp);

    if (rest && json && table) {
        g_set_error(errp, CTL_ERROR, CTL_ERROR_USAGE, "--json and --table exclude one another");
        return false;
    }
    return rest && call(ctl, rest, oob, choose_format(ctl, json, table), errp);
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

static void oob_complete(Ctl *ctl, Completion *completion, char **words)
{
    if (!completion->option && !words[0]) {
        completion_add_oob_commands(completion, ctl);
    } else {
        call_complete(ctl, completion, words);
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
        "What the command returns is printed for people on a terminal, a list of objects as a\n"
        "table; elsewhere as JSON in one line. 'help' lists the commands, 'help COMMAND' the\n"
        "arguments of one.\n",
    .run = call_run,
    .complete = call_complete,
};

const CtlCommand ctl_oob = {
    .name = "oob",
    .parameters = "COMMAND [KEY=VALUE... | JSON | -]",
    .summary = "The same, out of band: also while the main loop is stuck",
    .description = "It is as 'call --oob'. Few commands can be run so; 'help COMMAND' tells.\n",
    .run = call_run,
    .complete = oob_complete,
};
