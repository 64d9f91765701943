/*
 * Dispatch, option parsing and help, the same way for every command.
 *
 * An option of all commands may stand before or after a command's name; a group stops at the first
 * word that is no option, a command takes options anywhere.
 */
#include <string.h>

#include "config.h"
#include "ctl/command.h"
#include "ctl/error.h"
#include "ctl/near.h"
#include "ctl/print.h"

/* ---- help ---- */

static void append_members(GString *help, const CtlCommand *command)
{
    g_string_append(help, "\nCommands:\n");
    for (const CtlCommand *const *member = command->members; *member; member++) {
        if (!(*member)->hidden) {
            g_string_append_printf(help, "  %-21s %s\n", (*member)->name, (*member)->summary);
        }
    }
    g_string_append_printf(help, "\nSee '%s%sCOMMAND --help' for each.\n", g_get_prgname(),
                           *g_get_prgname() ? " " : "");
}

/* Print @text as all that this run does; @errp gets CTL_ERROR_DONE. */
static void finish(const char *text, GError **errp)
{
    if (print_text(text, errp)) {
        g_set_error(errp, CTL_ERROR, CTL_ERROR_DONE, "done");
    }
}

static void show_help(const CtlCommand *command, GOptionContext *context, GError **errp)
{
    g_autofree char *usage = g_option_context_get_help(context, TRUE, NULL);
    g_autoptr(GString) help = g_string_new(usage);

    g_string_replace(help, "\u2026", "...", 0); /* help is ASCII, for any terminal */
    g_string_truncate(help, strlen(g_strchomp(help->str)));
    g_string_append_c(help, '\n');
    if (command->members) {
        append_members(help, command);
    }
    if (command->description) {
        g_string_append_printf(help, "\n%s", command->description);
    }
    finish(help->str, errp);
}

/* ---- options ---- */

/* What GLib's parser fills in. Every parse starts anew, so that what an earlier one found stays. */
typedef struct CommonOptions {
    char *socket_path;
    double timeout;
    gboolean help;
    gboolean version;
} CommonOptions;

