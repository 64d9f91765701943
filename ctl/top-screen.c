/*
 * 'evloopctl top' in the terminal, by ncurses: a line on the whole, the loops, the sources.
 *
 * Signals that it waits for are let in only while it waits, so none is missed; ncurses turns the
 * one for another size into a key. The one to stop is not left to ncurses, which ignores it while
 * it draws. The terminal is given back on every way out, and while the program is stopped.
 */
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <curses.h>

#include "ctl/error.h"
#include "ctl/terminal.h"
#include "ctl/text.h"
#include "ctl/top.h"

#define CTRL_L 12

#define KEYS "q quit  h help  left/right column  r reverse  tab table  l loop  space now"

static const char *const help_lines[] = {
    "q                quit",
    "left, right, s   sort by another column",
    "r                sort the other way round",
    "tab              sort and scroll the other table",
    "up, down, pages  scroll",
    "l                show the next loop only; after the last, all",
    "a                show all loops",
    "space            take a sample now",
    "Ctrl-L           draw all anew",
    "h                this text; any key ends it",
    NULL,
};

typedef struct Pane {
    const TopTable *table;
    TopOrder order;
    GArray *rows;
    guint scroll; /* rows above the first that is shown */
    guint height; /* of what was drawn: rows, without the titles */
} Pane;

typedef enum {
    LOOPS,
    SOURCES,
    N_PANES
} PaneIndex;

typedef struct Screen {
    const TopOptions *options;
    TopSampler sampler;
    SCREEN *terminal;
    bool utf8;  /* whether the terminal shows it */
    char *loop; /* the only one to show; NULL: all */
    Pane panes[N_PANES];
    PaneIndex active;
    bool help;
    bool done;
    int seen; /* samples */
} Screen;

/* ---- drawing ---- */

#define PAIR_STALLED 1

/* Put @text on line @y, as far as it fits. */
static void put_line(const Screen *screen, int y, const char *text, attr_t attributes)
{
    g_autoptr(GString) line = g_string_new(NULL);

    text_append_cell(line, text, (guint)MAX(COLS, 0), false);
    if (!screen->utf8) {
        for (gsize i = 0; i < line->len; i++) {
            line->str[i] = line->str[i] & 0x80 ? '?' : line->str[i];
        }
    }
    attrset(attributes);
    mvaddstr(y, 0, line->str);
    attrset(A_NORMAL);
}

/* Show which column the table is sorted by. */
static void mark_column(const Screen *screen, const Pane *pane, const guint widths[], int y)
{
    bool is_active = pane == &screen->panes[screen->active];
    guint x = 0;

    for (size_t i = 0; i < pane->order.column; i++) {
        x += widths[i] + TOP_GAP;
    }
    if ((int)x < COLS) {
        mvchgat(y, (int)x, (int)widths[pane->order.column],
                A_BOLD | (is_active ? A_UNDERLINE : A_NORMAL), 0, NULL);
    }
}

static attr_t row_attributes(const Pane *pane, guint index)
{
    if (pane->table == &top_loop_table && g_array_index(pane->rows, TopLoopRow, index).stalled) {
        return A_BOLD | (has_colors() ? (attr_t)COLOR_PAIR(PAIR_STALLED) : A_STANDOUT);
    }
    return A_NORMAL;
}

/* Draw @pane on @height lines from @y on. */
static void draw_pane(const Screen *screen, Pane *pane, int y, int height)
{
    guint widths[TOP_MAX_COLUMNS];
    g_autofree char *titles = NULL;

    if (height <= 0 || !pane->rows) {
        return;
    }
    pane->height = (guint)height - 1;
    pane->scroll = MIN(pane->scroll, pane->rows->len - MIN(pane->height, pane->rows->len));
    top_table_measure(pane->table, pane->rows, (guint)COLS, widths);
    titles = top_table_line(pane->table, widths, NULL);
    put_line(screen, y, titles, A_REVERSE);
    mark_column(screen, pane, widths, y);
    for (guint i = 0; i < pane->height && pane->scroll + i < pane->rows->len; i++) {
        const void *row = pane->rows->data + (pane->scroll + i) * pane->table->row_size;
        g_autofree char *line = top_table_line(pane->table, widths, row);

        put_line(screen, y + 1 + (int)i, line, row_attributes(pane, pane->scroll + i));
    }
}

