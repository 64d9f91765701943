/*
 * The two faces of 'evloopctl top': one that prints, one that fills the terminal.
 *
 * Both are fed by a sampler, which asks the daemon in turns and never waits for it alone.
 */
#ifndef CTL_TOP_H
#define CTL_TOP_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <glib.h>

#include "ctl/client.h"
#include "ctl/top-model.h"
#include "ctl/top-table.h"

G_BEGIN_DECLS

typedef struct TopOptions {
    int iterations; /* end after so many samples; 0: never */
    int64_t delay_us;
    const char *loop; /* show this one only; NULL: all */
    TopOrder loop_order;
    TopOrder source_order;
    bool json; /* print JSON, not tables */
} TopOptions;

/* Print each sample; the client is the caller's. False and @errp on failure. */
bool top_batch(Client *client, const TopOptions *options, GError **errp);

/* Whether there is a terminal for top_screen(), and it was built in. False and @errp when not. */
bool top_screen_check(GError **errp);

/* Show samples in the terminal until the user has enough. False and @errp on failure, with the
 * terminal as it was before. */
bool top_screen(Client *client, const TopOptions *options, GError **errp);

/* ---- the sampler ---- */

typedef struct TopSampler {
    Client *client;
    int64_t delay_us;
    int64_t next_us;    /* when to take the next sample */
    int64_t asked_us;   /* when the one under way began; 0: none is */
    json_object *loops; /* the first half of it, or NULL */
    int64_t loops_us;
    TopSample *before; /* the last but one, or NULL */
    TopSample *now;    /* the last, or NULL */
} TopSampler;

/* Take samples over @client, which the caller keeps, the first at once, then one each @delay_us. */
void top_sampler_init(TopSampler *sampler, Client *client, int64_t delay_us);

void top_sampler_clear(TopSampler *sampler);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(TopSampler, top_sampler_clear)

/* Do not wait for the time of the next sample. */
void top_sampler_hurry(TopSampler *sampler);

typedef enum {
    TOP_FAILED, /* see @errp */
    TOP_SAMPLE, /* there is a new sample */
    TOP_INPUT,  /* see client_wait() */
    TOP_SIGNAL, /* likewise */
    TOP_LATE,   /* the daemon has not answered for a while; told again and again */
} TopWait;

/* Wait for the next sample, or one of the others; see client_wait(). */
TopWait top_sampler_wait(TopSampler *sampler, int input_fd, const sigset_t *signals, GError **errp);

/* The seconds that the daemon has been silent for; 0 when nothing has been asked. */
double top_sampler_silence(const TopSampler *sampler);

/* The rows of the last sample, in order; see top_loop_rows(), top_source_rows(). */
GArray *top_sampler_loops(const TopSampler *sampler, const char *loop, TopOrder order);
GArray *top_sampler_sources(const TopSampler *sampler, const char *loop, TopOrder order);

/* Whether the loop that @options ask for is in the first sample; false and @errp when not. */
bool top_sampler_check(const TopSampler *sampler, const TopOptions *options, GError **errp);

G_END_DECLS

#endif
