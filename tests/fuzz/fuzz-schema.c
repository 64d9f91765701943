/*
 * Fuzz target: the schema checker and binding, with the table of every command.
 *
 * An input that begins with '{' is JSON text: each value in it is taken as a request and as the
 * arguments of every command. Any other input is a recipe: its bytes choose a command and build
 * arguments by the command's own table, some as the table has it and some not, so that it is known
 * whether they must be accepted. What is accepted is bound, copied and turned into JSON again,
 * which must be the values that went in, and defaults for the rest.
 */
#include "tests/fuzz/fuzz.h"

#include <stdbool.h>
#include <string.h>

#include "daemon/commands.h"
#include "qmp/qmp-error.h"
#include "qmp/qmp-json.h"
#include "qmp/qmp-request.h"

static QmpRegistry *registry;
static GPtrArray *argument_types; /* of const QmpType: the arguments of each command */

/* ---- checking and binding ---- */

static bool is_given(const QmpMember *member, json_object *value, json_object **given)
{
    return json_object_object_get_ex(value, member->name, given);
}

/* The bound members say what @value says, and defaults where it says nothing. */
static void check_members(const QmpType *type, json_object *value, const void *data)
{
    if (type->base) {
        check_members(type->base, value, data);
    }
    for (const QmpMember *member = type->members; member && member->name; member++) {
        g_autoptr(json_object) fallback = qmp_member_default(member);
        g_autoptr(json_object) bound = NULL;
        json_object *given;

        if (is_given(member, value, &given)) {
            bound = qmp_marshal_member(member, data);
            fuzz_assert(json_object_equal(bound, given));
        } else if (fallback) {
            bound = qmp_marshal_member(member, data);
            fuzz_assert(json_object_equal(bound, fallback));
        }
    }
}

/* @value has been accepted for @type. */
static void check_binding(const QmpType *type, json_object *value)
{
    size_t size = MAX(type->size, 1);
    void *data = g_malloc0(size);
    void *copy = g_malloc(size);

    qmp_bind(type, value, data);
    check_members(type, value, data);
    qmp_bind_copy(type, data, copy);
    qmp_unbind(type, data);
    check_members(type, value, copy);
    qmp_unbind(type, copy);
    g_free(data);
    g_free(copy);
}

/* Whether @value is accepted; when not, there is a text that says why. */
static bool check_and_bind(const QmpType *type, json_object *value)
{
    g_autoptr(GError) error = NULL;

    if (qmp_check_object(type, value, &error)) {
        fuzz_assert(!error);
        check_binding(type, value);
        return true;
    }
    fuzz_assert(error && g_str_has_prefix(error->message, "Parameter '"));
    fuzz_assert(strcmp(qmp_error_class(error), "GenericError") == 0);
    return false;
}

/* ---- JSON text ---- */

static void take_no_reply(QmpRequest *request, json_object *value, const GError *error,
                          void *opaque)
{
    fuzz_fail("a request that was not run was answered");
}

static void try_value(json_object *value, GError *error, void *opaque)
{
    if (error) {
        g_error_free(error);
        return;
    }
    for (guint i = 0; i < argument_types->len; i++) {
        check_and_bind(g_ptr_array_index(argument_types, i), value);
    }
    qmp_request_free(qmp_request_new(registry, value, take_no_reply, NULL));
}

static void try_text(const uint8_t *data, size_t size)
{
    g_autoptr(QmpJsonParser) parser = qmp_json_parser_new(NULL, try_value, NULL);

    qmp_json_parser_feed(parser, (const char *)data, size);
    qmp_json_parser_finish(parser);
}

/* ---- recipes ---- */

typedef struct Recipe {
    const uint8_t *data;
    size_t left;
    bool valid; /* what has been built so far must be accepted */
} Recipe;

/* The next byte, 0 at the end. */
static uint8_t take(Recipe *recipe)
{
    if (recipe->left == 0) {
        return 0;
    }
    recipe->left--;
    return *recipe->data++;
}

