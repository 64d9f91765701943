/*
 * Candidates for the completion of a command line, of what the program and what the daemon knows.
 */
#include <string.h>

#include "ctl/arguments.h"
#include "ctl/command.h"
#include "ctl/object.h"
#include "ctl/schema.h"
#include "ctl/text.h"

/* Whoever presses a key does not wait for long. */
#define PATIENCE 2.0 /* seconds */

/* Whether any shell takes @text as one word that stands for nothing else. Shells put candidates
 * into the line as they are. */
static bool is_plain_word(const char *text)
{
    const char *p = text;

    if (!g_utf8_validate(text, -1, NULL)) {
        return false;
    }
    while (*p && (g_unichar_isalnum(g_utf8_get_char(p)) || strchr("-._=:/,@%+", *p))) {
        p = g_utf8_next_char(p);
    }
    return *text && !*p;
}

void completion_add(Completion *completion, const char *candidate, const char *help)
{
    g_autofree char *clean_help = text_clean(help ? help : "");

    if (g_str_has_prefix(candidate, completion->word) && is_plain_word(candidate)) {
        g_string_append_printf(completion->found, "%s%s\t%s\n", completion->prefix, candidate,
                               clean_help);
    }
}

GString *completion_find(const CtlCommand *program, const Ctl *ctl, char **words, const char *word)
{
    GString *found = g_string_new(NULL);
    Completion completion = { .word = word, .prefix = "", .found = found };
    g_auto(GStrv) typed = g_strdupv(words);
    Ctl own = *ctl;

    own.socket_path = g_strdup(ctl->socket_path);
    own.completion = &completion;
    g_set_prgname(program->name);
    /* It ends in an error in any case: that nothing was run, or what is wrong with the words. */
    ctl_run(program, &own, typed, NULL);
    g_free(own.socket_path);
    return found;
}

/* ---- options ---- */

/* From now on the word to complete is what follows its "name="; returns that name, or NULL when it
 * is not that far. */
static char *take_name(Completion *completion)
{
    const char *equals = strchr(completion->word, '=');
    g_autofree char *prefix = NULL;

    if (!equals) {
        return NULL;
    }
    prefix = g_strndup(completion->word, (gsize)(equals + 1 - completion->word));
    completion->prefix = g_intern_string(prefix);
    prefix[strlen(prefix) - 1] = '\0';
    completion->word = equals + 1;
    return g_steal_pointer(&prefix);
}

static bool takes_value(const GOptionEntry *entry)
{
    return entry->arg != G_OPTION_ARG_NONE;
}

/* The option that takes a value and is written as @text, of @length bytes. */
static const GOptionEntry *find_option(const GOptionEntry *const *lists, const char *text,
                                       size_t length)
{
    for (; *lists; lists++) {
        for (const GOptionEntry *entry = *lists; entry->long_name; entry++) {
            bool is_short = length == 2 && text[0] == '-' && text[1] == entry->short_name;
            bool is_long = length > 2 && strncmp(text, "--", 2) == 0 &&
                           strlen(entry->long_name) == length - 2 &&
                           strncmp(text + 2, entry->long_name, length - 2) == 0;

            if (takes_value(entry) && (is_short || is_long)) {
                return entry;
            }
        }
    }
    return NULL;
}

void completion_find_option(Completion *completion, char **words, const GOptionEntry *const *lists)
{
    guint count = g_strv_length(words);
    const char *equals = strchr(completion->word, '=');
    const GOptionEntry *entry =
        count > 0 ? find_option(lists, words[count - 1], strlen(words[count - 1])) : NULL;

    if (entry) {
        completion->option = entry->long_name;
        g_clear_pointer(&words[count - 1], g_free);
        return;
    }
    entry =
        equals ? find_option(lists, completion->word, (size_t)(equals - completion->word)) : NULL;
    if (entry) {
        completion->option = entry->long_name;
        g_free(take_name(completion));
    }
}

