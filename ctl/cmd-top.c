/*
 * evloopctl top: what all loops and sources do, over and over.
 */
#include "ctl/command.h"
#include "ctl/error.h"
#include "ctl/top.h"

#define DELAY_MIN 0.01
#define DELAY_MAX 86400.0

/* The column @key of one table or both; what does not have it keeps its own. */
static bool choose_order(const char *key, bool reversed, TopOptions *options, GError **errp)
{
    g_autofree char *keys = NULL;
    bool found;

    options->loop_order = (TopOrder){ top_loop_table.by_default, reversed };
    options->source_order = (TopOrder){ top_source_table.by_default, reversed };
    if (!key) {
        return true;
    }
    found = top_table_find_column(&top_loop_table, key, &options->loop_order.column);
    found |= top_table_find_column(&top_source_table, key, &options->source_order.column);
    if (!found) {
        keys = top_table_keys();
        g_set_error(errp, CTL_ERROR, CTL_ERROR_USAGE, "--sort '%s' is none of %s", key, keys);
    }
    return found;
}

static bool check(int iterations, double delay, const char *loop, GError **errp)
{
    if (iterations < 0) {
        g_set_error(errp, CTL_ERROR, CTL_ERROR_USAGE, "--iterations is a number from 1, or 0");
        return false;
    }
    if (!(delay >= DELAY_MIN && delay <= DELAY_MAX)) {
        g_set_error(errp, CTL_ERROR, CTL_ERROR_USAGE,
                    "--delay is a number of seconds from %g to %g", DELAY_MIN, DELAY_MAX);
        return false;
    }
    if (loop && (!*loop || !g_utf8_validate(loop, -1, NULL))) {
        g_set_error(errp, CTL_ERROR, CTL_ERROR_USAGE, "--loop is the id of a loop");
        return false;
    }
    return true;
}

static bool top_run(const CtlCommand *command, Ctl *ctl, char **words, GError **errp)
{
    gboolean batch = FALSE, json = ctl->json, reversed = FALSE;
    g_autofree char *sort = NULL;
    g_autofree char *loop = NULL;
    double delay = 1;
    int iterations = 0;
    const GOptionEntry entries[] = {
        { "batch", 'b', 0, G_OPTION_ARG_NONE, &batch, "Print instead of filling the terminal",
          NULL },
        { "iterations", 'n', 0, G_OPTION_ARG_INT, &iterations, "End after so many samples", "N" },
        { "delay", 'd', 0, G_OPTION_ARG_DOUBLE, &delay, "Time between samples; 1 by default",
          "SECONDS" },
        { "sort", 'o', 0, G_OPTION_ARG_STRING, &sort, "Sort by this column", "KEY" },
        { "reverse", 'r', 0, G_OPTION_ARG_NONE, &reversed, "Sort the other way round", NULL },
        { "loop", 'l', 0, G_OPTION_ARG_FILENAME, &loop, "Show this loop only", "ID" },
        { "json", 0, 0, G_OPTION_ARG_NONE, &json, "Print each sample as a line of JSON", NULL },
        { NULL },
    };
    g_auto(GStrv) rest = ctl_parse(command, ctl, entries, words, 0, 0, errp);
    TopOptions options = { .json = json };
    g_autoptr(Client) client = NULL;

    if (!rest || !check(iterations, delay, loop, errp) ||
        !choose_order(sort, reversed, &options, errp) ||
        (!batch && !json && !top_screen_check(errp))) {
        return false;
    }
    options.iterations = iterations;
    options.delay_us = (int64_t)(delay * G_USEC_PER_SEC);
    options.loop = loop;
    client = ctl_connect(ctl, CLIENT_OOB_IF_OFFERED, errp);
    if (!client) {
        return false;
    }
    return batch || json ? top_batch(client, &options, errp) : top_screen(client, &options, errp);
}

static void top_complete(Ctl *ctl, Completion *completion, char **words)
{
    if (g_strcmp0(completion->option, "sort") == 0) {
        g_autofree char *text = top_table_keys();
        g_auto(GStrv) keys = g_strsplit(text, ", ", -1);

        for (char **key = keys; *key; key++) {
            completion_add(completion, *key, NULL);
        }
    } else if (g_strcmp0(completion->option, "loop") == 0) {
        completion_add_loops(completion, ctl, true);
    }
}

const CtlCommand ctl_top = {
    .name = "top",
    .summary = "Show what all loops and sources do, over and over",
    .description =
        "In the terminal, h shows the keys. With --batch it is printed, for programs too:\n"
        "each sample is a line that says of when it is, the table of loops and that of\n"
        "sources. The first sample is of all the time since the loops began, each other\n"
        "of the time since the one before. A - is what is not there, or not known.\n"
        "\n"
        "--sort KEY is a column: loop, state, for, busy, polling, blocked, passes, calls or\n"
        "source of loops; loop, name, kind, number, fd, calls, time, mean or max of sources.\n",
    .run = top_run,
    .complete = top_complete,
};
