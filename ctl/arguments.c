/*
 * Words to values: the syntax of key=value, and what a word of each type looks like.
 */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "ctl/arguments.h"
#include "ctl/error.h"
#include "ctl/input.h"
#include "ctl/signals.h"

/* ---- values ---- */

/* The whole range of 64 bits, signed or unsigned: which of it is good is for the daemon to say. */
static bool int_from_word(const char *word, json_object **value)
{
    gint64 number;
    guint64 large;

    if (g_ascii_string_to_signed(word, 10, G_MININT64, G_MAXINT64, &number, NULL)) {
        *value = json_object_new_int64(number);
    } else if (g_ascii_string_to_unsigned(word, 10, 0, G_MAXUINT64, &large, NULL)) {
        *value = json_object_new_uint64(large);
    } else {
        return false;
    }
    return true;
}

static bool bool_from_word(const char *word, json_object **value)
{
    static const char *const yes[] = { "on", "true", "yes", NULL };
    static const char *const no[] = { "off", "false", "no", NULL };

    if (!g_strv_contains(yes, word) && !g_strv_contains(no, word)) {
        return false;
    }
    *value = json_object_new_boolean(g_strv_contains(yes, word));
    return true;
}

static bool json_has_type(json_object *value, ValueType type)
{
    switch (type) {
    case VALUE_NUMBER:
        return json_object_is_type(value, json_type_int) ||
               json_object_is_type(value, json_type_double);
    case VALUE_NULL:
        return json_object_is_type(value, json_type_null);
    case VALUE_ARRAY:
        return json_object_is_type(value, json_type_array);
    case VALUE_OBJECT:
        return json_object_is_type(value, json_type_object);
    default:
        return type == VALUE_ANY;
    }
}

bool value_from_word(ValueType type, const char *word, json_object **value)
{
    g_autoptr(json_object) parsed = NULL;

    if (type == VALUE_INT) {
        return int_from_word(word, value);
    }
    if (type == VALUE_BOOL) {
        return bool_from_word(word, value);
    }
    if (type != VALUE_STRING && json_from_text(word, &parsed, NULL) &&
        json_has_type(parsed, type)) {
        *value = g_steal_pointer(&parsed);
        return true;
    }
    if (type == VALUE_STRING || type == VALUE_ANY) {
        *value = json_object_new_string(word);
        return true;
    }
    return false;
}

/* ---- words ---- */

bool arguments_add_words(json_object *arguments, char **words, GError **errp)
{
    for (; *words; words++) {
        const char *equals = strchr(*words, '=');
        g_autofree char *key = NULL;

        if (!g_utf8_validate(*words, -1, NULL)) {
            g_autofree char *valid = g_utf8_make_valid(*words, -1);

            g_set_error(errp, CTL_ERROR, CTL_ERROR_USAGE, "'%s' is not UTF-8", valid);
            return false;
        }
        if (!equals || equals == *words) {
            g_set_error(errp, CTL_ERROR, CTL_ERROR_USAGE, "'%s' is not of the form key=value",
                        *words);
            return false;
        }
        key = g_strndup(*words, (gsize)(equals - *words));
        if (json_object_object_get_ex(arguments, key, NULL)) {
            g_set_error(errp, CTL_ERROR, CTL_ERROR_USAGE, "'%s' is given twice", key);
            return false;
        }
        json_object_object_add(arguments, key, json_object_new_string(equals + 1));
    }
    return true;
}

bool arguments_is_json(const char *word)
{
    return g_str_equal(word, "-") || word[strspn(word, " \t\r\n")] == '{';
}

/* ---- JSON ---- */

/* Where Ctrl-C does not end the program, wait until there is something to read from @fd. False and
 * @errp when it comes. */
static bool wait_for_input(int fd, GError **errp)
{
    struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
    const sigset_t *mask = signals_interrupt_mask();

    while (mask && ppoll(&poll_fd, 1, NULL, mask) < 0 && errno == EINTR) {
        if (signals_interrupted()) {
            g_set_error(errp, CTL_ERROR, CTL_ERROR_INTERRUPTED, CTL_INTERRUPTED);
            return false;
        }
    }
    return true;
}

/* As read(). -1 and @errp on failure. */
static ssize_t read_input(int fd, char *buffer, size_t size, GError **errp)
{
    ssize_t n;

    do {
        if (!wait_for_input(fd, errp)) {
            return -1;
        }
        n = read(fd, buffer, size);
    } while (n < 0 && (errno == EINTR || (errno == EAGAIN && signals_interrupt_mask())));
    if (n < 0) {
        g_set_error(errp, CTL_ERROR, CTL_ERROR_USAGE, "cannot read stdin: %s", g_strerror(errno));
    }
    return n;
}

char *arguments_read_stdin(GError **errp)
{
    g_autoptr(GString) text = g_string_new(NULL);
    int fd = signals_interrupt_mask() ? input_open() : STDIN_FILENO;
    char buffer[16 * 1024];
    ssize_t n;

    while ((n = read_input(fd, buffer, sizeof(buffer), errp)) > 0) {
        g_string_append_len(text, buffer, n);
    }
    input_close(fd);
    if (n < 0) {
        return NULL;
    }
    if (strlen(text->str) != text->len) {
        g_set_error(errp, CTL_ERROR, CTL_ERROR_USAGE, "stdin is not JSON: it has a NUL byte");
        return NULL;
    }
    return g_string_free(g_steal_pointer(&text), FALSE);
}

json_object *arguments_from_json(const char *text, GError **errp)
{
    g_autoptr(json_object) arguments = NULL;
    g_autofree char *input = NULL;

    if (g_str_equal(text, "-")) {
        input = arguments_read_stdin(errp);
        if (!input) {
            return NULL;
        }
        text = input;
    }
    if (!json_from_text(text, &arguments, errp)) {
        g_prefix_error(errp, "the arguments: ");
        return NULL;
    }
    if (!json_object_is_type(arguments, json_type_object)) {
        g_set_error(errp, CTL_ERROR, CTL_ERROR_USAGE, "the arguments are not a JSON object");
        return NULL;
    }
    return g_steal_pointer(&arguments);
}