static int64_t take_int64(Recipe *recipe)
{
    uint64_t value = 0;

    for (int i = 0; i < 8; i++) {
        value = value << 8 | take(recipe);
    }
    return (int64_t)value;
}

/* Text of up to 15 bytes. */
static json_object *take_str(Recipe *recipe)
{
    char text[16];
    int len = take(recipe) % (int)sizeof(text);

    for (int i = 0; i < len; i++) {
        text[i] = (char)take(recipe);
    }
    return json_object_new_string_len(text, len);
}

/* As long as may be, or one byte longer. */
static json_object *build_long_str(Recipe *recipe, const QmpMember *range)
{
    bool too_long = take(recipe) % 2 > 0;
    size_t len = (size_t)range->max + too_long;
    g_autofree char *text = g_strnfill(len, 'x');

    recipe->valid &= !too_long;
    return json_object_new_string_len(text, (int)len);
}

/* The tables' strings may hold any byte but NUL. */
static json_object *build_str(Recipe *recipe, const QmpMember *range)
{
    json_object *value;

    if (range && range->max > 0 && take(recipe) % 4 == 0) {
        return build_long_str(recipe, range);
    }
    value = take_str(recipe);
    recipe->valid &=
        strlen(json_object_get_string(value)) == (size_t)json_object_get_string_len(value);
    return value;
}

static json_object *build_int(Recipe *recipe, const QmpMember *range)
{
    bool bounded = range && (range->min != 0 || range->max != 0);
    int64_t min = bounded ? range->min : INT64_MIN;
    int64_t max = bounded ? range->max : INT64_MAX;
    int64_t value;

    switch (take(recipe) % 6) {
    case 0:
        value = min;
        break;
    case 1:
        value = max;
        break;
    case 2:
        value = min != INT64_MIN ? min - 1 : 0;
        break;
    case 3:
        value = max != INT64_MAX ? max + 1 : 0;
        break;
    case 4:
        /* One more than an int64_t holds; a double is no integer either. */
        recipe->valid = false;
        return json_object_new_uint64((uint64_t)INT64_MAX + 1);
    default:
        value = take_int64(recipe);
        break;
    }
    recipe->valid &= value >= min && value <= max;
    return json_object_new_int64(value);
}

static json_object *build_enum(Recipe *recipe, const QmpType *type)
{
    int count = 0;
    int index;

    while (type->values[count]) {
        count++;
    }
    index = take(recipe) % (count + 1);
    if (index < count) {
        return json_object_new_string(type->values[index]);
    }
    recipe->valid = false;
    return json_object_new_string("no-such-value");
}

static json_object *build_object(Recipe *recipe, const QmpType *type);

/* A value that @type takes, or nearly. */
static json_object *build_value(Recipe *recipe, const QmpType *type, const QmpMember *range)
{
    json_object *value;

    switch (type->kind) {
    case QMP_KIND_ANY:
        return take_str(recipe);
    case QMP_KIND_BOOL:
        return json_object_new_boolean(take(recipe) & 1);
    case QMP_KIND_INT:
        return build_int(recipe, range);
    case QMP_KIND_NULL:
        return NULL;
    case QMP_KIND_STR:
        return build_str(recipe, range);
    case QMP_KIND_STR_OR_NULL:
        return take(recipe) & 1 ? build_str(recipe, range) : NULL;
    case QMP_KIND_ENUM:
        return build_enum(recipe, type);
    case QMP_KIND_OBJECT:
        return build_object(recipe, type);
    case QMP_KIND_ARRAY:
        value = json_object_new_array();
        for (int i = take(recipe) % 4; i > 0; i--) {
            json_object_array_add(value, build_value(recipe, type->element, NULL));
        }
        return value;
    }
    g_assert_not_reached();
}

