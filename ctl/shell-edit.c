/*
 * Lines from a terminal, edited by libedit.
 *
 * libedit gets its characters from read_key(), which waits for the terminal and for the connection
 * at once: so events are shown, and the end of the connection is noticed, while a line is edited.
 * Signals are let in only by that wait. libedit's own handling of them is not used: it sends them
 * on to the whole process group.
 */
#include "config.h"

#include <errno.h>
#include <histedit.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#include "ctl/error.h"
#include "ctl/input.h"
#include "ctl/print.h"
#include "ctl/shell.h"
#include "ctl/signals.h"
#include "ctl/text.h"

#define PROMPT       "evloopd> "
#define UTF8_LOCALE  "C.UTF-8"
#define CLEAR_TO_END "\033[J"

struct ShellEdit {
    Ctl *ctl;
    EditLine *el;
    History *history;
    char *history_path; /* NULL: it is not kept */
    Signals signals;
    mbstate_t state; /* of a character of which not all bytes have come */
    int fd;          /* the terminal, to read from */
    bool is_dumb;    /* the terminal can do nothing but print */
    bool is_editing;
    bool is_cancelled; /* Ctrl-C was pressed */
    int end;           /* the signal that is to end the program; 0: none */
};

bool shell_edit_check(GError **errp)
{
    return true;
}

/* ---- the screen ---- */

static char *prompt(EditLine *el)
{
    static char text[] = PROMPT;

    return text;
}

static guint terminal_size(ShellEdit *edit, const char *name, guint usual)
{
    char code[3];
    int size = 0;

    g_strlcpy(code, name, sizeof(code));
    return el_get(edit->el, EL_GETTC, code, &size) == 0 && size > 0 ? (guint)size : usual;
}

/* On which row of the terminal, counted from that of the prompt, the first @length bytes of the
 * line end. */
static guint row_of(ShellEdit *edit, const char *line, size_t length)
{
    g_autofree char *part = g_strndup(line, length);
    g_autofree char *valid = g_utf8_make_valid(part, -1);

    return ((guint)strlen(PROMPT) + text_width(valid)) / terminal_size(edit, "co", 80);
}

/* Go to the first column below the line. */
static void leave_line(ShellEdit *edit)
{
    const LineInfo *info = el_line(edit->el);
    guint last = row_of(edit, info->buffer, (size_t)(info->lastchar - info->buffer));
    guint row = row_of(edit, info->buffer, (size_t)(info->cursor - info->buffer));

    for (; row <= last; row++) {
        fputs("\r\n", stdout);
    }
}

/* Go to where the prompt begins, with nothing there any more. */
static void remove_line(ShellEdit *edit)
{
    const LineInfo *info = el_line(edit->el);
    guint row = row_of(edit, info->buffer, (size_t)(info->cursor - info->buffer));

    if (edit->is_dumb) {
        leave_line(edit);
        return;
    }
    fputc('\r', stdout);
    if (row > 0) {
        fprintf(stdout, "\033[%uA", row);
    }
    fputs(CLEAR_TO_END, stdout);
}

/* Show prompt and line from here on. */
static void show_line(ShellEdit *edit)
{
    el_set(edit->el, EL_REFRESH);
}

void shell_edit_print(ShellEdit *edit, const char *text)
{
    if (!edit->is_editing) {
        print_text(text, NULL);
        return;
    }
    remove_line(edit);
    fputs(text, stdout);
    show_line(edit);
}

/* ---- keys ---- */

/* There is no connection until the next command. */
static void tell_lost(ShellEdit *edit, const char *why)
{
    g_autofree char *clean = text_clean(why);
    g_autofree char *text =
        g_strdup_printf("evloopctl: %s; the next command connects again\n", clean);

    shell_edit_print(edit, text);
}

/* No command runs: see to the connection. */
static void rest(ShellEdit *edit)
{
    if (!connection_rest(edit->ctl->connection)) {
        tell_lost(edit, "the daemon closed the connection");
    }
}

