/*
 * evloopctl wait: wait for one event, for scripts.
 */
#include <string.h>
#include <unistd.h>

#include "ctl/arguments.h"
#include "ctl/command.h"
#include "ctl/error.h"
#include "ctl/event-names.h"
#include "ctl/print.h"

/* Whether @value is what @word says, in the type that it has. */
static bool is_said(json_object *value, const char *word)
{
    static const ValueType types[] = { VALUE_BOOL, VALUE_INT, VALUE_NUMBER, VALUE_ANY };

    if (json_object_is_type(value, json_type_string)) {
        return g_str_equal(json_object_get_string(value), word);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(types); i++) {
        json_object *said = NULL;
        bool equal;

        if (!value_from_word(types[i], word, &said)) {
            continue;
        }
        equal = json_object_equal(value, said);
        json_object_put(said);
        if (equal) {
            return true;
        }
    }
    return false;
}

static bool is_wanted(json_object *event, const char *const *names, json_object *filters)
{
    json_object *data = json_member(event, "data");

    if (!g_strv_contains(names, json_member_string(event, "event"))) {
        return false;
    }
    json_object_object_foreach (filters, name, word) {
        json_object *value = NULL;

        if (!json_object_object_get_ex(data, name, &value) ||
            !is_said(value, json_object_get_string(word))) {
            return false;
        }
    }
    return true;
}

/* Sort @words into names of events and filters. */
static bool sort_words(char **words, GPtrArray *names, json_object *filters, GError **errp)
{
    g_autoptr(GPtrArray) pairs = g_ptr_array_new();

    for (; *words; words++) {
        g_ptr_array_add(strchr(*words, '=') ? pairs : names, *words);
    }
    g_ptr_array_add(pairs, NULL);
    if (names->len == 0) {
        g_set_error(errp, CTL_ERROR, CTL_ERROR_USAGE, "expected: the name of an event");
        return false;
    }
    g_ptr_array_add(names, NULL);
    return arguments_add_words(filters, (char **)pairs->pdata, errp);
}

static bool wait_for(Client *client, const char *const *names, json_object *filters, GError **errp)
{
    for (;;) {
        GError *error = NULL;
        g_autoptr(json_object) event = client_next_event(client, &error);

        if (g_error_matches(error, CTL_ERROR, CTL_ERROR_TIMEOUT)) {
            g_clear_error(&error);
            g_set_error(errp, CTL_ERROR, CTL_ERROR_NO_EVENT, "no such event in time");
            return false;
        }
        if (!event) {
            g_propagate_error(errp, error);
            return false;
        }
        if (is_wanted(event, names, filters)) {
            return print_json_line(event, errp);
        }
    }
}

static bool wait_run(const CtlCommand *command, Ctl *ctl, char **words, GError **errp)
{
    g_auto(GStrv) rest = ctl_parse(command, ctl, NULL, words, 1, G_MAXUINT, errp);
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    g_autoptr(json_object) filters = json_object_new_object();
    g_autoptr(Client) client = NULL;

    if (!rest || !sort_words(rest, names, filters, errp)) {
        return false;
    }
    client = ctl_connect(ctl, CLIENT_OOB_IF_OFFERED, errp);
    if (!client) {
        return false;
    }
    client_keep_events(client);
    client_watch_output(client, STDOUT_FILENO);
    return event_names_check(client, (const char *const *)names->pdata, filters, errp) &&
           wait_for(client, (const char *const *)names->pdata, filters, errp);
}

static void wait_complete(Ctl *ctl, Completion *completion, char **words)
{
    if (completion->option) {
        return;
    }
    completion_add_names(completion, ctl, "event");
    for (; *words; words++) {
        if (!strchr(*words, '=')) {
            completion_add_event_members(completion, ctl, *words);
        }
    }
}

const CtlCommand ctl_wait = {
    .name = "wait",
    .parameters = "EVENT... [NAME=VALUE...]",
    .summary = "Wait for one event, and print it",
    .description =
        "It is the first that comes with one of these names and, in its data, each NAME\n"
        "with that VALUE; it is printed as JSON in one line. Names that the daemon does\n"
        "not know are an error at once. When --timeout is over and there has been none,\n"
        "the exit status is 3.\n",
    .run = wait_run,
    .complete = wait_complete,
};