void completion_add_options(Completion *completion, const GOptionEntry *const *lists)
{
    for (; *lists; lists++) {
        for (const GOptionEntry *entry = *lists; entry->long_name; entry++) {
            g_autofree char *text =
                g_strdup_printf("--%s%s", entry->long_name, takes_value(entry) ? "=" : "");

            completion_add(completion, text, entry->description);
        }
    }
}

/* ---- asking the daemon ---- */

Client *completion_connect(const Ctl *ctl)
{
    Ctl patient = *ctl;

    patient.timeout = ctl->timeout > 0 ? MIN(ctl->timeout, PATIENCE) : PATIENCE;
    return ctl_connect(&patient, CLIENT_OOB_IF_OFFERED, NULL);
}

/* The list that @command answers, as object_query(), out of band where the daemon does that; NULL
 * when it can't be had. */
static json_object *ask(Client *client, const char *command, const char *key, const char *value)
{
    g_autoptr(json_object) arguments = json_object_new_object();
    json_object *list = NULL;

    if (key) {
        json_object_object_add(arguments, key, json_object_new_string(value));
    }
    if (client_call_oob(client, command, arguments, &list, NULL) &&
        json_object_is_type(list, json_type_array)) {
        return list;
    }
    json_object_put(list);
    return object_query(client, command, key, value, NULL);
}

/* Call @func with each element of what @ask() answers. */
static void foreach_answer(const Ctl *ctl, const char *command, const char *key, const char *value,
                           void (*func)(json_object *element, void *opaque), void *opaque)
{
    g_autoptr(Client) client = completion_connect(ctl);
    g_autoptr(json_object) list = client ? ask(client, command, key, value) : NULL;

    for (size_t i = 0; list && i < json_object_array_length(list); i++) {
        func(json_object_array_get_idx(list, i), opaque);
    }
}

/* ---- loops, objects, types ---- */

static void add_member(Completion *completion, json_object *object, const char *key,
                       const char *help)
{
    const char *text = json_member_string(object, key);

    if (text) {
        completion_add(completion, text, help);
    }
}

static void add_loop(json_object *loop, void *completion)
{
    add_member(completion, loop, "id", "loop");
}

typedef struct ChildFilter {
    Completion *completion;
    const char *type;
} ChildFilter;

static void add_child(json_object *item, void *opaque)
{
    ChildFilter *filter = opaque;
    g_autofree char *type = object_child_type(item);

    if (type && (!filter->type || g_str_equal(filter->type, type))) {
        add_member(filter->completion, item, "name", type);
    }
}

void completion_add_objects(Completion *completion, const Ctl *ctl, const char *type)
{
    ChildFilter filter = { completion, type };

    foreach_answer(ctl, "qom-list", "path", "/objects", add_child, &filter);
}

void completion_add_loops(Completion *completion, const Ctl *ctl, bool all)
{
    if (all) {
        foreach_answer(ctl, "query-loops", NULL, NULL, add_loop, completion);
    } else {
        completion_add_objects(completion, ctl, "iothread");
    }
}

static void add_type(json_object *type, void *completion)
{
    add_member(completion, type, "name", "type");
}

void completion_add_types(Completion *completion, const Ctl *ctl)
{
    foreach_answer(ctl, "qom-list-types", "implements", "user-creatable", add_type, completion);
}

/* ---- name=value ---- */

/* Whether a word of @given is "name=...". */
static bool is_given(char **given, const char *name)
{
    size_t length = strlen(name);

    for (; *given; given++) {
        if (strncmp(*given, name, length) == 0 && (*given)[length] == '=') {
            return true;
        }
    }
    return false;
}

static void add_name(Completion *completion, char **given, const char *name, const char *help)
{
    g_autofree char *text = g_strconcat(name, "=", NULL);

    if (!is_given(given, name)) {
        completion_add(completion, text, help);
    }
}