/* What the first line says. */
static char *summary(const Screen *screen)
{
    const TopSampler *sampler = &screen->sampler;
    const Pane *pane = &screen->panes[screen->active];
    g_autoptr(GDateTime) time = g_date_time_new_now_local();
    g_autofree char *clock = g_date_time_format(time, "%T");
    g_autoptr(GString) text = g_string_new("evloopctl top");

    g_string_append_printf(text, "  %s", clock);
    if (sampler->now) {
        g_string_append_printf(text, "  loops: %u  sources: %u",
                               top_sample_count_loops(sampler->now),
                               top_sample_count_sources(sampler->now));
    }
    g_string_append_printf(text, "  by %s%s", pane->table->columns[pane->order.column].key,
                           pane->order.reversed ? ", reversed" : "");
    if (screen->loop) {
        g_autofree char *loop = text_clean_word(screen->loop);

        g_string_append_printf(text, "  only: %s", loop);
    }
    if (sampler->now && !sampler->before) {
        g_string_append(text, "  (since the start)");
    }
    return g_string_free(g_steal_pointer(&text), FALSE);
}

static void draw_head(const Screen *screen, bool with_second_line)
{
    double silence = top_sampler_silence(&screen->sampler);
    g_autofree char *first = summary(screen);
    g_autofree char *warning = NULL;

    put_line(screen, 0, first, A_BOLD);
    if (silence >= 1) {
        warning = g_strdup_printf("no answer from the daemon for %.0f s", silence);
        put_line(screen, with_second_line ? 1 : 0, warning, A_STANDOUT);
    } else if (with_second_line) {
        put_line(screen, 1, KEYS, A_DIM);
    }
}

static void draw_help(const Screen *screen)
{
    for (int i = 0; help_lines[i]; i++) {
        put_line(screen, i, help_lines[i], A_NORMAL);
    }
}

static void draw_tables(Screen *screen)
{
    int y = LINES >= 6 ? 2 : 1;
    int height = LINES - y;
    int loops;

    draw_head(screen, y == 2);
    if (height < 5) { /* too few for both */
        draw_pane(screen, &screen->panes[screen->active], y, height);
        return;
    }
    loops = screen->panes[LOOPS].rows ? (int)screen->panes[LOOPS].rows->len + 1 : 0;
    loops = MIN(loops, height / 2);
    draw_pane(screen, &screen->panes[LOOPS], y, loops);
    draw_pane(screen, &screen->panes[SOURCES], y + loops + 1, height - loops - 1);
}

static void draw(Screen *screen)
{
    erase();
    if (screen->help) {
        draw_help(screen);
    } else {
        draw_tables(screen);
    }
    move(0, 0); /* where a cursor that can't be hidden is in nobody's way */
    refresh();
}

/* ---- rows ---- */

static void make_rows(Screen *screen)
{
    Pane *loops = &screen->panes[LOOPS];
    Pane *sources = &screen->panes[SOURCES];

    if (!screen->sampler.now) {
        return;
    }
    g_clear_pointer(&loops->rows, g_array_unref);
    g_clear_pointer(&sources->rows, g_array_unref);
    loops->rows = top_sampler_loops(&screen->sampler, screen->loop, loops->order);
    sources->rows = top_sampler_sources(&screen->sampler, screen->loop, sources->order);
}

/* ---- keys ---- */

/* From all loops to the first, from one to the next, from the last or one that is gone to all. */
static void show_next_loop(Screen *screen)
{
    const TopSample *sample = screen->sampler.now;
    const char *next = sample ? top_sample_loop(sample, 0) : NULL;

    for (guint i = 0; screen->loop && next; i++) {
        bool is_current = strcmp(next, screen->loop) == 0;

        next = top_sample_loop(sample, i + 1);
        if (is_current) {
            break;
        }
    }
    g_free(screen->loop);
    screen->loop = g_strdup(next);
}

static void choose_column(Pane *pane, size_t step)
{
    pane->order.column = (pane->order.column + step) % top_table_count_columns(pane->table);
}

