/*
 * --object: what it stands for as arguments of object-add.
 */
#include "config.h"
#include "daemon/options.h"

#include <string.h>

#include "objects/object-types.h"
#include "qmp/qmp-error.h"

/* ---- JSON ---- */

typedef struct JsonOption {
    json_object *value;
    GError *error;
    unsigned count;
} JsonOption;

static void take_value(json_object *value, GError *error, void *opaque)
{
    JsonOption *option = opaque;

    option->count++;
    if (option->error || option->value) {
        json_object_put(value);
        g_clear_error(&error);
        return;
    }
    option->value = value;
    option->error = error;
}

static json_object *parse_json(const char *text, GError **errp)
{
    JsonOption option = { 0 };
    g_autoptr(QmpJsonParser) parser = qmp_json_parser_new(NULL, take_value, &option);

    qmp_json_parser_feed(parser, text, strlen(text));
    qmp_json_parser_finish(parser);
    if (option.error) {
        g_propagate_error(errp, option.error);
        return NULL;
    }
    if (option.count != 1) {
        qmp_error_set(errp, "'%s' is more than one JSON value", text);
        json_object_put(option.value);
        return NULL;
    }
    return option.value;
}

/* ---- TYPE,PROPERTY=VALUE,... ---- */

static bool parse_bool(const char *text, bool *value)
{
    *value = strcmp(text, "on") == 0 || strcmp(text, "true") == 0;
    return *value || strcmp(text, "off") == 0 || strcmp(text, "false") == 0;
}

/* The JSON value that @text means for @member. What does not fit becomes a string: object-add
 * then says what was expected. */
static json_object *typed_value(const QmpMember *member, const char *text)
{
    gint64 number;
    bool truth;

    if (member && member->type->kind == QMP_KIND_INT &&
        g_ascii_string_to_signed(text, 10, G_MININT64, G_MAXINT64, &number, NULL)) {
        return json_object_new_int64(number);
    }
    if (member && member->type->kind == QMP_KIND_BOOL && parse_bool(text, &truth)) {
        return json_object_new_boolean(truth);
    }
    return json_object_new_string(text);
}

static json_object *parse_key_values(const char *text, GError **errp)
{
    g_auto(GStrv) parts = option_split(text);
    const ObjectType *type = object_type_find(parts[0]);
    g_autoptr(json_object) arguments = json_object_new_object();

    json_object_object_add(arguments, object_type_variants.tag, json_object_new_string(parts[0]));
    for (char **part = parts + 1; *part; part++) {
        char *equals = strchr(*part, '=');
        const QmpMember *member;

        if (!equals) {
            qmp_error_set(errp, "'%s' is unexpected, expected PROPERTY=VALUE", *part);
            return NULL;
        }
        *equals = '\0';
        if (json_object_object_get_ex(arguments, *part, NULL)) {
            qmp_error_set(errp, "'%s' is given twice", *part);
            return NULL;
        }
        member = type ? qmp_type_find_member(type->properties, *part) : NULL;
        json_object_object_add(arguments, *part, typed_value(member, equals + 1));
    }
    return g_steal_pointer(&arguments);
}

json_object *object_option_parse(const char *text, GError **errp)
{
    if (!g_utf8_validate(text, -1, NULL)) {
        qmp_error_set(errp, "the text is not UTF-8");
        return NULL;
    }
    return text[0] == '{' ? parse_json(text, errp) : parse_key_values(text, errp);
}