/* Wait for a key. False when a signal came. */
static bool wait_for_key(ShellEdit *edit)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(json_object) ignored = NULL;
    Client *client = edit->ctl->connection->client;
    struct pollfd fd = { .fd = edit->fd, .events = POLLIN };

    if (!client) {
        return ppoll(&fd, 1, NULL, &edit->signals.wait) >= 0 || errno != EINTR;
    }
    switch (
        client_wait(client, CLIENT_NO_DEADLINE, edit->fd, &edit->signals.wait, &ignored, &error)) {
    case CLIENT_INPUT:
        return true;
    case CLIENT_FAILED:
        connection_lose(edit->ctl->connection);
        tell_lost(edit, error->message);
        return wait_for_key(edit);
    default:
        return false;
    }
}

static void stop(ShellEdit *edit)
{
    el_set(edit->el, EL_PREP_TERM, 0);
    signals_stop();
    el_set(edit->el, EL_PREP_TERM, 1);
    el_resize(edit->el);
    show_line(edit);
}

/* Whether the line is over because of a signal. */
static bool take_signals(ShellEdit *edit)
{
    int end = signals_take_end();

    if (end == SIGINT) {
        edit->is_cancelled = true;
    } else if (end) {
        edit->end = end;
    } else if (signals_take_stop()) {
        stop(edit);
    } else {
        el_resize(edit->el); /* it does nothing unless the size has changed */
    }
    return end != 0;
}

/* One character, as el_set(3) wants it: how many came, -1 on failure. */
static int read_key(EditLine *el, wchar_t *key)
{
    ShellEdit *edit = NULL;

    el_get(el, EL_CLIENTDATA, &edit);
    for (;;) {
        size_t size;
        ssize_t n;
        char byte;

        if (!wait_for_key(edit)) {
            if (take_signals(edit)) {
                return -1;
            }
            continue;
        }
        n = read(edit->fd, &byte, 1);
        if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
            continue;
        }
        if (n <= 0) {
            return (int)n;
        }
        size = mbrtowc(key, &byte, 1, &edit->state);
        if (size == (size_t)-1) { /* no character: it is passed over */
            memset(&edit->state, 0, sizeof(edit->state));
        } else if (size != (size_t)-2) {
            return 1;
        }
    }
}

/* ---- completion ---- */

/* Insert @text at the cursor, or go over it where it stands already. */
static unsigned char insert(EditLine *el, const char *text)
{
    const LineInfo *info = el_line(el);
    size_t length = strlen(text);

    if ((size_t)(info->lastchar - info->cursor) >= length &&
        memcmp(info->cursor, text, length) == 0) {
        el_cursor(el, (int)g_utf8_strlen(text, -1));
        return CC_CURSOR;
    }
    return el_insertstr(el, text) == 0 ? CC_REFRESH : CC_ERROR;
}

static unsigned char complete_key(EditLine *el, wint_t key)
{
    const LineInfo *info = el_line(el);
    g_autofree char *typed = g_strndup(info->buffer, (gsize)(info->cursor - info->buffer));
    g_autoptr(ShellChoices) choices = NULL;
    g_autofree char *text = NULL;
    ShellEdit *edit = NULL;

    el_get(el, EL_CLIENTDATA, &edit);
    choices = shell_complete(edit->ctl, typed);
    rest(edit);
    signals_interrupted(); /* what it ended was the completion */
    if (*choices->rest) {
        return insert(el, choices->rest);
    }
    if (choices->words->len < 2) {
        return CC_ERROR;
    }
    text = shell_choices_to_text(choices, terminal_size(edit, "co", 80),
                                 terminal_size(edit, "li", 24));
    leave_line(edit);
    fputs(text, stdout);
    show_line(edit);
    return CC_NORM;
}

/* ---- the history ---- */

static void tell_no_history(ShellEdit *edit, const GError *error)
{
    g_autofree char *clean = text_clean(error->message);

    fprintf(stderr, "evloopctl: no history is kept: %s\n", clean);
    g_clear_pointer(&edit->history_path, g_free);
}

static void load_history(ShellEdit *edit)
{
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) lines = NULL;
    HistEvent event;

    history(edit->history, &event, H_SETSIZE, SHELL_HISTORY_LINES);
    history(edit->history, &event, H_SETUNIQUE, 1);
    edit->history_path = shell_history_path();
    lines = edit->history_path ? shell_history_load(edit->history_path, &error) : NULL;
    if (error) {
        tell_no_history(edit, error);
    }
    for (char **line = lines; line && *line; line++) {
        history(edit->history, &event, H_ENTER, *line);
    }
}