static void scroll_up(Pane *pane, guint rows)
{
    pane->scroll -= MIN(pane->scroll, rows);
}

static void scroll_down(Pane *pane, guint rows)
{
    pane->scroll += rows; /* draw_pane() bounds it */
}

static void take_key(Screen *screen, int key)
{
    Pane *pane = &screen->panes[screen->active];

    if (screen->help && key != 'q' && key != CTRL_L && key != KEY_RESIZE) {
        screen->help = false;
        return;
    }
    switch (key) {
    case 'q':
    case 'Q':
        screen->done = true;
        break;
    case 'h':
    case '?':
        screen->help = true;
        break;
    case 's':
    case '>':
    case KEY_RIGHT:
        choose_column(pane, 1);
        break;
    case '<':
    case KEY_LEFT:
        choose_column(pane, top_table_count_columns(pane->table) - 1);
        break;
    case 'r':
        pane->order.reversed = !pane->order.reversed;
        break;
    case '\t':
        screen->active = screen->active == LOOPS ? SOURCES : LOOPS;
        break;
    case 'l':
        show_next_loop(screen);
        break;
    case 'a':
        g_clear_pointer(&screen->loop, g_free);
        break;
    case KEY_UP:
        scroll_up(pane, 1);
        break;
    case KEY_DOWN:
        scroll_down(pane, 1);
        break;
    case KEY_PPAGE:
        scroll_up(pane, MAX(pane->height, 1));
        break;
    case KEY_NPAGE:
        scroll_down(pane, MAX(pane->height, 1));
        break;
    case CTRL_L:
        clearok(curscr, TRUE);
        break;
    case ' ':
        top_sampler_hurry(&screen->sampler);
        break;
    default:
        break;
    }
}

/* Take all keys that there are, one for another size among them; false when there was none. */
static bool take_keys(Screen *screen)
{
    bool any = false;
    int key;

    while (!screen->done && (key = getch()) != ERR) {
        take_key(screen, key);
        any = true;
    }
    return any;
}

/* ---- signals ---- */

static volatile sig_atomic_t ended;
static volatile sig_atomic_t stopped;

static void note_end(int number)
{
    ended = 1;
}

static void note_stop(int number)
{
    stopped = 1;
}

/* What ends a program; whoever ignores one of them goes on to. */
static const int ends[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };

typedef struct Signals {
    sigset_t mask; /* what was blocked before, and is while it waits */
    struct sigaction on_end[G_N_ELEMENTS(ends)];
    struct sigaction on_stop;
} Signals;

/* Have @handler called for the signal @number, unless that is ignored. */
static void handle(int number, void (*handler)(int number), struct sigaction *before)
{
    struct sigaction action = { .sa_handler = handler };

    sigemptyset(&action.sa_mask);
    sigaction(number, NULL, before);
    if (before->sa_handler != SIG_IGN) {
        sigaction(number, &action, NULL);
    }
}

/* From now on, signals that are of interest come only where the mask of @before lets them in. */
static void signals_hold(Signals *before)
{
    sigset_t held;

    ended = 0;
    stopped = 0;
    sigemptyset(&held);
    sigaddset(&held, SIGWINCH);
    sigaddset(&held, SIGTSTP);
    for (size_t i = 0; i < G_N_ELEMENTS(ends); i++) {
        sigaddset(&held, ends[i]);
    }
    sigprocmask(SIG_BLOCK, &held, &before->mask);
    for (size_t i = 0; i < G_N_ELEMENTS(ends); i++) {
        handle(ends[i], note_end, &before->on_end[i]);
    }
    handle(SIGTSTP, note_stop, &before->on_stop);
}

static void signals_release(const Signals *before)
{
    sigprocmask(SIG_SETMASK, &before->mask, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(ends); i++) {
        sigaction(ends[i], &before->on_end[i], NULL);
    }
    sigaction(SIGTSTP, &before->on_stop, NULL);
}

/* ---- the terminal ---- */

bool top_screen_check(GError **errp)
{
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
        g_set_error(errp, CTL_ERROR, CTL_ERROR_USAGE, "top needs a terminal; 'top --batch' prints");
        return false;
    }
    return true;
}

