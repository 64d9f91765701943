/*
 * evloopctl object: add, change, move and remove objects of any type. What shows them is in
 * ctl/cmd-object-show.c.
 *
 * Which types there are, and what their properties are, only the daemon knows.
 */
#include "ctl/cmd-object.h"

#include "ctl/argument-names.h"
#include "ctl/arguments.h"
#include "ctl/object.h"
#include "ctl/schema.h"

/* ---- add ---- */

bool ctl_object_add(Ctl *ctl, const char *type, char **words, GError **errp)
{
    g_autoptr(json_object) arguments = object_add_arguments(type, words[0], words + 1, errp);
    g_autoptr(Client) client = arguments ? ctl_connect(ctl, CLIENT_IN_BAND, errp) : NULL;

    return client && object_add(client, arguments, errp);
}

static bool add_run(const CtlCommand *command, Ctl *ctl, char **words, GError **errp)
{
    g_auto(GStrv) rest = ctl_parse(command, ctl, NULL, words, 2, G_MAXUINT, errp);

    return rest && ctl_object_add(ctl, rest[0], rest + 1, errp);
}

static void add_complete(Ctl *ctl, Completion *completion, char **words)
{
    if (completion->option) {
        return;
    }
    if (!words[0]) {
        completion_add_types(completion, ctl);
    } else if (words[1]) {
        completion_add_properties(completion, ctl, words[0], NULL, SET_ADD, words + 2);
    }
}

static const CtlCommand add_command = {
    .name = "add",
    .parameters = "TYPE ID [NAME=VALUE...]",
    .summary = "Add an object",
    .description = "'object types' lists the types, 'object types TYPE' the properties of one.\n",
    .run = add_run,
    .complete = add_complete,
};

/* ---- del ---- */

bool ctl_object_del_run(const CtlCommand *command, Ctl *ctl, char **words, GError **errp)
{
    g_auto(GStrv) rest = ctl_parse(command, ctl, NULL, words, 1, 1, errp);
    g_autoptr(Client) client = NULL;

    if (!rest || !object_check_word(rest[0], "ID", errp)) {
        return false;
    }
    client = ctl_connect(ctl, CLIENT_IN_BAND, errp);
    return client && object_del(client, rest[0], errp);
}

static void del_complete(Ctl *ctl, Completion *completion, char **words)
{
    if (!completion->option && !words[0]) {
        completion_add_objects(completion, ctl, NULL);
    }
}

static const CtlCommand del_command = {
    .name = "del",
    .parameters = "ID",
    .summary = "Remove an object",
    .run = ctl_object_del_run,
    .complete = del_complete,
};

/* ---- set ---- */

/* Set @properties, strings so far, of the object @id of the type @type, NULL when that is to be
 * asked for. */
static bool set_words(Client *client, const char *type, const char *id, json_object *properties,
                      GError **errp)
{
    g_autofree char *found = type ? g_strdup(type) : object_type(client, id, errp);
    GError *error = NULL;

    if (!found || !(type ? schema_type_properties(client, type, properties, errp)
                         : schema_type_object(client, found, properties, errp))) {
        return false;
    }
    if (object_set_all(client, id, properties, &error)) {
        return true;
    }
    property_names_hint(client, found, properties, error);
    g_propagate_error(errp, error);
    return false;
}

bool ctl_object_set(Ctl *ctl, const char *type, char **words, GError **errp)
{
    g_autoptr(json_object) properties = json_object_new_object();
    g_autoptr(Client) client = NULL;

    if (!object_check_word(words[0], "ID", errp) ||
        !arguments_add_words(properties, words + 1, errp)) {
        return false;
    }
    client = ctl_connect(ctl, CLIENT_IN_BAND, errp);
    return client && set_words(client, type, words[0], properties, errp);
}

static bool set_run(const CtlCommand *command, Ctl *ctl, char **words, GError **errp)
{
    g_auto(GStrv) rest = ctl_parse(command, ctl, NULL, words, 2, G_MAXUINT, errp);

    return rest && ctl_object_set(ctl, NULL, rest, errp);
}

static void set_complete(Ctl *ctl, Completion *completion, char **words)
{
    if (!completion->option && words[0]) {
        completion_add_properties(completion, ctl, NULL, words[0], SET_LATER, words + 1);
    } else if (!completion->option) {
        completion_add_objects(completion, ctl, NULL);
    }
}

static const CtlCommand set_command = {
    .name = "set",
    .parameters = "ID NAME=VALUE...",
    .summary = "Change properties of an object while it works",
    .description = "They are set one after another. The first that fails ends it; those before it\n"
                   "keep their new values.\n",
    .run = set_run,
    .complete = set_complete,
};

/* ---- move ---- */

static bool move_run(const CtlCommand *command, Ctl *ctl, char **words, GError **errp)
{
    g_auto(GStrv) rest = ctl_parse(command, ctl, NULL, words, 2, 2, errp);
    g_autoptr(json_object) loop = NULL;
    g_autoptr(Client) client = NULL;

    if (!rest || !object_check_word(rest[0], "ID", errp) ||
        !object_check_word(rest[1], "LOOP", errp)) {
        return false;
    }
    if (!g_str_equal(rest[1], MAIN_LOOP)) {
        loop = json_object_new_string(rest[1]);
    }
    client = ctl_connect(ctl, CLIENT_IN_BAND, errp);
    return client && object_set(client, rest[0], OBJECT_PLACE, loop, errp);
}

static void move_complete(Ctl *ctl, Completion *completion, char **words)
{
    if (completion->option || (words[0] && words[1])) {
        return;
    }
    if (words[0]) {
        completion_add_loops(completion, ctl, false);
        completion_add(completion, MAIN_LOOP, "loop");
    } else {
        completion_add_objects(completion, ctl, NULL);
    }
}

static const CtlCommand move_command = {
    .name = "move",
    .parameters = "ID LOOP",
    .summary = "Move an object to another loop while it works",
    .description = "LOOP is the id of an IOThread, or main-loop.\n",
    .run = move_run,
    .complete = move_complete,
};

/* ---- the group ---- */

static const CtlCommand *const members[] = {
    &add_command,     &set_command,     &move_command,     &del_command,
    &ctl_object_list, &ctl_object_show, &ctl_object_types, NULL,
};

const CtlCommand ctl_object = {
    .name = "object",
    .summary = "Add, change, move, remove and show objects of any type",
    .members = members,
};