/* Remember @line, unless it begins with a space or is that before it again. */
static void remember(ShellEdit *edit, const char *line)
{
    g_autoptr(GError) error = NULL;
    HistEvent event = { 0 };

    if (!*line || g_ascii_isspace(*line) ||
        (history(edit->history, &event, H_FIRST) >= 0 && g_strcmp0(event.str, line) == 0)) {
        return;
    }
    history(edit->history, &event, H_ENTER, line);
    if (edit->history_path && !shell_history_add(edit->history_path, line, &error)) {
        tell_no_history(edit, error);
    }
}

/* ---- the editor ---- */

/* Keys that terminals send, and that libedit has nothing at or something else. */
static void bind_keys(ShellEdit *edit)
{
    static const char *const keys[][2] = {
        { "^I", "evloopctl-complete" },  { "^R", "em-inc-search-prev" },
        { "^W", "ed-delete-prev-word" }, { "\\e[1;5C", "em-next-word" },
        { "\\e[1;5D", "ed-prev-word" },  { "\\e[3~", "ed-delete-next-char" },
        { "\\e[H", "ed-move-to-beg" },   { "\\e[F", "ed-move-to-end" },
        { "\\e[1~", "ed-move-to-beg" },  { "\\e[4~", "ed-move-to-end" },
    };

    /* el_set() would copy the strings, and never free them. */
    el_wset(edit->el, EL_ADDFN, L"evloopctl-complete", L"Complete the word", complete_key);
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
        el_set(edit->el, EL_BIND, keys[i][0], keys[i][1], NULL);
    }
}

/* What the daemon sends is UTF-8, and is printed so: lines are read in it as well. */
static void choose_locale(void)
{
    setlocale(LC_CTYPE, "");
    if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0) {
        setlocale(LC_CTYPE, UTF8_LOCALE);
    }
}

ShellEdit *shell_edit_new(Ctl *ctl)
{
    ShellEdit *edit = g_new0(ShellEdit, 1);
    const char *terminal = g_getenv("TERM");

    choose_locale();
    edit->ctl = ctl;
    edit->is_dumb = !terminal || !*terminal || g_str_equal(terminal, "dumb");
    edit->fd = input_open();
    edit->history = history_init();
    edit->el = el_init("evloopctl", stdin, stdout, stderr);
    el_set(edit->el, EL_CLIENTDATA, edit);
    el_set(edit->el, EL_GETCFN, read_key);
    el_set(edit->el, EL_PROMPT, prompt);
    el_set(edit->el, EL_HIST, history, edit->history);
    el_set(edit->el, EL_EDITOR, "emacs");
    bind_keys(edit);
    el_source(edit->el, NULL); /* the user's ~/.editrc */
    load_history(edit);
    return edit;
}

void shell_edit_free(ShellEdit *edit)
{
    el_end(edit->el);
    history_end(edit->history);
    input_close(edit->fd);
    g_free(edit->history_path);
    g_free(edit);
}

static void note_size(int number)
{
}

/* One line by libedit, with signals let in while it waits. */
static const char *edit_line(ShellEdit *edit)
{
    const struct sigaction on_size = { .sa_handler = note_size };
    struct sigaction before;
    const char *line;
    int count;

    edit->is_cancelled = false;
    signals_hold(&edit->signals);
    sigdelset(&edit->signals.wait, SIGWINCH);
    sigaction(SIGWINCH, &on_size, &before);
    edit->is_editing = true;
    /* libedit would do it after the prompt, and what is typed at once would be echoed twice. */
    el_set(edit->el, EL_PREP_TERM, 1);
    line = el_gets(edit->el, &count);
    if (!line) { /* no newline has been typed */
        leave_line(edit);
    }
    edit->is_editing = false;
    fflush(stdout);
    sigaction(SIGWINCH, &before, NULL);
    signals_release(&edit->signals);
    return line;
}

char *shell_edit_read(ShellEdit *edit)
{
    const char *text;
    char *line;

    signals_interrupted(); /* one that came too late for the command before */
    rest(edit);
    text = edit_line(edit);
    if (edit->end) {
        raise(edit->end); /* the terminal is as it was */
        return NULL;
    }
    if (edit->is_cancelled) {
        return g_strdup("");
    }
    if (!text) {
        return NULL;
    }
    line = g_strndup(text, strcspn(text, "\n")); /* white space at its end may be quoted */
    remember(edit, line);
    return line;
}