static bool terminal_open(Screen *screen, GError **errp)
{
    const char *name = g_getenv("TERM");

    setlocale(LC_CTYPE, "");
    screen->utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    screen->terminal = terminal_is_known(STDOUT_FILENO) ? newterm(NULL, stdout, stdin) : NULL;
    if (!screen->terminal) {
        g_set_error(errp, CTL_ERROR, CTL_ERROR_USAGE,
                    "the terminal '%s' can't be used; 'top --batch' prints", name ? name : "");
        return false;
    }
    cbreak();
    noecho();
    nonl();
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    set_escdelay(25);
    curs_set(0);
    if (has_colors()) {
        start_color();
        use_default_colors();
        init_pair(PAIR_STALLED, COLOR_RED, -1);
    }
    return true;
}

static void terminal_close(Screen *screen)
{
    endwin();
    delscreen(screen->terminal);
}

/* Stop, as Ctrl-Z asks for, until the program is continued. */
static void stop(void)
{
    const struct sigaction usual = { .sa_handler = SIG_DFL };
    struct sigaction own;
    sigset_t just_that, mask;

    endwin();
    sigaction(SIGTSTP, &usual, &own);
    raise(SIGTSTP);
    sigemptyset(&just_that);
    sigaddset(&just_that, SIGTSTP);
    sigprocmask(SIG_UNBLOCK, &just_that, &mask); /* here it stops */
    sigprocmask(SIG_SETMASK, &mask, NULL);
    sigaction(SIGTSTP, &own, NULL);
    stopped = 0;
    clearok(curscr, TRUE); /* drawing takes the terminal again */
    raise(SIGWINCH);       /* nobody was told of another size meanwhile */
}

/* ---- the loop ---- */

/* Whether the terminal has hung up, or goes on to announce what then can't be read. Once is nothing:
 * a key that stops the program takes those before it along, after they were announced. */
static bool input_is_gone(unsigned *in_vain)
{
    struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };

    poll(&input, 1, 0);
    return input.revents & (POLLHUP | POLLERR | POLLNVAL) || ++*in_vain == 1000;
}

static bool run(Screen *screen, const sigset_t *signals, GError **errp)
{
    unsigned in_vain = 0; /* how often in a row there was input and no key */

    while (!screen->done) {
        TopWait what;

        draw(screen);
        what = top_sampler_wait(&screen->sampler, STDIN_FILENO, signals, errp);
        if (what == TOP_FAILED) {
            return false;
        }
        if (what == TOP_SAMPLE) {
            /* The last one stays as long as each other. */
            screen->seen += screen->options->iterations > 0;
            screen->done = screen->seen > screen->options->iterations;
            if (!top_sampler_check(&screen->sampler, screen->options, errp)) {
                return false;
            }
        }
        if (take_keys(screen) || what != TOP_INPUT) {
            in_vain = 0;
        } else if (input_is_gone(&in_vain)) {
            g_set_error(errp, CTL_ERROR, CTL_ERROR_OUTPUT, "the terminal is gone");
            return false;
        }
        screen->done |= ended;
        if (stopped && !screen->done) {
            stop();
        }
        make_rows(screen);
    }
    return true;
}

bool top_screen(Client *client, const TopOptions *options, GError **errp)
{
    Screen screen = {
        .options = options,
        .panes = {
            [LOOPS] = { .table = &top_loop_table, .order = options->loop_order },
            [SOURCES] = { .table = &top_source_table, .order = options->source_order },
        },
        .active = SOURCES,
    };
    Signals signals;
    bool good = false;

    signals_hold(&signals);
    if (terminal_open(&screen, errp)) {
        screen.loop = g_strdup(options->loop);
        top_sampler_init(&screen.sampler, client, options->delay_us);
        good = run(&screen, &signals.mask, errp);
        terminal_close(&screen);
        top_sampler_clear(&screen.sampler);
        g_clear_pointer(&screen.panes[LOOPS].rows, g_array_unref);
        g_clear_pointer(&screen.panes[SOURCES].rows, g_array_unref);
        g_free(screen.loop);
    }
    signals_release(&signals);
    return good;
}
