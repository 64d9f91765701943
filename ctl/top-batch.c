/*
 * 'evloopctl top --batch': each sample printed, as two tables or as a line of JSON.
 */
#include <unistd.h>

#include "ctl/print.h"
#include "ctl/top.h"

static void append_table(GString *text, const TopTable *table, GArray *rows)
{
    guint widths[TOP_MAX_COLUMNS];
    g_autofree char *titles = NULL;

    top_table_measure(table, rows, 0, widths);
    titles = top_table_line(table, widths, NULL);
    g_string_append_printf(text, "\n%s\n", titles);
    for (guint i = 0; i < rows->len; i++) {
        g_autofree char *line = top_table_line(table, widths, rows->data + i * table->row_size);

        g_string_append_printf(text, "%s\n", line);
    }
}

static bool print_tables(const TopSampler *sampler, GArray *loops, GArray *sources, GError **errp)
{
    g_autoptr(GString) text = g_string_new("evloopctl top: ");
    g_autoptr(GDateTime) time = g_date_time_new_now_local();
    g_autofree char *date = g_date_time_format(time, "%F %T");

    g_string_append_printf(text, "%s, ", date);
    if (sampler->before) {
        g_string_append_printf(text, "over %.3f s",
                               top_sample_interval(sampler->before, sampler->now));
    } else {
        g_string_append(text, "since the start");
    }
    g_string_append_printf(text, ", %u loops, %u sources\n", top_sample_count_loops(sampler->now),
                           top_sample_count_sources(sampler->now));
    append_table(text, &top_loop_table, loops);
    append_table(text, &top_source_table, sources);
    g_string_append_c(text, '\n');
    return print_text(text->str, errp);
}

static bool print_object(const TopSampler *sampler, GArray *loops, GArray *sources, GError **errp)
{
    g_autoptr(json_object) object = json_object_new_object();
    json_object *interval = NULL;

    if (sampler->before) {
        interval = json_object_new_double(top_sample_interval(sampler->before, sampler->now));
    }
    json_object_object_add(object, "time",
                           json_object_new_double((double)g_get_real_time() / G_USEC_PER_SEC));
    json_object_object_add(object, "interval", interval);
    json_object_object_add(object, "loops", top_table_json(&top_loop_table, loops));
    json_object_object_add(object, "sources", top_table_json(&top_source_table, sources));
    return print_json_line(object, errp);
}

static bool print_sample(const TopSampler *sampler, const TopOptions *options, GError **errp)
{
    g_autoptr(GArray) loops = top_sampler_loops(sampler, options->loop, options->loop_order);
    g_autoptr(GArray) sources = top_sampler_sources(sampler, options->loop, options->source_order);

    if (options->json) {
        return print_object(sampler, loops, sources, errp);
    }
    return print_tables(sampler, loops, sources, errp);
}

bool top_batch(Client *client, const TopOptions *options, GError **errp)
{
    g_auto(TopSampler) sampler = { NULL };
    int seen = 0;

    client_watch_output(client, STDOUT_FILENO);
    top_sampler_init(&sampler, client, options->delay_us);
    while (options->iterations == 0 || seen < options->iterations) {
        TopWait what = top_sampler_wait(&sampler, -1, NULL, errp);

        if (what == TOP_FAILED) {
            return false;
        }
        if (what != TOP_SAMPLE) {
            continue;
        }
        if (!top_sampler_check(&sampler, options, errp) || !print_sample(&sampler, options, errp)) {
            return false;
        }
        seen = options->iterations > 0 ? seen + 1 : 0;
    }
    return true;
}
