/*
 * evloopctl shell: line after line, over one connection.
 *
 * A line is words as of a shell, and is run as a command line of evloopctl is, by a program of its
 * own: the same commands, and any other word is a command of the daemon.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctl/error.h"
#include "ctl/print.h"
#include "ctl/shell.h"
#include "ctl/signals.h"
#include "ctl/text.h"

struct Shell {
    Ctl *ctl;
    Connection connection;
    ShellEdit *edit; /* NULL: lines are not from a terminal */
    bool events;     /* show those that come */
    bool done;
};

/* ---- events ---- */

static void append_time(GString *line, json_object *timestamp)
{
    int64_t us = json_object_get_int64(json_member(timestamp, "microseconds"));
    g_autoptr(GDateTime) time =
        g_date_time_new_from_unix_local(json_object_get_int64(json_member(timestamp, "seconds")));
    g_autofree char *text = time ? g_date_time_format(time, "%H:%M:%S") : NULL;

    if (text) {
        g_string_append_printf(line, "%s.%03d ", text, (int)(us / 1000 % 1000));
    }
}

/* "10:20:30.400 TIMER_EXPIRED id=tick expirations=1" */
static char *event_to_line(json_object *event)
{
    g_autoptr(GString) line = g_string_new(NULL);
    json_object *data = json_member(event, "data");

    append_time(line, json_member(event, "timestamp"));
    g_string_append(line, json_member_string(event, "event"));
    if (json_object_is_type(data, json_type_object)) {
        json_object_object_foreach (data, name, value) {
            const char *text = json_object_is_type(value, json_type_string)
                                   ? json_object_get_string(value)
                                   : json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN);

            g_string_append_printf(line, " %s=%s", name, text);
        }
    }
    return text_clean(line->str);
}

