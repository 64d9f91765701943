/*
 * Strict parsing of one JSON value, and access to members that may be missing or of another type
 * than expected: what comes from the other side of a socket is not trusted to have a shape.
 */
#include <limits.h>
#include <string.h>

#include "ctl/error.h"
#include "ctl/json.h"

/*
 * Even when strict, json-c takes NaN, Infinity and keys in single quotes, and makes an integer of
 * more than 64 bits the largest that fits. Look for these in @text, which json-c has understood.
 * NULL when all is well, else the bad word.
 */
static char *find_bad_word(const char *text)
{
    static const char *const literals[] = { "true", "false", "null", NULL };

    while (*text) {
        size_t number = strspn(text, "+-.0123456789eE");
        size_t letters = strspn(text, G_CSET_a_2_z G_CSET_A_2_Z);
        g_autofree char *word = g_strndup(text, MAX(number, letters));

        if (*text == '"') {
            for (text++; *text && *text != '"'; text++) {
                text += *text == '\\' && text[1];
            }
            text += *text == '"';
        } else if (*text == '\'') {
            return g_strdup("'");
        } else if (letters > 0) {
            if (!g_strv_contains(literals, word)) {
                return g_steal_pointer(&word);
            }
            text += letters;
        } else if (number > 0) {
            if (!strpbrk(word, ".eE") &&
                !g_ascii_string_to_signed(word, 10, G_MININT64, G_MAXINT64, NULL, NULL) &&
                !g_ascii_string_to_unsigned(word, 10, 0, G_MAXUINT64, NULL, NULL)) {
                return g_steal_pointer(&word);
            }
            text += number;
        } else {
            text++;
        }
    }
    return NULL;
}

bool json_from_text(const char *text, json_object **value, GError **errp)
{
    g_autoptr(json_tokener) tokener = json_tokener_new_ex(JSON_MAX_DEPTH);
    g_autoptr(json_object) parsed = NULL;
    g_autofree char *bad_word = NULL;
    size_t size = strlen(text) + 1; /* with the NUL, at which the tokener ends a number */
    enum json_tokener_error error;

    if (size > INT_MAX) {
        g_set_error(errp, CTL_ERROR, CTL_ERROR_USAGE, "the JSON text is longer than 2 GiB");
        return false;
    }
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    parsed = json_tokener_parse_ex(tokener, text, (int)size);
    error = json_tokener_get_error(tokener);
    if (error == json_tokener_continue) {
        error = json_tokener_error_parse_eof;
    }
    if (error != json_tokener_success) {
        g_set_error(errp, CTL_ERROR, CTL_ERROR_USAGE, "%s at byte %zu of the JSON text",
                    json_tokener_error_desc(error), json_tokener_get_parse_end(tokener) + 1);
        return false;
    }
    bad_word = find_bad_word(text);
    if (bad_word) {
        g_set_error(errp, CTL_ERROR, CTL_ERROR_USAGE,
                    "\"%s\" is not JSON, or an integer of more than 64 bits", bad_word);
        return false;
    }
    *value = g_steal_pointer(&parsed);
    return true;
}

json_object *json_member(json_object *object, const char *name)
{
    json_object *member = NULL;

    if (!json_object_is_type(object, json_type_object) ||
        !json_object_object_get_ex(object, name, &member)) {
        return NULL;
    }
    return member;
}

const char *json_member_string(json_object *object, const char *name)
{
    json_object *member = json_member(object, name);

    return json_object_is_type(member, json_type_string) ? json_object_get_string(member) : NULL;
}

json_object *json_member_array(json_object *object, const char *name)
{
    json_object *member = json_member(object, name);

    return json_object_is_type(member, json_type_array) ? member : NULL;
}
