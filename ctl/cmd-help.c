/*
 * evloopctl help: what there is to be run, of this program and of the daemon, and how.
 *
 * Of its own commands the program knows that; of the daemon's, the daemon's schema does.
 */
#include "ctl/command.h"
#include "ctl/print.h"
#include "ctl/schema.h"
#include "ctl/text.h"

#define LINE_WIDTH 79
#define INDENT     "  "

/* ---- types in words ---- */

static char *type_text(const Schema *schema, const char *name);

static char *join_types(const Schema *schema, json_object *members)
{
    g_autoptr(GPtrArray) words = g_ptr_array_new_with_free_func(g_free);

    for (size_t i = 0; members && i < json_object_array_length(members); i++) {
        json_object *member = json_object_array_get_idx(members, i);

        g_ptr_array_add(words, type_text(schema, json_member_string(member, "type")));
    }
    g_ptr_array_add(words, NULL);
    return g_strjoinv(" or ", (char **)words->pdata);
}

static char *join_values(json_object *values)
{
    GString *text = g_string_new(NULL);

    for (size_t i = 0; i < json_object_array_length(values); i++) {
        const char *value = json_object_get_string(json_object_array_get_idx(values, i));

        g_string_append_printf(text, "%s%s", i > 0 ? "|" : "", value ? value : "");
    }
    return g_string_free(text, FALSE);
}

/* What a value of the type @name, which may be NULL, looks like; the caller frees it. */
static char *type_text(const Schema *schema, const char *name)
{
    json_object *type = schema_entity(schema, name, NULL);
    const char *meta_type = json_member_string(type, "meta-type");
    const char *json_type = json_member_string(type, "json-type");

    if (g_strcmp0(meta_type, "builtin") == 0) {
        return g_strdup(g_strcmp0(json_type, "value") == 0 ? "any" : json_type);
    }
    if (json_member_array(type, "values")) {
        return join_values(json_member_array(type, "values"));
    }
    if (g_strcmp0(meta_type, "alternate") == 0) {
        return join_types(schema, json_member_array(type, "members"));
    }
    if (g_strcmp0(meta_type, "array") == 0) {
        json_object *element =
            schema_entity(schema, json_member_string(type, "element-type"), "builtin");
        const char *of = json_member_string(element, "json-type");

        return of ? g_strdup_printf("list of %s", of) : g_strdup("list");
    }
    return g_strdup(meta_type);
}

/* ---- one command of the daemon ---- */

typedef struct Columns {
    const char *name; /* the title of what is described */
    const char *keys[5];
} Columns;

static const Columns argument_columns = { "argument", { "argument", "type", "needed", "with" } };
static const Columns member_columns = { "member", { "member", "type" } };

static void set_string(json_object *row, const char *key, const char *value)
{
    json_object_object_add(row, key, value ? json_object_new_string(value) : NULL);
}

static void add_rows(json_object *rows, const Schema *schema, json_object *object,
                     const Columns *columns, const char *with)
{
    json_object *members = json_member_array(object, "members");

    for (size_t i = 0; members && i < json_object_array_length(members); i++) {
        json_object *member = json_object_array_get_idx(members, i);
        g_autofree char *type = type_text(schema, json_member_string(member, "type"));
        bool is_optional = json_object_object_get_ex(member, "default", NULL);
        json_object *row = json_object_new_object();

        set_string(row, columns->name, json_member_string(member, "name"));
        set_string(row, "type", type);
        set_string(row, "needed", is_optional ? "no" : "yes");
        set_string(row, "with", with);
        json_object_array_add(rows, row);
    }
}

/* Append a table of the members of @object, an object type, those of its variants among them. */
static void append_members(GString *text, const Schema *schema, json_object *object,
                           const Columns *columns)
{
    g_autoptr(json_object) rows = json_object_new_array();
    json_object *variants = json_member_array(object, "variants");
    const char *tag = json_member_string(object, "tag");
    g_auto(GStrv) lines = NULL;

    add_rows(rows, schema, object, columns, "");
    for (size_t i = 0; tag && variants && i < json_object_array_length(variants); i++) {
        json_object *variant = json_object_array_get_idx(variants, i);
        const char *value = json_member_string(variant, "case");
        g_autofree char *with = g_strdup_printf("%s=%s", tag, value ? value : "");

        add_rows(rows, schema, schema_entity(schema, json_member_string(variant, "type"), "object"),
                 columns, with);
    }
    lines = table_lines(rows, columns->keys, NULL);
    for (char **line = lines; line && **line; line++) {
        g_string_append_printf(text, INDENT "%s\n", *line);
    }
}

