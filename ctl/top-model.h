/*
 * What 'evloopctl top' knows: samples of all loops and sources, and what they did in between.
 *
 * A sample is what query-loops and query-sources answered; rows are computed out of two of them, or
 * out of one and what had been counted up to it. Nothing here talks to anybody.
 */
#ifndef CTL_TOP_MODEL_H
#define CTL_TOP_MODEL_H

#include <stdbool.h>
#include <stdint.h>
#include <glib.h>

#include "ctl/json.h"

G_BEGIN_DECLS

/* ---- samples ---- */

typedef struct TopSample TopSample;

/*
 * The sample of @loops, what query-loops returned, taken at @loops_us (of g_get_monotonic_time()),
 * and of @sources, what query-sources returned, taken at @sources_us. NULL and @errp when one of
 * them is no list of objects with ids. The caller owns it.
 */
TopSample *top_sample_new(json_object *loops, int64_t loops_us, json_object *sources,
                          int64_t sources_us, GError **errp);

void top_sample_free(TopSample *sample);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(TopSample, top_sample_free)

guint top_sample_count_loops(const TopSample *sample);
guint top_sample_count_sources(const TopSample *sample);

/* The id of the loop @index, of those that there are; NULL past the last. The sample owns it. */
const char *top_sample_loop(const TopSample *sample, guint index);

/* Whether there is a loop @id. */
bool top_sample_has_loop(const TopSample *sample, const char *id);

/* The seconds between two samples. */
double top_sample_interval(const TopSample *before, const TopSample *now);

/* ---- rows ---- */

/* One loop. The sample that it was made from owns its texts. What is not known is NAN or NULL. */
typedef struct TopLoopRow {
    const char *loop;
    const char *state;  /* "stalled" when the daemon says so */
    const char *source; /* what it is inside of */
    double state_ms;    /* how long it has been in that state */
    double busy;        /* percent of the time */
    double polling;
    double blocked;
    double passes; /* a second */
    double calls;  /* callbacks a second */
    bool stalled;
} TopLoopRow;

/* All sources of one loop that nothing tells apart: of one kind, name and descriptor. */
typedef struct TopSourceRow {
    const char *loop;
    const char *kind;
    const char *name;
    double number; /* how many they are */
    double fd;
    double calls; /* a second */
    double time;  /* percent of the time that is spent in them */
    double mean_us;
    double max_us; /* of the longest call that there ever was */
} TopSourceRow;

/* The rows of all loops, or of @loop only: what they did between two samples, or, when @before is
 * NULL, since each began. An array of TopLoopRow, in the daemon's order; the caller owns it. */
GArray *top_loop_rows(const TopSample *before, const TopSample *now, const char *loop);

/* The same of sources: an array of TopSourceRow. */
GArray *top_source_rows(const TopSample *before, const TopSample *now, const char *loop);

G_END_DECLS

#endif
