/*
 * The parts of 'evloopctl shell': lines are read, edited, completed and remembered here, and run in
 * ctl/cmd-shell.c.
 */
#ifndef CTL_SHELL_H
#define CTL_SHELL_H

#include <stdbool.h>
#include <glib.h>

#include "ctl/command.h"

G_BEGIN_DECLS

/* ---- lines from a terminal, by libedit ---- */

typedef struct ShellEdit ShellEdit;

/* Whether this can be had. False and @errp when it was not built in. */
bool shell_edit_check(GError **errp);

/* Edit lines in the terminal on stdin and stdout; @ctl, which outlives it, is for completion. The
 * caller owns it. */
ShellEdit *shell_edit_new(Ctl *ctl);

void shell_edit_free(ShellEdit *edit);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ShellEdit, shell_edit_free)

/* The next line, without its end; empty when Ctrl-C was pressed. Meanwhile events are taken from
 * the connection, and its end is told of. NULL when there are no more. The caller frees it. */
char *shell_edit_read(ShellEdit *edit);

/* Print @text, whole lines, also while a line is edited: above it. */
void shell_edit_print(ShellEdit *edit, const char *text);

/* ---- the history ---- */

/* Where it is kept; the caller frees it. NULL when there is no home folder. */
char *shell_history_path(void);

/* The lines in the file @path, the newest last, up to NULL. What is too old is dropped from the
 * file, and its mode made 0600. NULL and @errp on failure; that there is no file is none. The
 * caller frees it. */
char **shell_history_load(const char *path, GError **errp);

/* Append @line to the file @path, which is made if there is none. False and @errp on failure. */
bool shell_history_add(const char *path, const char *line, GError **errp);

/* How many lines are kept at least, and how long one may be. */
#define SHELL_HISTORY_LINES   1000
#define SHELL_HISTORY_LONGEST 4096

/* ---- completion ---- */

typedef struct ShellChoices {
    GPtrArray *words; /* what could stand in place of the last word */
    GPtrArray *helps; /* a word on each, "" for none */
    char *rest;       /* what all of them have behind what is typed */
} ShellChoices;

/* What could follow @typed, a line up to the cursor. The caller owns it. */
ShellChoices *shell_complete(const Ctl *ctl, const char *typed);

void shell_choices_free(ShellChoices *choices);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ShellChoices, shell_choices_free)

/* The choices in lines for a terminal of @columns and @lines; the caller frees it. */
char *shell_choices_to_text(const ShellChoices *choices, guint columns, guint lines);

G_END_DECLS

#endif
