/*
 * A word of evloopctl's command line: a command with its options, or a group of such.
 *
 * The program itself is the outermost group. Each command is one file and one CtlCommand; its
 * run() takes its options and words, connects, and prints.
 */
#ifndef CTL_COMMAND_H
#define CTL_COMMAND_H

#include <stdbool.h>
#include <glib.h>

#include "ctl/client.h"
#include "ctl/complete.h"
#include "ctl/connection.h"

G_BEGIN_DECLS

typedef struct Shell Shell;

/* What the options say that all commands have, and what they run in. */
struct Ctl {
    char *socket_path;         /* NULL when not given */
    double timeout;            /* seconds; 0 for none */
    bool json;                 /* print JSON where there is a choice, without being told to */
    bool told;                 /* the error has been printed already */
    Completion *completion;    /* find what could come next, and run nothing; NULL: run */
    const CtlCommand *program; /* the outermost group */
    Connection *connection;    /* the one to use; NULL: each command makes its own */
    Shell *shell;              /* the one that it runs in, or NULL */
};

struct CtlCommand {
    const char *name;
    const char *parameters;  /* for the usage line; NULL for none */
    const char *summary;     /* one line, without a full stop */
    const char *description; /* more for its own --help; NULL for none */
    /* Of a group: its members, up to NULL. A group has no run(). */
    const CtlCommand *const *members;
    /* Of a group: what runs when the words name no member, with all of them; NULL: an error. */
    const CtlCommand *otherwise;
    /* Run it with @words, what follows its name. */
    bool (*run)(const CtlCommand *command, Ctl *ctl, char **words, GError **errp);
    /* Offer what could follow @words, or be the value of an option; NULL: nothing that is known.
     * ctl_parse() calls it in place of coming back to run(). */
    void (*complete)(Ctl *ctl, Completion *completion, char **words);
    bool hidden; /* not for people */
};

extern const CtlCommand ctl_program;
extern const CtlCommand ctl_shell_program;
extern const CtlCommand ctl_apply;
extern const CtlCommand ctl_call;
extern const CtlCommand ctl_complete;
extern const CtlCommand ctl_events;
extern const CtlCommand ctl_help;
extern const CtlCommand ctl_iothread;
extern const CtlCommand ctl_object;
extern const CtlCommand ctl_oob;
extern const CtlCommand ctl_quit;
extern const CtlCommand ctl_shell;
extern const CtlCommand ctl_status;
extern const CtlCommand ctl_top;
extern const CtlCommand ctl_trace;
extern const CtlCommand ctl_wait;

/* Run @command, or the member of it that @words name. GLib's g_get_prgname() becomes what was typed
 * so far, as in "evloopctl iothread add", for help and errors. */
bool ctl_run(const CtlCommand *command, Ctl *ctl, char **words, GError **errp);

/* The member of @group that is called @name, or NULL. */
const CtlCommand *ctl_find_member(const CtlCommand *group, const char *name);

/* Fail with that @group has no member @name, and which are near, those of @others (which gets them
 * all; NULL: none) among them. */
void ctl_fail_unknown(const CtlCommand *group, const char *name, GPtrArray *others, GError **errp);

/*
 * Take the options out of @words: those of all commands, which go to @ctl, and @options, those of
 * this one (ended by an entry of zeros; NULL for none). Returns what stays, at least @min words and
 * at most @max; the caller owns it. NULL and @errp when the words are wrong, or when
 * --help or a completion was all that was asked for (CTL_ERROR_DONE). A command's run() calls it
 * before it does anything else.
 */
char **ctl_parse(const CtlCommand *command, Ctl *ctl, const GOptionEntry *options, char **words,
                 guint min, guint max, GError **errp);

/* Whether the daemon has a command @name. False and @errp when it does not, with what is near, or
 * when it can't be asked. */
bool ctl_check_daemon_command(Ctl *ctl, const char *name, GError **errp);

/* The socket that the options or the environment say; the caller frees it. */
char *ctl_socket_path(const Ctl *ctl);

/* When a command that begins now gives up. */
int64_t ctl_deadline(const Ctl *ctl);

/* A connection to that socket, see client_open(): the shell's, or one of its own. NULL and @errp on
 * failure. The caller owns a reference. */
Client *ctl_connect(const Ctl *ctl, ClientOob oob, GError **errp);

G_END_DECLS

#endif
