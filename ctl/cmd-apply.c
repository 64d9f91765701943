/*
 * evloopctl apply: have the daemon go over to a configuration, or show what that would do.
 *
 * The files' text goes to the daemon as it is, so what it says about it is what it says about the
 * files of its own configuration.
 */
#include <string.h>

#include "ctl/arguments.h"
#include "ctl/command.h"
#include "ctl/error.h"
#include "ctl/print.h"
#include "ctl/text.h"

/* ---- the difference, for people ---- */

static void append_word(GString *text, json_object *object, const char *member)
{
    g_autofree char *word = text_clean_word(json_member_string(object, member));

    g_string_append(text, word);
}

/* "- timer t0" */
static void append_object(GString *text, char sign, json_object *object)
{
    g_string_append_printf(text, "%c ", sign);
    append_word(text, object, "qom-type");
    g_string_append_c(text, ' ');
    append_word(text, object, "id");
}

/* Append a line for each element of the member @name of @difference. */
static void append_objects(GString *text, json_object *difference, const char *name, char sign,
                           const char *remark)
{
    json_object *list = json_member_array(difference, name);
    size_t n = list ? json_object_array_length(list) : 0;

    for (size_t i = 0; i < n; i++) {
        append_object(text, sign, json_object_array_get_idx(list, i));
        g_string_append_printf(text, "%s\n", remark);
    }
}

static void append_properties(GString *text, json_object *difference, const char *name, char sign,
                              const char *remark)
{
    const int style = JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE;
    json_object *list = json_member_array(difference, name);
    size_t n = list ? json_object_array_length(list) : 0;

    for (size_t i = 0; i < n; i++) {
        json_object *object = json_object_array_get_idx(list, i);
        json_object *from = json_member(object, "from");
        json_object *to = json_member(object, "to");

        append_object(text, sign, object);
        g_string_append(text, ": ");
        append_word(text, object, "property");
        g_string_append(text, ": ");
        /* json-c may use one buffer of a value for both. */
        g_string_append(text, json_object_to_json_string_ext(from, style));
        g_string_append(text, " -> ");
        g_string_append(text, json_object_to_json_string_ext(to, style));
        g_string_append_printf(text, "%s\n", remark);
    }
}

static char *difference_to_text(json_object *difference)
{
    GString *text = g_string_new(NULL);

    append_objects(text, difference, "removed", '-', "");
    append_objects(text, difference, "adopted", '=', " (was there already)");
    append_properties(text, difference, "replaced", '!', " (deleted, and added anew)");
    append_properties(text, difference, "changed", '~', "");
    append_objects(text, difference, "added", '+', "");
    if (text->len == 0) {
        g_string_append(text, "nothing to change\n");
    }
    return g_string_free(text, FALSE);
}

/* ---- files ---- */

/* The text of the file @name, or of standard input for "-"; the caller frees it. NULL and @errp. */
static char *read_text(const char *name, GError **errp)
{
    g_autofree char *text = NULL;
    gsize len;

    if (g_str_equal(name, "-")) {
        text = arguments_read_stdin(errp);
        len = text ? strlen(text) : 0;
    } else if (!g_file_get_contents(name, &text, &len, errp)) {
        return NULL;
    }
    if (text && !g_utf8_validate(text, (gssize)len, NULL)) {
        g_autofree char *shown = g_utf8_make_valid(name, -1);

        g_set_error(errp, CTL_ERROR, CTL_ERROR_USAGE, "%s: it is not UTF-8 text", shown);
        return NULL;
    }
    return g_steal_pointer(&text);
}

static json_object *read_files(char **names, GError **errp)
{
    g_autoptr(json_object) files = json_object_new_array();

    for (; *names; names++) {
        g_autofree char *text = read_text(*names, errp);
        g_autofree char *shown = g_utf8_make_valid(*names, -1);
        json_object *file;

        if (!text) {
            return NULL;
        }
        file = json_object_new_object();
        json_object_object_add(file, "name", json_object_new_string(shown));
        json_object_object_add(file, "text", json_object_new_string(text));
        json_object_array_add(files, file);
    }
    return g_steal_pointer(&files);
}

/* ---- the command ---- */

static bool apply_run(const CtlCommand *command, Ctl *ctl, char **words, GError **errp)
{
    gboolean dry_run = FALSE;
    gboolean json = ctl->json;
    const GOptionEntry options[] = {
        { "dry-run", 'n', 0, G_OPTION_ARG_NONE, &dry_run, "Only show what would be done", NULL },
        { "json", 0, 0, G_OPTION_ARG_NONE, &json, "Print JSON, not lines for people", NULL },
        { NULL },
    };
    g_auto(GStrv) rest = ctl_parse(command, ctl, options, words, 1, G_MAXUINT, errp);
    g_autoptr(json_object) files = rest ? read_files(rest, errp) : NULL;
    g_autoptr(Client) client = files ? ctl_connect(ctl, CLIENT_IN_BAND, errp) : NULL;
    g_autoptr(json_object) arguments = json_object_new_object();
    g_autoptr(json_object) difference = NULL;
    g_autofree char *text = NULL;

    if (!client) {
        return false;
    }
    json_object_object_add(arguments, "files", g_steal_pointer(&files));
    json_object_object_add(arguments, "dry-run", json_object_new_boolean(dry_run));
    if (!client_call(client, "config-apply", arguments, &difference, errp)) {
        return false;
    }
    if (json) {
        return print_json(difference, errp);
    }
    text = difference_to_text(difference);
    return print_text(text, errp);
}

const CtlCommand ctl_apply = {
    .name = "apply",
    .parameters = "FILE...",
    .summary = "Go over to a configuration, all of it or nothing",
    .description =
        "Each FILE has commands object-add and qom-set, see evloopd.conf(5); - is standard\n"
        "input. Objects that an earlier configuration made and this one does not ask for\n"
        "are deleted, others are left alone.\n"
        "\n"
        "What was done is printed, or with --dry-run what would be: + is added, - deleted,\n"
        "~ changed, ! deleted and added anew, = there already and the configuration's from\n"
        "now on.\n",
    .run = apply_run,
};