static void common_options_clear(CommonOptions *common)
{
    g_clear_pointer(&common->socket_path, g_free);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(CommonOptions, common_options_clear)

static const char *words_expected(const CtlCommand *command)
{
    return command->members ? "COMMAND ..." : command->parameters;
}

/* The options of a command: its own, those of all, and those of the program. */
typedef struct OptionLists {
    GOptionEntry common[4];
    GOptionEntry program[2];
    const GOptionEntry *lists[4]; /* of the three those that there are, up to NULL */
} OptionLists;

static void list_options(OptionLists *self, const CtlCommand *command, CommonOptions *common,
                         const GOptionEntry *options)
{
    size_t count = 0;

    *self = (OptionLists){
        .common = {
            { "socket", 's', 0, G_OPTION_ARG_FILENAME, &common->socket_path,
              "The daemon's control socket", "PATH" },
            { "timeout", 0, 0, G_OPTION_ARG_DOUBLE, &common->timeout,
              "Give up after so many seconds; 0 is never", "SECONDS" },
            { "help", 'h', 0, G_OPTION_ARG_NONE, &common->help, "Show this text", NULL },
        },
        .program = {
            { "version", 0, 0, G_OPTION_ARG_NONE, &common->version, "Show the version", NULL },
        },
    };
    if (options) {
        self->lists[count++] = options;
    }
    self->lists[count++] = self->common;
    if (command == &ctl_program) {
        self->lists[count++] = self->program;
    }
}

static GOptionContext *new_context(const CtlCommand *command, const OptionLists *options)
{
    GOptionContext *context = g_option_context_new(words_expected(command));

    g_option_context_set_summary(context, command->summary);
    g_option_context_set_help_enabled(context, FALSE);
    g_option_context_set_strict_posix(context, command->members != NULL);
    for (const GOptionEntry *const *list = options->lists; *list; list++) {
        g_option_context_add_main_entries(context, *list, NULL);
    }
    return context;
}

static bool take_common(Ctl *ctl, CommonOptions *common, GError **errp)
{
    if (!(common->timeout >= 0 && common->timeout <= 1e9)) {
        g_set_error(errp, CTL_ERROR, CTL_ERROR_USAGE,
                    "--timeout is a number of seconds from 0 to 1000000000");
        return false;
    }
    if (common->timeout > 0) {
        ctl->timeout = common->timeout;
    }
    if (common->socket_path) {
        g_free(ctl->socket_path);
        ctl->socket_path = g_steal_pointer(&common->socket_path);
    }
    return true;
}

static bool check_count(const CtlCommand *command, char **words, guint min, guint max,
                        GError **errp)
{
    guint count = g_strv_length(words);

    if (count < min) {
        g_set_error(errp, CTL_ERROR, CTL_ERROR_USAGE, "expected: %s", words_expected(command));
    } else if (count > max) {
        g_set_error(errp, CTL_ERROR, CTL_ERROR_USAGE, "unexpected: '%s'", words[max]);
    }
    return count >= min && count <= max;
}

/* Whether the option -@letter takes a value. */
static bool short_takes_value(const OptionLists *options, char letter)
{
    for (const GOptionEntry *const *list = options->lists; *list; list++) {
        for (const GOptionEntry *entry = *list; entry->long_name; entry++) {
            if (entry->short_name == letter) {
                return entry->arg != G_OPTION_ARG_NONE;
            }
        }
    }
    return false;
}

/* How many letters of the short options @word there are before the value of the last of them, if it
 * is in the same word, as 2 in "-bn1"; else 0. */
static size_t letters_before_value(const OptionLists *options, const char *word)
{
    size_t letters = 1;

    if (word[0] != '-' || word[1] == '-' || word[1] == '\0') {
        return 0;
    }
    while (word[letters] && !short_takes_value(options, word[letters])) {
        letters++;
    }
    return word[letters] && word[letters + 1] ? letters : 0;
}

/* Add @words, with each short option apart from its value, which GLib wants. What looks like one
 * behind a word of a group or "--" is none of these. */
static void add_words(GStrvBuilder *builder, const CtlCommand *command, const OptionLists *options,
                      char **words)
{
    bool over = false;

    for (; *words; words++) {
        size_t letters = over ? 0 : letters_before_value(options, *words);
        g_autofree char *head = g_strndup(*words, letters + 1);

        if (letters > 0) {
            g_strv_builder_add(builder, head);
            g_strv_builder_add(builder, *words + letters + 1);
        } else {
            g_strv_builder_add(builder, *words);
        }
        over = over || g_str_equal(*words, "--") || (command->members && (*words)[0] != '-');
    }
}

/* As g_option_context_parse_strv(), which wants the program's name first. */
static char **parse_words(GOptionContext *context, const CtlCommand *command,
                          const OptionLists *options, char **words, GError **errp)
{
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    g_auto(GStrv) all = NULL;

    g_strv_builder_add(builder, g_get_prgname());
    add_words(builder, command, options, words);
    all = g_strv_builder_end(builder);
    return g_option_context_parse_strv(context, &all, errp) ? g_strdupv(all + 1) : NULL;
}

/* ---- completion ---- */

/* Whether the words end in this command, not in a member of it. */
static bool is_here(const CtlCommand *command, char **rest)
{
    return !command->members || !rest[0];
}

/* Offer what could come next here. @rest are the words without options. */
static void complete_here(const CtlCommand *command, Ctl *ctl, const OptionLists *options,
                          char **rest)
{
    Completion *completion = ctl->completion;

    if (!completion->option && completion->word[0] == '-') {
        completion_add_options(completion, options->lists);
        return;
    }
    for (const CtlCommand *const *member = completion->option ? NULL : command->members;
         member && *member; member++) {
        if (!(*member)->hidden) {
            completion_add(completion, (*member)->name, (*member)->summary);
        }
    }
    if (command->complete) {
        command->complete(ctl, completion, rest);
    }
}

/* ---- parsing ---- */

char **ctl_parse(const CtlCommand *command, Ctl *ctl, const GOptionEntry *options, char **words,
                 guint min, guint max, GError **errp)
{
    g_auto(CommonOptions) common = { NULL };
    OptionLists lists;
    g_autoptr(GOptionContext) context = NULL;
    g_auto(GStrv) rest = NULL;

    list_options(&lists, command, &common, options);
    context = new_context(command, &lists);
    if (ctl->completion && !ctl->completion->option) {
        completion_find_option(ctl->completion, words, lists.lists);
    }
    rest = parse_words(context, command, &lists, words, errp);
    if (rest && !ctl->completion && common.help) {
        show_help(command, context, errp);
        return NULL;
    }
    if (rest && !ctl->completion && common.version) {
        finish("evloopctl " PACKAGE_VERSION "\n", errp);
        return NULL;
    }
    if (!rest || !take_common(ctl, &common, errp)) {
        return NULL;
    }
    if (ctl->completion && is_here(command, rest)) {
        complete_here(command, ctl, &lists, rest);
        g_set_error(errp, CTL_ERROR, CTL_ERROR_DONE, "completed");
        return NULL;
    }
    return check_count(command, rest, min, max, errp) ? g_steal_pointer(&rest) : NULL;
}

/* ---- dispatch ---- */

const CtlCommand *ctl_find_member(const CtlCommand *group, const char *name)
{
    for (const CtlCommand *const *member = group->members; *member; member++) {
        if (g_str_equal((*member)->name, name)) {
            return *member;
        }
    }
    return NULL;
}

void ctl_fail_unknown(const CtlCommand *group, const char *name, GPtrArray *others, GError **errp)
{
    g_autoptr(GPtrArray) names = others ? g_ptr_array_ref(others) : g_ptr_array_new();
    g_autofree char *near = NULL;

    for (const CtlCommand *const *member = group->members; *member; member++) {
        if (!(*member)->hidden) {
            g_ptr_array_add(names, (gpointer)(*member)->name);
        }
    }
    near = near_names(name, names);
    g_set_error(errp, CTL_ERROR, CTL_ERROR_USAGE, "there is no command '%s'%s%s", name,
                near ? "; near are: " : "", near ? near : "");
}

bool ctl_run(const CtlCommand *command, Ctl *ctl, char **words, GError **errp)
{
    g_auto(GStrv) rest = NULL;
    g_autofree char *typed = NULL;
    const CtlCommand *member;

    if (!command->members) {
        return command->run(command, ctl, words, errp);
    }
    rest = ctl_parse(command, ctl, NULL, words, 1, G_MAXUINT, errp);
    if (!rest) {
        return false;
    }
    member = ctl_find_member(command, rest[0]);
    if (!member && command->otherwise) {
        return ctl_run(command->otherwise, ctl, rest, errp);
    }
    if (!member) {
        ctl_fail_unknown(command, rest[0], NULL, errp);
        return false;
    }
    typed = g_strdup_printf("%s%s%s", g_get_prgname(), *g_get_prgname() ? " " : "", member->name);
    g_set_prgname(typed);
    return ctl_run(member, ctl, rest + 1, errp);
}
