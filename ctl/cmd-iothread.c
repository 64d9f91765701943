/*
 * evloopctl iothread: add, change, remove and list IOThreads.
 *
 * They are objects of type "iothread" under /objects; all is done by the commands for objects.
 */
#include "ctl/cmd-object.h"
#include "ctl/print.h"

#define TYPE_IOTHREAD "iothread"

/* ---- add ---- */

static bool add_run(const CtlCommand *command, Ctl *ctl, char **words, GError **errp)
{
    g_auto(GStrv) rest = ctl_parse(command, ctl, NULL, words, 1, G_MAXUINT, errp);

    return rest && ctl_object_add(ctl, TYPE_IOTHREAD, rest, errp);
}

static void add_complete(Ctl *ctl, Completion *completion, char **words)
{
    if (!completion->option && words[0]) {
        completion_add_properties(completion, ctl, TYPE_IOTHREAD, NULL, SET_ADD, words + 1);
    }
}

static const CtlCommand add_command = {
    .name = "add",
    .parameters = "ID [PROP=VALUE...]",
    .summary = "Start a new IOThread",
    .description = "'call qom-list-properties typename=iothread' lists the properties.\n",
    .run = add_run,
    .complete = add_complete,
};

/* ---- set ---- */

static bool set_run(const CtlCommand *command, Ctl *ctl, char **words, GError **errp)
{
    g_auto(GStrv) rest = ctl_parse(command, ctl, NULL, words, 2, G_MAXUINT, errp);

    return rest && ctl_object_set(ctl, TYPE_IOTHREAD, rest, errp);
}

static void set_complete(Ctl *ctl, Completion *completion, char **words)
{
    if (!completion->option && words[0]) {
        completion_add_properties(completion, ctl, TYPE_IOTHREAD, NULL, SET_LATER, words + 1);
    } else if (!completion->option) {
        completion_add_loops(completion, ctl, false);
    }
}

static const CtlCommand set_command = {
    .name = "set",
    .parameters = "ID PROP=VALUE...",
    .summary = "Change properties of a running IOThread",
    .description = "They are set one after another. The first that fails ends it; those before it\n"
                   "keep their new values.\n",
    .run = set_run,
    .complete = set_complete,
};

/* ---- del ---- */

static void del_complete(Ctl *ctl, Completion *completion, char **words)
{
    if (!completion->option && !words[0]) {
        completion_add_loops(completion, ctl, false);
    }
}

static const CtlCommand del_command = {
    .name = "del",
    .parameters = "ID",
    .summary = "Stop and remove an IOThread",
    .run = ctl_object_del_run,
    .complete = del_complete,
};

/* ---- list ---- */

/* What the table shows unless all is asked for: as much as fits on a terminal's line. */
static const char *const main_columns[] = {
    "id", "poll-max-ns", "cpu-affinity", "sched-policy", "fdmon-in-use", "thread-id",
};

/* @rows with the main columns only, of rows that are objects; the caller owns the reference. */
static json_object *select_columns(json_object *rows)
{
    json_object *selected;

    if (!json_object_is_type(rows, json_type_array)) {
        return json_object_get(rows);
    }
    selected = json_object_new_array();
    for (size_t i = 0; i < json_object_array_length(rows); i++) {
        json_object *from = json_object_array_get_idx(rows, i);
        json_object *row = json_object_new_object();
        json_object *value;

        for (size_t j = 0; j < G_N_ELEMENTS(main_columns); j++) {
            if (json_object_object_get_ex(from, main_columns[j], &value)) {
                json_object_object_add(row, main_columns[j], json_object_get(value));
            }
        }
        if (!json_object_is_type(from, json_type_object)) {
            json_object_put(row);
            row = json_object_get(from);
        }
        json_object_array_add(selected, row);
    }
    return selected;
}

static bool list_run(const CtlCommand *command, Ctl *ctl, char **words, GError **errp)
{
    gboolean json = ctl->json;
    gboolean all = FALSE;
    const GOptionEntry options[] = {
        { "all", 0, 0, G_OPTION_ARG_NONE, &all, "Show all properties, not just the main ones",
          NULL },
        { "json", 0, 0, G_OPTION_ARG_NONE, &json, "Print JSON, not a table", NULL },
        { NULL },
    };
    g_auto(GStrv) rest = ctl_parse(command, ctl, options, words, 0, 0, errp);
    g_autoptr(Client) client = rest ? ctl_connect(ctl, CLIENT_IN_BAND, errp) : NULL;
    g_autoptr(json_object) iothreads = NULL;
    g_autoptr(json_object) rows = NULL;

    if (!client || !client_call(client, "query-iothreads", NULL, &iothreads, errp)) {
        return false;
    }
    if (json) {
        return print_json(iothreads, errp);
    }
    rows = all ? json_object_get(iothreads) : select_columns(iothreads);
    if (!print_table(rows, errp)) {
        g_prefix_error(errp, "query-iothreads: ");
        return false;
    }
    return true;
}

static const CtlCommand list_command = {
    .name = "list",
    .summary = "Show all IOThreads",
    .run = list_run,
};

/* ---- the group ---- */

static const CtlCommand *const members[] = {
    &add_command, &set_command, &del_command, &list_command, NULL,
};

const CtlCommand ctl_iothread = {
    .name = "iothread",
    .summary = "Add, change, remove and list IOThreads",
    .members = members,
};