/* A value of a kind that @type does not take. */
static json_object *build_wrong_value(Recipe *recipe, const QmpType *type)
{
    static const QmpKind kinds[] = { QMP_KIND_BOOL, QMP_KIND_INT, QMP_KIND_STR, QMP_KIND_OBJECT,
                                     QMP_KIND_ARRAY };
    QmpKind kind = kinds[take(recipe) % G_N_ELEMENTS(kinds)];
    bool is_string = type->kind == QMP_KIND_ENUM || type->kind == QMP_KIND_STR_OR_NULL;
    QmpKind right = is_string ? QMP_KIND_STR : type->kind;

    recipe->valid &= type->kind == QMP_KIND_ANY;
    if (kind == right) {
        return type->kind == QMP_KIND_STR_OR_NULL ? json_object_new_boolean(true) : NULL;
    }
    switch (kind) {
    case QMP_KIND_BOOL:
        return json_object_new_boolean(true);
    case QMP_KIND_INT:
        return json_object_new_double(1.5);
    case QMP_KIND_STR:
        return json_object_new_string("1");
    case QMP_KIND_OBJECT:
        return json_object_new_object();
    default:
        return json_object_new_array();
    }
}

static void build_member(Recipe *recipe, const QmpType *type, const QmpMember *member,
                         json_object *object)
{
    bool read_only = (member->flags & QMP_MEMBER_READ_ONLY) != 0;
    uint8_t choice = take(recipe) % 16;

    if (choice == 15) {
        json_object_object_add(object, member->name, build_wrong_value(recipe, member->type));
        recipe->valid &= !read_only;
    } else if (choice == 14 || (choice & 1 && qmp_member_is_optional(type, member)) || read_only) {
        recipe->valid &= read_only || qmp_member_is_optional(type, member);
    } else {
        json_object_object_add(object, member->name, build_value(recipe, member->type, member));
    }
}

static void build_members(Recipe *recipe, const QmpType *type, json_object *object)
{
    if (type->base) {
        build_members(recipe, type->base, object);
    }
    for (const QmpMember *member = type->members; member && member->name; member++) {
        build_member(recipe, type, member, object);
    }
}

static json_object *build_object(Recipe *recipe, const QmpType *type)
{
    json_object *object = json_object_new_object();

    build_members(recipe, type, object);
    if (type->variants) {
        const QmpMember *tag = qmp_type_find_member(type, type->variants->tag);
        json_object *value = json_object_object_get(object, tag->name);
        const char *text = json_object_get_string(value);
        int index = text ? qmp_enum_parse(tag->type, text) : -1;
        const QmpType *variant = index >= 0 ? type->variants->get(index) : NULL;

        if (variant) {
            build_members(recipe, variant, object);
        }
    }
    if (take(recipe) % 16 == 15) {
        json_object_object_add(object, "no-such-member", NULL);
        recipe->valid = false;
    }
    return object;
}

static void try_recipe(const uint8_t *data, size_t size)
{
    Recipe recipe = { .data = data, .left = size, .valid = true };
    const QmpType *type =
        g_ptr_array_index(argument_types, take(&recipe) % (uint8_t)argument_types->len);
    json_object *arguments = build_object(&recipe, type);

    if (check_and_bind(type, arguments) != recipe.valid) {
        fuzz_fail("%s: %s %s", type->name, recipe.valid ? "refused" : "accepted",
                  json_object_to_json_string(arguments));
    }
    json_object_put(arguments);
}

/* ---- libFuzzer's functions ---- */

static void add_argument_type(const QmpCommand *command, void *types)
{
    if (!g_ptr_array_find(types, command->args, NULL)) {
        g_ptr_array_add(types, (gpointer)command->args);
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    /* No command is run, so they may be about nothing. */
    const DaemonOffer offer = { .debug_commands = true };

    fuzz_log_init();
    registry = qmp_registry_new();
    daemon_register(registry, &offer);
    argument_types = g_ptr_array_new();
    qmp_registry_foreach_command(registry, add_argument_type, argument_types);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0 && data[0] == '{') {
        try_text(data, size);
    } else {
        try_recipe(data, size);
    }
    return 0;
}