static void append_usage(GString *text, const Schema *schema, const char *name, json_object *object)
{
    json_object *members = json_member_array(object, "members");
    g_autofree char *clean = text_clean(name);

    g_string_append_printf(text, "Usage:\n" INDENT "%s", clean);
    for (size_t i = 0; members && i < json_object_array_length(members); i++) {
        json_object *member = json_object_array_get_idx(members, i);
        bool is_optional = json_object_object_get_ex(member, "default", NULL);
        g_autofree char *argument = text_clean_word(json_member_string(member, "name"));

        g_string_append_printf(text, is_optional ? " [%s=...]" : " %s=...", argument);
    }
    g_string_append(text, json_member_array(object, "variants") ? " ...\n" : "\n");
}

static void append_return(GString *text, const Schema *schema, const char *name)
{
    json_object *type = schema_entity(schema, name, NULL);
    json_object *element = schema_entity(schema, json_member_string(type, "element-type"), NULL);
    json_object *object = element ? element : type;
    json_object *members = json_member_array(object, "members");
    bool has_members = g_strcmp0(json_member_string(object, "meta-type"), "object") == 0 &&
                       members && json_object_array_length(members) > 0;
    g_autofree char *words = type_text(schema, name);

    if (has_members) {
        g_string_append(text, element ? "\nReturns a list, each with:\n" : "\nReturns:\n");
        append_members(text, schema, object, &member_columns);
    } else if (g_strcmp0(json_member_string(type, "meta-type"), "object") == 0) {
        g_string_append(text, "\nReturns nothing.\n");
    } else if (words) {
        g_autofree char *clean = text_clean(words);

        g_string_append_printf(text, "\nReturns: %s\n", clean);
    }
}

static char *command_help(const Schema *schema, const char *name)
{
    json_object *command = schema_entity(schema, name, "command");
    json_object *object = schema_entity(schema, json_member_string(command, "arg-type"), "object");
    json_object *members = json_member_array(object, "members");
    GString *text = g_string_new(NULL);

    append_usage(text, schema, name, object);
    g_string_append_printf(
        text, "\nA command of the daemon, %s out of band.\n",
        json_object_get_boolean(json_member(command, "allow-oob")) ? "which can be run" : "not");
    if (members && json_object_array_length(members) > 0) {
        g_string_append(text, "\nArguments:\n");
        append_members(text, schema, object, &argument_columns);
    }
    append_return(text, schema, json_member_string(command, "ret-type"));
    return g_string_free(text, FALSE);
}

/* ---- all of them ---- */

static int compare_names(gconstpointer a, gconstpointer b)
{
    return g_strcmp0(*(const char *const *)a, *(const char *const *)b);
}

/* Append @names as words in as many lines as it takes. */
static void append_names(GString *text, const GPtrArray *names)
{
    guint used = LINE_WIDTH;

    for (guint i = 0; i < names->len; i++) {
        g_autofree char *name = text_clean_word(names->pdata[i]);
        guint width = text_width(name);

        if (used + 1 + width > LINE_WIDTH) {
            g_string_append(text, i > 0 ? "\n" INDENT : INDENT);
            used = (guint)sizeof(INDENT) - 1;
        } else {
            g_string_append_c(text, ' ');
            used++;
        }
        g_string_append(text, name);
        used += width;
    }
    g_string_append_c(text, '\n');
}

static void append_own(GString *text, const CtlCommand *program)
{
    g_string_append(text, "Commands:\n");
    for (const CtlCommand *const *member = program->members; *member; member++) {
        if (!(*member)->hidden) {
            g_string_append_printf(text, INDENT "%-10s %s\n", (*member)->name, (*member)->summary);
        }
    }
}

