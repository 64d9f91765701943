/*
 * Makes evloopd-qmp(7) out of the tables: qmp-page TEMPLATE EXAMPLES, the page to standard output.
 *
 * A line of the template that is @COMMANDS@ or @EVENTS@ stands for what the tables say; all others
 * are the page's own. The examples are one for each command and event, none left out and none too
 * many; how their file is written is said at its beginning. The build runs this program, and nobody
 * installs it.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/commands.h"

static GHashTable *examples; /* name -> char *, the lines; those that are printed are taken out */

static void fail(const char *what, const char *name) G_GNUC_NORETURN;

static void fail(const char *what, const char *name)
{
    fprintf(stderr, "qmp-page: %s: %s\n", what, name);
    exit(EXIT_FAILURE);
}

/* ---- words of mdoc ---- */

/* Print @text so that it comes out as it is, and can be copied from the page. */
static void print_literal(const char *text)
{
    for (const char *p = text; *p; p++) {
        switch (*p) {
        case '\\':
            printf("\\e");
            break;
        case '-':
            printf("\\-");
            break;
        case '\'':
            printf("\\(aq");
            break;
        case '`':
            printf("\\(ga");
            break;
        case '^':
            printf("\\(ha");
            break;
        case '~':
            printf("\\(ti");
            break;
        case '"':
            printf("\\(dq");
            break;
        default:
            putchar(*p);
        }
    }
}

/* A line of the help, which becomes a sentence. */
static void print_sentence(const char *help)
{
    g_autofree char *text = g_strdup(help);

    text[0] = g_ascii_toupper(text[0]);
    /* What a line begins with could be taken for a request. */
    printf("\\&");
    print_literal(text);
    printf(".\n");
}

/* ---- types ---- */

static void append_values(GString *out, const QmpType *type)
{
    for (int i = 0; type->values[i]; i++) {
        g_string_append_printf(out, "%s%s", i > 0 ? ", " : "", type->values[i]);
    }
}

/* What the elements of an array are called. */
static void append_plural(GString *out, const QmpType *type)
{
    static const char *const names[] = {
        [QMP_KIND_ANY] = "any values",
        [QMP_KIND_BOOL] = "booleans",
        [QMP_KIND_INT] = "integers",
        [QMP_KIND_STR] = "strings",
        [QMP_KIND_ENUM] = "values out of ",
        [QMP_KIND_OBJECT] = "objects",
        [QMP_KIND_ARRAY] = "arrays of ",
        [QMP_KIND_NULL] = "nulls",
        [QMP_KIND_STR_OR_NULL] = "strings or nulls",
    };

    g_string_append(out, names[type->kind]);
    if (type->kind == QMP_KIND_ENUM) {
        append_values(out, type);
    } else if (type->kind == QMP_KIND_ARRAY) {
        append_plural(out, type->element);
    }
}

static void append_type(GString *out, const QmpType *type)
{
    static const char *const names[] = {
        [QMP_KIND_ANY] = "any value",
        [QMP_KIND_BOOL] = "boolean",
        [QMP_KIND_INT] = "integer",
        [QMP_KIND_STR] = "string",
        [QMP_KIND_ENUM] = "one of ",
        [QMP_KIND_OBJECT] = "object",
        [QMP_KIND_ARRAY] = "array of ",
        [QMP_KIND_NULL] = "null",
        [QMP_KIND_STR_OR_NULL] = "string or null",
    };

    g_string_append(out, names[type->kind]);
    if (type->kind == QMP_KIND_ENUM) {
        append_values(out, type);
    } else if (type->kind == QMP_KIND_ARRAY) {
        append_plural(out, type->element);
    }
}

static void append_range(GString *out, const QmpMember *member)
{
    if (member->min == 0 && member->max == 0) {
        return;
    }
    if (member->type->kind != QMP_KIND_INT) {
        g_string_append_printf(out, " of at most %" G_GINT64_FORMAT " bytes", member->max);
        return;
    }
    g_string_append_printf(out, " from %" G_GINT64_FORMAT, member->min);
    if (member->max != INT64_MAX) {
        g_string_append_printf(out, " to %" G_GINT64_FORMAT, member->max);
    }
}

/* A default that could not be given stands for there being none. */
static bool has_default(const QmpMember *member, json_object *value)
{
    g_autoptr(GError) error = NULL;

    return value && qmp_check_member(member, value, &error);
}