static void add_values(Completion *completion, const Ctl *ctl, Client *client, const char *command,
                       json_object *arguments, const char *name)
{
    g_autoptr(Schema) schema = NULL;
    g_auto(GStrv) words = NULL;

    if (g_str_equal(name, OBJECT_PLACE)) {
        completion_add_loops(completion, ctl, false);
        completion_add(completion, "null", "the main loop");
        return;
    }
    schema = schema_new(client, NULL);
    words = schema ? schema_argument_words(schema, command, arguments, name) : NULL;
    for (char **word = words; word && *word; word++) {
        completion_add(completion, *word, NULL);
    }
}

static bool can_be_set(json_object *property, SetWhen when)
{
    bool never = json_object_get_boolean(json_member(property, "read-only"));
    bool at_first = json_object_get_boolean(json_member(property, "create-only"));

    return !never && (when == SET_ADD || !at_first) &&
           g_strcmp0(json_member_string(property, "name"), "type") != 0;
}

void completion_add_properties(Completion *completion, const Ctl *ctl, const char *type,
                               const char *id, SetWhen when, char **given)
{
    g_autoptr(Client) client = completion_connect(ctl);
    g_autofree char *found = client && !type ? object_type(client, id, NULL) : g_strdup(type);
    g_autofree char *name = take_name(completion);
    g_autoptr(json_object) tags = json_object_new_object();
    g_autoptr(json_object) list = NULL;

    if (!client || !found) {
        return;
    }
    if (name) {
        json_object_object_add(tags, "qom-type", json_object_new_string(found));
        add_values(completion, ctl, client, "object-add", tags, name);
        return;
    }
    list = ask(client, "qom-list-properties", "typename", found);
    for (size_t i = 0; list && i < json_object_array_length(list); i++) {
        json_object *property = json_object_array_get_idx(list, i);
        const char *property_name = json_member_string(property, "name");

        if (property_name && can_be_set(property, when)) {
            add_name(completion, given, property_name, json_member_string(property, "description"));
        }
    }
}

/* ---- the schema's names ---- */

static void add_entity(const char *name, void *completion)
{
    completion_add(completion, name, NULL);
}

void completion_add_names(Completion *completion, const Ctl *ctl, const char *meta_type)
{
    g_autoptr(Client) client = completion_connect(ctl);
    g_autoptr(Schema) schema = client ? schema_new(client, NULL) : NULL;

    if (schema) {
        schema_foreach_name(schema, meta_type, add_entity, completion);
    }
}

void completion_add_oob_commands(Completion *completion, const Ctl *ctl)
{
    g_autoptr(Client) client = completion_connect(ctl);
    g_autoptr(Schema) schema = client ? schema_new(client, NULL) : NULL;

    if (schema) {
        schema_foreach_oob_command(schema, add_entity, completion);
    }
}

typedef struct ArgumentNames {
    Completion *completion;
    char **given;
} ArgumentNames;

static void add_argument(const char *name, void *opaque)
{
    ArgumentNames *names = opaque;

    add_name(names->completion, names->given, name, NULL);
}

void completion_add_event_members(Completion *completion, const Ctl *ctl, const char *event)
{
    char *none[] = { NULL };
    ArgumentNames names = { completion, none };
    g_autoptr(Client) client = completion_connect(ctl);
    g_autoptr(Schema) schema = client ? schema_new(client, NULL) : NULL;

    if (schema) {
        schema_foreach_event_member(schema, event, add_argument, &names);
    }
}

void completion_add_arguments(Completion *completion, const Ctl *ctl, const char *command,
                              char **given)
{
    ArgumentNames names = { completion, given };
    g_autoptr(Client) client = completion_connect(ctl);
    g_autofree char *name = take_name(completion);
    g_autoptr(json_object) arguments = json_object_new_object();
    g_autoptr(Schema) schema = NULL;

    if (!client || !arguments_add_words(arguments, given, NULL)) {
        return;
    }
    if (name) {
        add_values(completion, ctl, client, command, arguments, name);
        return;
    }
    schema = schema_new(client, NULL);
    if (schema) {
        schema_foreach_argument(schema, command, arguments, add_argument, &names);
    }
}
