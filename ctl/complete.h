/*
 * What could come next on a command line: for the completion of shells.
 *
 * A shell calls "evloopctl complete -- WORD...", with the words typed so far after the program's
 * name, the last being the one to complete, which may be empty. The command line is walked as if it
 * were to be run, up to the command that the words name; there, in place of running it, what fits
 * is printed, a line each: what to type, a tab, and a word on it. Nothing fits is no error.
 */
#ifndef CTL_COMPLETE_H
#define CTL_COMPLETE_H

#include <glib.h>

#include "ctl/client.h"

G_BEGIN_DECLS

typedef struct Ctl Ctl;
typedef struct CtlCommand CtlCommand;

typedef struct Completion {
    const char *word;   /* what is typed of the word to complete */
    const char *option; /* the long name of the option whose value that is, or NULL */
    const char *prefix; /* what stands before it in the same word: "--option=", or "" */
    GString *found;     /* what to print */
} Completion;

/* What could come next on a command line of @program that has @words, and then a word of which
 * @word is typed: a line each, "CANDIDATE TAB HELP". The caller owns it. */
GString *completion_find(const CtlCommand *program, const Ctl *ctl, char **words, const char *word);

/* Offer @candidate, if it begins as the word does; @help may be NULL. */
void completion_add(Completion *completion, const char *candidate, const char *help);

/* Take the value of an option off the end of @words: "--option" or "-o" before the word, or
 * "--option=" at its beginning. */
void completion_find_option(Completion *completion, char **words, const GOptionEntry *const *lists);

/* Offer all options of @lists, which NULL ends. */
void completion_add_options(Completion *completion, const GOptionEntry *const *lists);

/* A connection for asking what there is, with a deadline of its own; NULL when it can't be had. */
Client *completion_connect(const Ctl *ctl);

/* Offer ids of loops; those of IOThreads only, unless @all. */
void completion_add_loops(Completion *completion, const Ctl *ctl, bool all);

/* Offer ids of objects of @type, or of all when it is NULL. */
void completion_add_objects(Completion *completion, const Ctl *ctl, const char *type);

/* Offer names of types. */
void completion_add_types(Completion *completion, const Ctl *ctl);

/* When properties are set: at creation, or later. */
typedef enum {
    SET_ADD,
    SET_LATER
} SetWhen;

/* Offer "name=" for the properties of the type @type (NULL: of that of the object @id) that can be
 * set, those among @given left out; or "name=value". */
void completion_add_properties(Completion *completion, const Ctl *ctl, const char *type,
                               const char *id, SetWhen when, char **given);

/* Offer names of commands or of events: "command" or "event". */
void completion_add_names(Completion *completion, const Ctl *ctl, const char *meta_type);

/* Offer names of commands that can be run out of band. */
void completion_add_oob_commands(Completion *completion, const Ctl *ctl);

/* Offer "name=" for the members of the data of @event. */
void completion_add_event_members(Completion *completion, const Ctl *ctl, const char *event);

/* Offer "key=" or "key=value" of the arguments of @command, those among @given left out. */
void completion_add_arguments(Completion *completion, const Ctl *ctl, const char *command,
                              char **given);

G_END_DECLS

#endif