static void append_features(GString *out, unsigned features)
{
    g_string_append(out, features & QMP_FEATURE_DEPRECATED ? "; deprecated" : "");
    g_string_append(out, features & QMP_FEATURE_UNSTABLE ? "; unstable" : "");
}

/* What there is to know of @member of @whole beside what it is for. */
static char *describe_member(const QmpMember *member, const QmpType *whole)
{
    GString *out = g_string_new(NULL);

    append_type(out, member->type);
    append_range(out, member);
    if (qmp_member_is_optional(whole, member)) {
        json_object *value = qmp_member_default(member);

        g_string_append(out, "; optional");
        if (has_default(member, value)) {
            g_string_append_printf(out, ", default %s",
                                   json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN));
        }
        json_object_put(value);
    }
    if ((member->flags & QMP_MEMBER_CREATE_ONLY) && !whole->is_result) {
        g_string_append(out, "; cannot be changed later");
    }
    append_features(out, member->features);
    return g_string_free(out, FALSE);
}

/* The object type of which @type's values are made up, or NULL. */
static const QmpType *object_in(const QmpType *type)
{
    while (type->kind == QMP_KIND_ARRAY) {
        type = type->element;
    }
    return type->kind == QMP_KIND_OBJECT ? type : NULL;
}

static bool has_members(const QmpType *type)
{
    return (type->members && type->members->name) || (type->base && has_members(type->base));
}

static void print_object(const QmpType *type);

static void print_members(const QmpType *type, const QmpType *whole)
{
    if (type->base) {
        print_members(type->base, whole);
    }
    for (const QmpMember *member = type->members; member && member->name; member++) {
        g_autofree char *description = NULL;
        const QmpType *object = object_in(member->type);

        if ((member->flags & QMP_MEMBER_READ_ONLY) && !whole->is_result) {
            continue;
        }
        description = describe_member(member, whole);
        printf(".It Li \\&");
        print_literal(member->name);
        printf(" Pq \"");
        print_literal(description);
        printf("\"\n");
        print_sentence(member->help);
        if (object && has_members(object)) {
            print_object(object);
        }
    }
}

/* The members that a value of the tag adds. */
static void print_variant(const QmpMember *tag, const char *value, const QmpType *variant)
{
    printf(".Pp\nWith\n.Li \\&");
    print_literal(tag->name);
    printf("\nbeing\n.Li \\&");
    print_literal(value);
    printf(" :\n");
    print_object(variant);
}

/* The members of an object type, and those of its variants. */
static void print_object(const QmpType *type)
{
    printf(".Bl -tag -width Ds\n");
    print_members(type, type);
    printf(".El\n");
    if (type->variants) {
        const QmpMember *tag = qmp_type_find_member(type, type->variants->tag);

        for (int i = 0; tag->type->values[i]; i++) {
            const QmpType *variant = type->variants->get(i);

            if (variant && has_members(variant)) {
                print_variant(tag, tag->type->values[i], variant);
            }
        }
    }
}

/* ---- examples ---- */

static void read_examples(const char *path)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = NULL;
    g_auto(GStrv) parts = NULL;

    if (!g_file_get_contents(path, &text, NULL, &error)) {
        fail("examples", error->message);
    }
    examples = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    parts = g_strsplit(text, "\n= ", -1);
    /* Before the first is what the file says of itself. */
    for (char **part = parts[0] ? parts + 1 : parts; *part; part++) {
        char *end = strchr(*part, '\n');

        if (!end) {
            fail("an example is empty", *part);
        }
        if (!g_hash_table_insert(examples, g_strndup(*part, (gsize)(end - *part)),
                                 g_strchomp(g_strdup(end + 1)))) {
            fail("there are two examples", *part);
        }
    }
}

static void print_example(const char *name)
{
    const char *text = g_hash_table_lookup(examples, name);

    if (!text) {
        fail("there is no example", name);
    }
    printf(".Bd -literal -offset indent\n\\&");
    print_literal(text);
    printf("\n.Ed\n");
    g_hash_table_remove(examples, name);
}

/* ---- commands and events ---- */

static void print_heading(const char *name, const char *help)
{
    printf(".Ss \\&");
    print_literal(name);
    printf("\n");
    print_sentence(help);
}

