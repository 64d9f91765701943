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

static json_object *loop_row(json_object *loop, bool *bad)
{
    json_object *row = json_object_new_object();
    const char *state = json_member_string(loop, "state");
    double now = number(loop, "state-ns"); /* which the sums do not have yet */
    bool rests = g_strcmp0(state, "idle") == 0 || g_strcmp0(state, "polling") == 0;
    double busy = number(loop, "busy-ns") + (rests ? 0 : now);
    double all = busy + number(loop, "polling-ns") + number(loop, "blocked-ns") + (rests ? now : 0);
    g_autofree char *percent = g_strdup_printf("%.1f", all > 0 ? busy * 100 / all : 0.0);
    g_autofree char *time = format_time(now);

    *bad = json_object_get_boolean(json_member(loop, "stalled"));
    copy_member(row, "loop", loop, "id");
    copy_member(row, "state", loop, "state");
    if (*bad) {
        set_string(row, "state", "stalled");
    }
    set_string(row, "for", time);
    set_string(row, "busy%", percent);
    copy_member(row, "fdmon", loop, "fdmon");
    copy_member(row, "thread", loop, "thread-id");
    copy_member(row, "source", loop, "source");
    return row;
}

static json_object *iothread_row(json_object *iothread, bool *bad)
{
    json_object *row = json_object_new_object();

    copy_member(row, "iothread", iothread, "id");
    copy_member(row, "poll-max-ns", iothread, "poll-max-ns");
    copy_member(row, "cpu-affinity", iothread, "cpu-affinity");
    copy_member(row, "sched-policy", iothread, "sched-policy");
    *bad = false;
    return row;
}

static json_object *object_row(json_object *object, bool *bad)
{
    json_object *row = json_object_new_object();

    copy_member(row, "object", object, "id");
    copy_member(row, "type", object, "type");
    copy_member(row, "loop", object, "loop");
    *bad = false;
    return row;
}

static json_object *client_row(json_object *client, bool *bad)
{
    json_object *row = json_object_new_object();

    copy_member(row, "client", client, "id");
    copy_member(row, "uid", client, "uid");
    copy_member(row, "pid", client, "pid");
    copy_member(row, "access", client, "access");
    copy_member(row, "mode", client, "mode");
    copy_member(row, "unsent", client, "unsent-bytes");
    copy_member(row, "left-out", client, "events-left-out");
    copy_member(row, "socket", client, "socket");
    *bad = number(client, "events-left-out") > 0 ||
           json_object_get_boolean(json_member(client, "paused"));
    return row;
}

/* ---- tables ---- */

typedef struct StatusTable {
    const char *member; /* of the status */
    json_object *(*row)(json_object *element, bool *bad);
    const char *keys[9]; /* columns, up to NULL */
} StatusTable;

static const StatusTable tables[] = {
    { "loops", loop_row, { "loop", "state", "for", "busy%", "fdmon", "thread", "source" } },
    { "iothreads", iothread_row, { "iothread", "poll-max-ns", "cpu-affinity", "sched-policy" } },
    { "objects", object_row, { "object", "type", "loop" } },
    { "clients",
      client_row,
      { "client", "uid", "pid", "access", "mode", "unsent", "left-out", "socket" } },
};

static bool append_table(GString *text, const StatusTable *table, json_object *list,
                         const Colours *c, GError **errp)
{
    g_autoptr(json_object) rows = json_object_new_array();
    g_autofree bool *bad = NULL;
    g_auto(GStrv) lines = NULL;
    size_t count = json_object_array_length(list);
    size_t shown = MIN(count, MOST_ROWS);

    bad = g_new0(bool, shown + 1);
    for (size_t i = 0; i < shown; i++) {
        json_object_array_add(rows, table->row(json_object_array_get_idx(list, i), &bad[i]));
    }
    lines = table_lines(rows, table->keys, errp);
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
