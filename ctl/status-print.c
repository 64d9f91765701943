/*
 * The state of the daemon as tables on one screen, what is wrong first.
 */
#include "ctl/status.h"

#include "ctl/print.h"
#include "ctl/text.h"

/* More rows of a table than this are not shown, so that it stays one screen. */
#define MOST_ROWS 12

typedef struct Colours {
    const char *title;
    const char *good;
    const char *bad;
    const char *end;
} Colours;

static const Colours no_colours = { "", "", "", "" };
static const Colours colours = { "\033[1m", "\033[32m", "\033[31m", "\033[0m" };

/* ---- rows ---- */

static void set_string(json_object *row, const char *key, const char *value)
{
    json_object_object_add(row, key, json_object_new_string(value));
}

static void copy_member(json_object *row, const char *key, json_object *from, const char *name)
{
    json_object *value = json_member(from, name);

    json_object_object_add(row, key, value ? json_object_get(value) : json_object_new_string("-"));
}

static double number(json_object *object, const char *name)
{
    return json_object_get_double(json_member(object, name));
}

static char *format_time(double ns)
{
    static const struct {
        double ns;
        const char *unit;
    } units[] = { { 3600e9, "h" }, { 60e9, "min" }, { 1e9, "s" }, { 1e6, "ms" }, { 1e3, "us" } };

    for (size_t i = 0; i < G_N_ELEMENTS(units); i++) {
        if (ns >= units[i].ns) {
            return g_strdup_printf("%.1f%s", ns / units[i].ns, units[i].unit);
        }
    }
    return g_strdup_printf("%.0fns", ns);
}

/* What a column shows that is more than a member of the element. Returns whether the element is to
 * be marked as bad. */
static bool judge_loop(json_object *row, json_object *loop)
{
    const char *state = json_member_string(loop, "state");
    double now = number(loop, "state-ns"); /* which the sums do not have yet */
    bool rests = g_strcmp0(state, "idle") == 0 || g_strcmp0(state, "polling") == 0;
    double busy = number(loop, "busy-ns") + (rests ? 0 : now);
    double all = busy + number(loop, "polling-ns") + number(loop, "blocked-ns") + (rests ? now : 0);
    g_autofree char *percent = g_strdup_printf("%.1f", all > 0 ? busy * 100 / all : 0.0);
    g_autofree char *time = format_time(now);
    bool stalled = json_object_get_boolean(json_member(loop, "stalled"));

    if (stalled) {
        set_string(row, "state", "stalled");
    }
    set_string(row, "for", time);
    set_string(row, "busy%", percent);
    return stalled;
}

static bool judge_client(json_object *row, json_object *client)
{
    return number(client, "events-left-out") > 0 ||
           json_object_get_boolean(json_member(client, "paused"));
}

/* ---- tables ---- */

#define MOST_COLUMNS 8

typedef struct StatusColumn {
    const char *title;
    const char *member; /* of the element; NULL: as the title */
} StatusColumn;

typedef struct StatusTable {
    const char *member;                                    /* of the status */
    bool (*judge)(json_object *row, json_object *element); /* or NULL: all are good */
    StatusColumn columns[MOST_COLUMNS + 1];                /* up to a title that is NULL */
} StatusTable;

static const StatusTable tables[] = {
    { "loops",
      judge_loop,
      { { "loop", "id" },
        { "state" },
        { "for" },
        { "busy%" },
        { "fdmon" },
        { "thread", "thread-id" },
        { "source" } } },
    { "iothreads",
      NULL,
      { { "iothread", "id" }, { "poll-max-ns" }, { "cpu-affinity" }, { "sched-policy" } } },
    { "objects", NULL, { { "object", "id" }, { "type" }, { "loop" } } },
    { "clients",
      judge_client,
      { { "client", "id" },
        { "uid" },
        { "pid" },
        { "access" },
        { "mode" },
        { "unsent", "unsent-bytes" },
        { "left-out", "events-left-out" },
        { "socket" } } },
};

/* The caller owns it. */
static json_object *make_row(const StatusTable *table, json_object *element, bool *bad)
{
    json_object *row = json_object_new_object();

    for (const StatusColumn *column = table->columns; column->title; column++) {
        copy_member(row, column->title, element, column->member ? column->member : column->title);
    }
    *bad = table->judge && table->judge(row, element);
    return row;
}

static void list_keys(const StatusTable *table, const char *keys[MOST_COLUMNS + 1])
{
    for (size_t i = 0; i <= MOST_COLUMNS; i++) {
        keys[i] = table->columns[i].title;
    }
}

static bool append_table(GString *text, const StatusTable *table, json_object *list,
                         const Colours *c, GError **errp)
{
    g_autoptr(json_object) rows = json_object_new_array();
    g_autofree bool *bad = NULL;
    g_auto(GStrv) lines = NULL;
    const char *keys[MOST_COLUMNS + 1];
    size_t count = json_object_array_length(list);
    size_t shown = MIN(count, MOST_ROWS);

    bad = g_new0(bool, shown + 1);
    for (size_t i = 0; i < shown; i++) {
        json_object_array_add(rows, make_row(table, json_object_array_get_idx(list, i), &bad[i]));
    }
    list_keys(table, keys);
    lines = table_lines(rows, keys, errp);
    if (!lines) {
        return false;
    }
    g_string_append_printf(text, "\n%s%s%s\n", c->title, lines[0], c->end);
    for (size_t i = 0; i < shown; i++) {
        g_string_append_printf(text, "%s%s%s\n", bad[i] ? c->bad : "", lines[i + 1],
                               bad[i] ? c->end : "");
    }
    if (count > shown) {
        g_string_append_printf(text, "... and %zu more; --json shows all\n", count - shown);
    }
    return true;
}

/* ---- all of it ---- */

static void append_head(GString *text, json_object *status, const Colours *c)
{
    json_object *problems = json_member(status, "problems");
    size_t count = json_object_array_length(problems);
    const char *package = json_member_string(json_member(status, "version"), "package");
    g_autofree char *name = text_clean(package && *package ? package : "daemon");

    if (count == 0) {
        g_string_append_printf(text, "%s%s%s: %sall is well%s\n", c->title, name, c->end, c->good,
                               c->end);
        return;
    }
    g_string_append_printf(text, "%s%s%s: %s%zu %s%s\n", c->title, name, c->end, c->bad, count,
                           count == 1 ? "problem" : "problems", c->end);
    for (size_t i = 0; i < count; i++) {
        g_autofree char *clean =
            text_clean(json_object_get_string(json_object_array_get_idx(problems, i)));

        g_string_append_printf(text, "  %s%s%s\n", c->bad, clean, c->end);
    }
}

bool status_print(json_object *status, bool colour, GError **errp)
{
    const Colours *c = colour ? &colours : &no_colours;
    g_autoptr(GString) text = g_string_new(NULL);

    append_head(text, status, c);
    for (size_t i = 0; i < G_N_ELEMENTS(tables); i++) {
        json_object *list = json_member_array(status, tables[i].member);

        if (list && json_object_array_length(list) > 0 &&
            !append_table(text, &tables[i], list, c, errp)) {
            return false;
        }
    }
    return print_text(text->str, errp);
}
