/*
 * Taking samples: query-loops, then query-sources, both out-of-band where the daemon has that, so
 * that they are answered while its main loop is stuck.
 */
#include "ctl/error.h"
#include "ctl/top.h"

/* How often the user is told that the daemon does not answer. */
#define LATE_US G_USEC_PER_SEC

void top_sampler_init(TopSampler *sampler, Client *client, int64_t delay_us)
{
    *sampler = (TopSampler){
        .client = client,
        .delay_us = delay_us,
        .next_us = g_get_monotonic_time(),
    };
}

void top_sampler_clear(TopSampler *sampler)
{
    g_clear_pointer(&sampler->loops, json_object_put);
    g_clear_pointer(&sampler->before, top_sample_free);
    g_clear_pointer(&sampler->now, top_sample_free);
}

void top_sampler_hurry(TopSampler *sampler)
{
    sampler->next_us = g_get_monotonic_time();
}

static bool ask(TopSampler *sampler, GError **errp)
{
    sampler->asked_us = g_get_monotonic_time();
    sampler->next_us = sampler->asked_us + sampler->delay_us;
    return client_begin(sampler->client, "query-loops", NULL, errp);
}

/* Take one of the two answers. TOP_INPUT, which it never is, when the other is to come. */
static TopWait take(TopSampler *sampler, json_object *answer, GError **errp)
{
    g_autoptr(json_object) loops = NULL;
    g_autoptr(TopSample) sample = NULL;

    if (!sampler->loops) {
        sampler->loops = json_object_get(answer);
        sampler->loops_us = g_get_monotonic_time();
        return client_begin(sampler->client, "query-sources", NULL, errp) ? TOP_INPUT : TOP_FAILED;
    }
    loops = g_steal_pointer(&sampler->loops);
    sample = top_sample_new(loops, sampler->loops_us, answer, g_get_monotonic_time(), errp);
    if (!sample) {
        return TOP_FAILED;
    }
    sampler->asked_us = 0;
    g_clear_pointer(&sampler->before, top_sample_free);
    sampler->before = sampler->now;
    sampler->now = g_steal_pointer(&sample);
    return TOP_SAMPLE;
}

TopWait top_sampler_wait(TopSampler *sampler, int input_fd, const sigset_t *signals, GError **errp)
{
    for (;;) {
        g_autoptr(json_object) answer = NULL;
        int64_t now = g_get_monotonic_time();
        TopWait what;

        if (!sampler->asked_us && now >= sampler->next_us && !ask(sampler, errp)) {
            return TOP_FAILED;
        }
        switch (client_wait(sampler->client, sampler->asked_us ? now + LATE_US : sampler->next_us,
                            input_fd, signals, &answer, errp)) {
        case CLIENT_FAILED:
            return TOP_FAILED;
        case CLIENT_INPUT:
            return TOP_INPUT;
        case CLIENT_SIGNAL:
            return TOP_SIGNAL;
        case CLIENT_TIME:
            if (sampler->asked_us) {
                return TOP_LATE;
            }
            break;
        case CLIENT_ANSWERED:
            what = take(sampler, answer, errp);
            if (what != TOP_INPUT) {
                return what;
            }
            break;
        }
    }
}

double top_sampler_silence(const TopSampler *sampler)
{
    int64_t since = sampler->asked_us;

    return since ? (double)(g_get_monotonic_time() - since) / G_USEC_PER_SEC : 0;
}

GArray *top_sampler_loops(const TopSampler *sampler, const char *loop, TopOrder order)
{
    GArray *rows = top_loop_rows(sampler->before, sampler->now, loop);

    top_table_sort(&top_loop_table, rows, order);
    return rows;
}

GArray *top_sampler_sources(const TopSampler *sampler, const char *loop, TopOrder order)
{
    GArray *rows = top_source_rows(sampler->before, sampler->now, loop);

    top_table_sort(&top_source_table, rows, order);
    return rows;
}

bool top_sampler_check(const TopSampler *sampler, const TopOptions *options, GError **errp)
{
    if (options->loop && !sampler->before && !top_sample_has_loop(sampler->now, options->loop)) {
        g_set_error(errp, CTL_ERROR, CTL_ERROR_COMMAND, "there is no loop '%s'", options->loop);
        return false;
    }
    return true;
}