static void print_features(unsigned features)
{
    if (features & QMP_FEATURE_DEPRECATED) {
        printf("It is deprecated, and will go.\n");
    }
    if (features & QMP_FEATURE_UNSTABLE) {
        printf("It is unstable: it may change or go without notice.\n");
    }
}

static void print_result(const QmpType *type)
{
    static const char *const articles[] = {
        [QMP_KIND_ANY] = "",      [QMP_KIND_BOOL] = "a ", [QMP_KIND_INT] = "an ",
        [QMP_KIND_STR] = "a ",    [QMP_KIND_ENUM] = "",   [QMP_KIND_OBJECT] = "an ",
        [QMP_KIND_ARRAY] = "an ", [QMP_KIND_NULL] = "",   [QMP_KIND_STR_OR_NULL] = "a ",
    };
    const QmpType *object = object_in(type);
    g_autoptr(GString) out = g_string_new(articles[type->kind]);

    if (type->kind == QMP_KIND_OBJECT && !has_members(type)) {
        printf(".Pp\nResult: an empty object.\n");
        return;
    }
    append_type(out, type);
    printf(".Pp\nResult: ");
    print_literal(out->str);
    printf(object ? ":\n" : ".\n");
    if (object) {
        print_object(object);
    }
}

static void print_command(const QmpCommand *command, void *unused)
{
    print_heading(command->name, command->help);
    if (command->flags & QMP_COMMAND_TAKES_FD) {
        printf("It takes a descriptor that is sent along.\n");
    }
    if (command->flags & QMP_COMMAND_ALLOW_OOB) {
        printf("It may be run out-of-band.\n");
    }
    if (command->flags & QMP_COMMAND_READ_ONLY) {
        printf("Sessions that may only read may run it.\n");
    }
    print_features(command->features);
    if (has_members(command->args)) {
        printf(".Pp\nArguments:\n");
        print_object(command->args);
    } else {
        printf(".Pp\nIt has no arguments.\n");
    }
    print_result(command->ret);
    if (command->errors) {
        printf(".Pp\nErrors: ");
        print_literal(command->errors);
        printf(".\n");
    }
    print_example(command->name);
}

static void print_event(const QmpEvent *event, void *unused)
{
    print_heading(event->name, event->help);
    print_features(event->features);
    if (event->limit_ms > 0) {
        printf("At most one");
        if (event->limit_by) {
            printf(" with the same\n.Li \\&");
            print_literal(event->limit_by);
            printf("\n");
        } else {
            printf(" ");
        }
        printf("is sent in %u ms; %s.\n", event->limit_ms,
               event->adds_up
                   ? "what comes too early is added up, and told late, or when its object goes"
                   : "of those that come too early, the last is sent late");
    }
    if (has_members(event->data)) {
        printf(".Pp\nData:\n");
        print_object(event->data);
    } else {
        printf(".Pp\nIt has no data.\n");
    }
    print_example(event->name);
}

int main(int argc, char **argv)
{
    const DaemonOffer offer = { .debug_commands = true };
    g_autoptr(QmpRegistry) registry = qmp_registry_new();
    g_autoptr(GError) error = NULL;
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    GHashTableIter iter;
    gpointer name;

    if (argc != 3) {
        fail("usage", "qmp-page TEMPLATE EXAMPLES");
    }
    if (!g_file_get_contents(argv[1], &text, NULL, &error)) {
        fail("template", error->message);
    }
    read_examples(argv[2]);
    daemon_register(registry, &offer);
    lines = g_strsplit(g_strchomp(text), "\n", -1);
    for (char **line = lines; *line; line++) {
        if (strcmp(*line, "@COMMANDS@") == 0) {
            qmp_registry_foreach_command(registry, print_command, NULL);
        } else if (strcmp(*line, "@EVENTS@") == 0) {
            qmp_registry_foreach_event(registry, print_event, NULL);
        } else {
            printf("%s\n", *line);
        }
    }
    g_hash_table_iter_init(&iter, examples);
    if (g_hash_table_iter_next(&iter, &name, NULL)) {
        fail("there is an example of something that there is not", name);
    }
    g_hash_table_unref(examples);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fail("cannot write", "standard output");
    }
    return EXIT_SUCCESS;
}