static void show_event(json_object *event, void *opaque)
{
    Shell *shell = opaque;
    g_autofree char *line = NULL;
    g_autofree char *text = NULL;

    if (!shell->events) {
        return;
    }
    if (shell->ctl->json || !isatty(STDOUT_FILENO)) {
        line = text_escape_json(json_object_to_json_string_ext(
            event, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
    } else {
        line = event_to_line(event);
    }
    text = g_strconcat(line, "\n", NULL);
    if (shell->edit) {
        shell_edit_print(shell->edit, text);
    } else {
        print_text(text, NULL); /* if that fails, so does what comes next */
    }
}

/* ---- what is not as outside ---- */

static bool events_run(const CtlCommand *command, Ctl *ctl, char **words, GError **errp)
{
    bool on = words[0] && g_str_equal(words[0], "on");

    if (!ctl->completion && words[0] && !words[1] && (on || g_str_equal(words[0], "off"))) {
        ctl->shell->events = on;
        return true;
    }
    return ctl_events.run(command, ctl, words, errp);
}

static void events_complete(Ctl *ctl, Completion *completion, char **words)
{
    if (!completion->option && !words[0]) {
        completion_add(completion, "on", "show events as they come");
        completion_add(completion, "off", "do not");
    }
    ctl_events.complete(ctl, completion, words);
}

static const CtlCommand events_command = {
    .name = "events",
    .parameters = "on | off | [NAME...]",
    .summary = "Show events as they come, above the prompt or until Ctrl-C",
    .description =
        "With on, events are shown above the prompt from now on, until off. Else they are\n"
        "printed as JSON, a line each, until Ctrl-C, those with one of the NAMEs or all.\n",
    .run = events_run,
    .complete = events_complete,
};

static bool exit_run(const CtlCommand *command, Ctl *ctl, char **words, GError **errp)
{
    g_auto(GStrv) rest = ctl_parse(command, ctl, NULL, words, 0, 0, errp);

    if (rest) {
        ctl->shell->done = true;
    }
    return rest != NULL;
}

static const CtlCommand exit_command = {
    .name = "exit",
    .summary = "Leave the shell; so does Ctrl-D",
    .run = exit_run,
};

/* The word means the daemon's end, but who types it in a shell may mean the shell's. */
static bool quit_run(const CtlCommand *command, Ctl *ctl, char **words, GError **errp)
{
    g_auto(GStrv) rest = ctl_parse(command, ctl, NULL, words, 0, G_MAXUINT, errp);

    if (rest) {
        g_set_error(errp, CTL_ERROR, CTL_ERROR_USAGE,
                    "'exit' leaves the shell, 'call quit' ends the daemon");
    }
    return false;
}

static const CtlCommand quit_command = {
    .name = "quit",
    .summary = "Nothing: 'exit' leaves the shell, 'call quit' ends the daemon",
    .hidden = true,
    .run = quit_run,
};

/* ---- commands of the daemon ---- */

static bool bare_run(const CtlCommand *command, Ctl *ctl, char **words, GError **errp)
{
    char *help[] = { (char *)"help", words[0], NULL };

    if (ctl->completion) {
        return ctl_call.run(&ctl_call, ctl, words, errp);
    }
    if (g_strcmp0(words[1], "--help") == 0 || g_strcmp0(words[1], "-h") == 0) {
        return ctl_run(ctl->program, ctl, help, errp);
    }
    if (!ctl_check_daemon_command(ctl, words[0], errp)) {
        return false;
    }
    g_set_prgname(ctl_call.name);
    return ctl_call.run(&ctl_call, ctl, words, errp);
}

static const CtlCommand bare_command = {
    .name = "",
    .run = bare_run,
};

static void program_complete(Ctl *ctl, Completion *completion, char **words)
{
    if (!completion->option) {
        completion_add_names(completion, ctl, "command");
    }
}

static const CtlCommand *const members[] = {
    &ctl_call,       &ctl_oob,  &ctl_object, &ctl_iothread, &ctl_apply,    &ctl_status,   &ctl_top,
    &events_command, &ctl_wait, &ctl_trace,  &ctl_help,     &exit_command, &quit_command, NULL,
};

const CtlCommand ctl_shell_program = {
    .name = "",
    .summary = "Control a running evloopd",
    .members = members,
    .otherwise = &bare_command,
    .complete = program_complete,
};

/* ---- lines ---- */

/* Run @line. Its options, such as --timeout, are its own. */
static bool run_line(Shell *shell, const char *line, GError **errp)
{
    g_auto(GStrv) words = NULL;
    GError *error = NULL;
    Ctl ctl = *shell->ctl;

    g_set_prgname("");
    if (!g_shell_parse_argv(line, NULL, &words, &error)) {
        if (g_error_matches(error, G_SHELL_ERROR, G_SHELL_ERROR_EMPTY_STRING)) {
            g_error_free(error); /* nothing, or a comment */
            return true;
        }
        g_propagate_error(errp, error);
        return false;
    }
    ctl.socket_path = g_strdup(shell->ctl->socket_path);
    ctl_run(ctl.program, &ctl, words, &error);
    g_free(ctl.socket_path);
    if (error && !g_error_matches(error, CTL_ERROR, CTL_ERROR_DONE)) {
        g_propagate_error(errp, error);
        return false;
    }
    g_clear_error(&error);
    return true;
}

/* ---- from a terminal ---- */

/* Print @error, of an interactive line. Where Ctrl-C ended what would have gone on for ever, such
 * as 'events', there is nothing to say. */
static void tell(const GError *error)
{
    if (g_error_matches(error, CTL_ERROR, CTL_ERROR_INTERRUPTED)) {
        fputc('\n', stderr); /* the terminal has shown ^C */
        if (g_str_equal(error->message, CTL_INTERRUPTED)) {
            return;
        }
    }
    print_error(error);
}

static void run_and_tell(Shell *shell, const char *line)
{
    g_autoptr(GError) error = NULL;

    if (!run_line(shell, line, &error)) {
        tell(error);
    }
}

static bool run_terminal(Shell *shell, GError **errp)
{
    g_autofree char *path = text_clean(shell->connection.path);
    g_autofree char *greeting =
        g_strdup_printf("Connected to %s. 'help' shows the commands, Ctrl-D leaves.\n", path);
    char *line;

    if (!print_text(greeting, errp)) {
        return false;
    }
    signals_hold_interrupt();
    shell->edit = shell_edit_new(shell->ctl);
    while (!shell->done && (line = shell_edit_read(shell->edit))) {
        run_and_tell(shell, line);
        g_free(line);
    }
    g_clear_pointer(&shell->edit, shell_edit_free);
    return true;
}

/* ---- from a pipe or a file ---- */

/* Standard input for the shell alone: a command that reads it would take the lines that follow. So
 * it gets something that can't be read. */
static FILE *take_stdin(GError **errp)
{
    int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    int nothing = open("/dev/null", O_WRONLY | O_CLOEXEC);
    FILE *input = fd >= 0 && nothing >= 0 ? fdopen(fd, "r") : NULL;

    if (!input) {
        g_set_error(errp, CTL_ERROR, CTL_ERROR_USAGE, "cannot read stdin: %s", g_strerror(errno));
        return NULL;
    }
    dup2(nothing, STDIN_FILENO);
    close(nothing);
    return input;
}

/* Run the line @number, of @size bytes, and print what is wrong with it. */
static bool run_numbered(Shell *shell, const char *line, size_t size, guint number, GError **errp)
{
    g_autoptr(GError) error = NULL;

    if (strlen(line) != size) {
        g_set_error(&error, CTL_ERROR, CTL_ERROR_USAGE, "it has a NUL byte");
    } else if (run_line(shell, line, &error)) {
        return true;
    }
    g_prefix_error(&error, "line %u: ", number);
    print_error(error);
    g_propagate_error(errp, g_steal_pointer(&error));
    return false;
}

/* The first error is the one that the program ends with; others do not stop it either. */
static bool run_lines(Shell *shell, FILE *input, GError **errp)
{
    g_autoptr(GError) first = NULL;
    g_autofree char *line = NULL; /* getline() takes it from malloc(), and so does GLib */
    size_t space = 0;
    ssize_t size;

    for (guint number = 1; !shell->done && (size = getline(&line, &space, input)) >= 0; number++) {
        g_autoptr(GError) error = NULL;

        if (size > 0 && line[size - 1] == '\n') {
            line[--size] = '\0';
        }
        if (run_numbered(shell, line, (size_t)size, number, &error)) {
            continue;
        }
        shell->done |= g_error_matches(error, CTL_ERROR, CTL_ERROR_OUTPUT);
        if (!first) {
            first = g_steal_pointer(&error);
        }
    }
    if (!first && ferror(input)) {
        g_set_error(errp, CTL_ERROR, CTL_ERROR_USAGE, "cannot read stdin: %s", g_strerror(errno));
        return false;
    }
    shell->ctl->told = first != NULL;
    if (first) {
        g_propagate_error(errp, g_steal_pointer(&first));
    }
    return !shell->ctl->told;
}

static bool run_input(Shell *shell, GError **errp)
{
    FILE *input = take_stdin(errp);
    bool good = input && run_lines(shell, input, errp);

    if (input) {
        fclose(input);
    }
    return good;
}

/* ---- the command ---- */

static bool run_shell(Ctl *ctl, bool is_terminal, GError **errp)
{
    g_autofree char *path = ctl_socket_path(ctl);
    Shell shell = { .ctl = ctl };
    bool good;

    good = connection_open(&shell.connection, path, ctl_deadline(ctl), show_event, &shell, errp);
    if (good) {
        ctl->program = &ctl_shell_program;
        ctl->connection = &shell.connection;
        ctl->shell = &shell;
        good = is_terminal ? run_terminal(&shell, errp) : run_input(&shell, errp);
        ctl->connection = NULL;
        ctl->shell = NULL;
    }
    connection_close(&shell.connection);
    return good;
}

static bool shell_run(const CtlCommand *command, Ctl *ctl, char **words, GError **errp)
{
    gboolean json = ctl->json;
    const GOptionEntry options[] = {
        { "json", 0, 0, G_OPTION_ARG_NONE, &json, "Print JSON wherever there is a choice", NULL },
        { NULL },
    };
    g_auto(GStrv) rest = ctl_parse(command, ctl, options, words, 0, 0, errp);
    bool is_terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);

    if (!rest || (is_terminal && !shell_edit_check(errp))) {
        return false;
    }
    ctl->json = json;
    return run_shell(ctl, is_terminal, errp);
}

const CtlCommand ctl_shell = {
    .name = "shell",
    .summary = "Run commands line by line, over one connection",
    .description =
        "The lines are commands as here, without the word evloopctl, and commands of the\n"
        "daemon by themselves: query-loops is call query-loops. In a terminal they are edited,\n"
        "completed with the tab key and remembered. From a pipe or a file they are run one by\n"
        "one; the exit status is that of the first that failed.\n",
    .run = shell_run,
};