static bool show_all(Ctl *ctl, GError **errp)
{
    g_autoptr(GString) text = g_string_new(NULL);
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    g_autoptr(GError) error = NULL;
    g_autoptr(Client) client = ctl_connect(ctl, CLIENT_OOB_IF_OFFERED, &error);
    g_autoptr(Schema) schema = client ? schema_new(client, &error) : NULL;

    append_own(text, ctl->program);
    if (schema) {
        schema_foreach_name(schema, "command", schema_take_name, names);
        g_ptr_array_sort(names, compare_names);
        g_string_append_printf(text, "\nCommands of the daemon%s:\n",
                               ctl->shell ? "" : ", run by 'call'");
        append_names(text, names);
    } else {
        g_autofree char *clean = text_clean(error->message);

        g_string_append_printf(text, "\nThe commands of the daemon are not known: %s\n", clean);
    }
    g_string_append(text, "\n'help COMMAND' tells more of each.\n");
    return print_text(text->str, errp);
}

/* ---- finding it ---- */

/* Whether the daemon has it; else what it has, and what there is here, is compared with it. */
static bool check(const Ctl *ctl, const Schema *schema, const char *name, GError **errp)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();

    if (schema_has_name(schema, "command", name)) {
        return true;
    }
    schema_foreach_name(schema, "command", schema_take_name, names);
    ctl_fail_unknown(ctl->program, name, names, errp);
    return false;
}

bool ctl_check_daemon_command(Ctl *ctl, const char *name, GError **errp)
{
    g_autoptr(Client) client = ctl_connect(ctl, CLIENT_OOB_IF_OFFERED, errp);
    g_autoptr(Schema) schema = client ? schema_new(client, errp) : NULL;

    return schema && check(ctl, schema, name, errp);
}

static bool show_daemon_command(Ctl *ctl, const char *name, GError **errp)
{
    g_autoptr(Client) client = ctl_connect(ctl, CLIENT_OOB_IF_OFFERED, errp);
    g_autoptr(Schema) schema = client ? schema_new(client, errp) : NULL;
    g_autofree char *text = NULL;

    if (!schema || !check(ctl, schema, name, errp)) {
        return false;
    }
    text = command_help(schema, name);
    return print_text(text, errp);
}

/* As if --help had been typed behind @words. */
static bool show_own_command(Ctl *ctl, char **words, GError **errp)
{
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    g_auto(GStrv) all = NULL;

    g_strv_builder_add_many(builder, words[0], words[1] ? words[1] : "--help",
                            words[1] ? "--help" : NULL, NULL);
    all = g_strv_builder_end(builder);
    g_set_prgname(ctl->program->name);
    return ctl_run(ctl->program, ctl, all, errp);
}

static bool help_run(const CtlCommand *command, Ctl *ctl, char **words, GError **errp)
{
    g_auto(GStrv) rest = ctl_parse(command, ctl, NULL, words, 0, 2, errp);

    if (!rest) {
        return false;
    }
    if (!rest[0]) {
        return show_all(ctl, errp);
    }
    if (ctl_find_member(ctl->program, rest[0])) {
        return show_own_command(ctl, rest, errp);
    }
    return show_daemon_command(ctl, rest[0], errp);
}

static void help_complete(Ctl *ctl, Completion *completion, char **words)
{
    const CtlCommand *group = words[0] ? ctl_find_member(ctl->program, words[0]) : ctl->program;

    if (completion->option || (words[0] && words[1])) {
        return;
    }
    for (const CtlCommand *const *member = group ? group->members : NULL; member && *member;
         member++) {
        if (!(*member)->hidden) {
            completion_add(completion, (*member)->name, (*member)->summary);
        }
    }
    if (!words[0]) {
        completion_add_names(completion, ctl, "command");
    }
}

const CtlCommand ctl_help = {
    .name = "help",
    .parameters = "[COMMAND]",
    .summary = "Show the commands, those of the daemon too, or how one is used",
    .run = help_run,
    .complete = help_complete,
};
