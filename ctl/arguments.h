/*
 * From the words of a command line to the arguments of a command.
 *
 * Words say no types, JSON does. The daemon knows each argument's type and is asked for it
 * (ctl/schema.h); a word that does not fit its type is passed on as a string, so that the one who
 * says what is wrong with it is the daemon.
 */
#ifndef CTL_ARGUMENTS_H
#define CTL_ARGUMENTS_H

#include <stdbool.h>
#include <glib.h>

#include "ctl/json.h"

G_BEGIN_DECLS

/* What an argument's value can be. */
typedef enum {
    VALUE_STRING, /* any word; enumerations too */
    VALUE_INT,
    VALUE_NUMBER,
    VALUE_BOOL, /* on, true, yes, off, false, no */
    VALUE_NULL,
    VALUE_ARRAY,  /* as JSON */
    VALUE_OBJECT, /* as JSON */
    VALUE_ANY,    /* any JSON; what is none is a string */
} ValueType;

/* Read @word as a value of @type. False when it does not fit; else the caller owns @value. */
bool value_from_word(ValueType type, const char *word, json_object **value);

/*
 * Add the words "key=value" up to the NULL at the end of @words to the object @arguments, all
 * values as strings. False and @errp for a word of another form, one that is not UTF-8, or a key
 * that is there already.
 */
bool arguments_add_words(json_object *arguments, char **words, GError **errp);

/* The arguments that @text, or stdin when it is "-", holds as one JSON object. NULL and @errp when
 * it does not. The caller owns it. */
json_object *arguments_from_json(const char *text, GError **errp);

/* All of stdin, in which there is no NUL; the caller frees it. NULL and @errp. */
char *arguments_read_stdin(GError **errp);

/* Whether @word stands for all arguments at once: a JSON object, or "-" for stdin. */
bool arguments_is_json(const char *word);

G_END_DECLS

#endif
