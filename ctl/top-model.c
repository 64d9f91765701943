/*
 * Samples and their differences.
 *
 * Counters may come to their end and start over, things come and go between two samples, and a new
 * one may have the name of one that went. So a difference is computed modulo 2^64; one that would
 * be negative means that the thing is another, whose counters began at 0.
 */
#include <math.h>

#include "ctl/error.h"
#include "ctl/top-model.h"

typedef struct Loop {
    const char *id;
    const char *state;
    const char *source;
    int64_t thread_id;
    int64_t state_ns;
    bool stalled;
    uint64_t passes;
    uint64_t calls;
    uint64_t busy_ns; /* these three up to the time of the sample */
    uint64_t polling_ns;
    uint64_t blocked_ns;
} Loop;

typedef struct Source {
    char *key; /* what tells it from others */
    const char *loop;
    const char *kind;
    const char *name;
    int64_t fd; /* -1: none */
    guint number;
    uint64_t calls;
    uint64_t total_ns;
    uint64_t max_ns;
} Source;

struct TopSample {
    int64_t loops_us;
    int64_t sources_us;
    json_object *loops_json; /* own the texts */
    json_object *sources_json;
    GArray *loops;      /* of Loop, in the daemon's order */
    GPtrArray *sources; /* of Source, likewise */
    GHashTable *by_key; /* key -> Source */
};

/* ---- reading what the daemon sent ---- */

/* A counter that is missing is 0: a daemon of another version may not have it. */
static uint64_t counter(json_object *object, const char *name)
{
    return (uint64_t)json_object_get_int64(json_member(object, name));
}

/* The daemon's member says it by being there: true, or an object or a number with more. */
static bool is_stalled(json_object *object)
{
    return json_object_get_boolean(json_member(object, "stalled")) ||
           json_object_is_type(json_member(object, "stalled"), json_type_object);
}

/* The daemon's times go up to the last change of state. Add what this one has taken so far. */
static void add_current_state(Loop *loop)
{
    if (g_strcmp0(loop->state, "idle") == 0) {
        loop->blocked_ns += (uint64_t)loop->state_ns;
    } else if (g_strcmp0(loop->state, "polling") == 0) {
        loop->polling_ns += (uint64_t)loop->state_ns;
    } else if (g_strcmp0(loop->state, "unused") != 0) {
        loop->busy_ns += (uint64_t)loop->state_ns;
    }
}

static bool add_loop(TopSample *sample, json_object *object)
{
    Loop loop = {
        .id = json_member_string(object, "id"),
        .state = json_member_string(object, "state"),
        .source = json_member_string(object, "source"),
        .thread_id = json_object_get_int64(json_member(object, "thread-id")),
        .state_ns = json_object_get_int64(json_member(object, "state-ns")),
        .stalled = is_stalled(object),
        .passes = counter(object, "passes"),
        .calls = counter(object, "fd-callbacks") + counter(object, "bh-callbacks") +
                 counter(object, "timer-callbacks"),
        .busy_ns = counter(object, "busy-ns"),
        .polling_ns = counter(object, "polling-ns"),
        .blocked_ns = counter(object, "blocked-ns"),
    };

    add_current_state(&loop);
    g_array_append_val(sample->loops, loop);
    return loop.id != NULL;
}

static void source_free(gpointer data)
{
    Source *source = data;

    g_free(source->key);
    g_free(source);
}

static Source *source_of(TopSample *sample, json_object *object)
{
    const char *loop = json_member_string(object, "loop");
    const char *kind = json_member_string(object, "kind");
    const char *name = json_member_string(object, "name");
    json_object *number = json_member(object, "fd");
    int64_t fd = number ? json_object_get_int64(number) : -1;
    g_autofree char *key = NULL;
    Source *source;

    if (!loop || !kind || !name) {
        return NULL;
    }
    key = g_strdup_printf("%s\n%s\n%" G_GINT64_FORMAT "\n%s", loop, kind, fd, name);
    source = g_hash_table_lookup(sample->by_key, key);
    if (!source) {
        source = g_new0(Source, 1);
        source->key = g_steal_pointer(&key);
        source->loop = loop;
        source->kind = kind;
        source->name = name;
        source->fd = fd;
        g_ptr_array_add(sample->sources, source);
        g_hash_table_insert(sample->by_key, source->key, source);
    }
    return source;
}

static bool add_source(TopSample *sample, json_object *object)
{
    Source *source = source_of(sample, object);

    if (!source) {
        return false;
    }
    source->number++;
    source->calls += counter(object, "calls");
    source->total_ns += counter(object, "total-ns");
    source->max_ns = MAX(source->max_ns, counter(object, "max-ns"));
    return true;
}

/* Have @add take each element of @list, which @command returned. */
static bool add_all(TopSample *sample, json_object *list, const char *command,
                    bool (*add)(TopSample *sample, json_object *object), GError **errp)
{
    bool good = json_object_is_type(list, json_type_array);

    for (size_t i = 0; good && i < json_object_array_length(list); i++) {
        good = add(sample, json_object_array_get_idx(list, i));
    }
    if (!good) {
        g_set_error(errp, CTL_ERROR, CTL_ERROR_PROTOCOL,
                    "%s: what it returned is not a list of them", command);
    }
    return good;
}

TopSample *top_sample_new(json_object *loops, int64_t loops_us, json_object *sources,
                          int64_t sources_us, GError **errp)
{
    g_autoptr(TopSample) sample = g_new0(TopSample, 1);

    sample->loops_us = loops_us;
    sample->sources_us = sources_us;
    sample->loops_json = json_object_get(loops);
    sample->sources_json = json_object_get(sources);
    sample->loops = g_array_new(FALSE, FALSE, sizeof(Loop));
    sample->sources = g_ptr_array_new_with_free_func(source_free);
    sample->by_key = g_hash_table_new(g_str_hash, g_str_equal);
    if (!add_all(sample, loops, "query-loops", add_loop, errp) ||
        !add_all(sample, sources, "query-sources", add_source, errp)) {
        return NULL;
    }
    return g_steal_pointer(&sample);
}

void top_sample_free(TopSample *sample)
{
    g_hash_table_unref(sample->by_key);
    g_ptr_array_unref(sample->sources);
    g_array_unref(sample->loops);
    json_object_put(sample->sources_json);
    json_object_put(sample->loops_json);
    g_free(sample);
}

/* ---- looking at a sample ---- */

guint top_sample_count_loops(const TopSample *sample)
{
    return sample->loops->len;
}

guint top_sample_count_sources(const TopSample *sample)
{
    guint count = 0;

    for (guint i = 0; i < sample->sources->len; i++) {
        count += ((Source *)sample->sources->pdata[i])->number;
    }
    return count;
}

const char *top_sample_loop(const TopSample *sample, guint index)
{
    return index < sample->loops->len ? g_array_index(sample->loops, Loop, index).id : NULL;
}

static const Loop *find_loop(const TopSample *sample, const char *id)
{
    for (guint i = 0; i < sample->loops->len; i++) {
        const Loop *loop = &g_array_index(sample->loops, Loop, i);

        if (g_str_equal(loop->id, id)) {
            return loop;
        }
    }
    return NULL;
}

bool top_sample_has_loop(const TopSample *sample, const char *id)
{
    return find_loop(sample, id) != NULL;
}

double top_sample_interval(const TopSample *before, const TopSample *now)
{
    return (double)(now->loops_us - before->loops_us) / G_USEC_PER_SEC;
}

/* ---- differences ---- */

/* How far a counter has come from @before to @now; false when it went back. */
static bool difference(uint64_t before, uint64_t now, double *result)
{
    int64_t ahead = (int64_t)(now - before);

    *result = (double)ahead;
    return ahead >= 0;
}

/* The same of a time, which two looks at a loop may get wrong by a little. */
static double time_difference(uint64_t before, uint64_t now)
{
    double result;

    return difference(before, now, &result) ? result : 0;
}

static bool is_same_loop(const Loop *before, const Loop *now)
{
    double passes;

    return before->thread_id == now->thread_id && difference(before->passes, now->passes, &passes);
}

static double per(double amount, double of)
{
    return of > 0 ? amount / of : NAN;
}

/* @before is NULL for a loop that began after the first sample; then @elapsed_ns may be 0, which
 * stands for all its life. */
static TopLoopRow loop_row(const Loop *before, const Loop *now, double elapsed_ns)
{
    static const Loop nothing;
    const Loop *from = before ? before : &nothing;
    double busy = time_difference(from->busy_ns, now->busy_ns);
    double polling = time_difference(from->polling_ns, now->polling_ns);
    double blocked = time_difference(from->blocked_ns, now->blocked_ns);
    /* A loop does one thing at a time; what goes beyond that is of the two clocks. */
    double whole = MAX(elapsed_ns, busy + polling + blocked);
    double seconds = (elapsed_ns > 0 ? elapsed_ns : whole) / 1e9;

    return (TopLoopRow){
        .loop = now->id,
        .state = now->stalled ? "stalled" : now->state,
        .source = now->source,
        .state_ms = (double)now->state_ns / 1e6,
        .busy = per(100 * busy, whole),
        .polling = per(100 * polling, whole),
        .blocked = per(100 * blocked, whole),
        .passes = per((double)(now->passes - from->passes), seconds),
        .calls = per((double)(now->calls - from->calls), seconds),
        .stalled = now->stalled,
    };
}

GArray *top_loop_rows(const TopSample *before, const TopSample *now, const char *loop)
{
    GArray *rows = g_array_new(FALSE, FALSE, sizeof(TopLoopRow));
    double elapsed_ns = before ? (double)(now->loops_us - before->loops_us) * 1000 : 0;

    for (guint i = 0; i < now->loops->len; i++) {
        const Loop *current = &g_array_index(now->loops, Loop, i);
        const Loop *earlier = before ? find_loop(before, current->id) : NULL;
        TopLoopRow row;

        if (loop && !g_str_equal(loop, current->id)) {
            continue;
        }
        if (earlier && !is_same_loop(earlier, current)) {
            earlier = NULL;
        }
        row = loop_row(earlier, current, elapsed_ns);
        g_array_append_val(rows, row);
    }
    return rows;
}

/*
 * What the counters of @now have gained since @before (NULL: it was not there). False when that
 * can't be known: of several that are one row some went and took their counts with them; or it is a
 * timer, which is there only while it is pending, so that its counts may be from earlier.
 */
static bool source_gain(const Source *before, const Source *now, double *calls, double *total_ns)
{
    bool known = !before || (difference(before->calls, now->calls, calls) &&
                             difference(before->total_ns, now->total_ns, total_ns));

    if (!before && g_str_equal(now->kind, "timer")) {
        return false;
    }
    if (before && !known && (before->number > 1 || now->number > 1)) {
        return false;
    }
    if (!before || !known) {
        *calls = (double)now->calls;
        *total_ns = (double)now->total_ns;
    }
    return true;
}

static TopSourceRow source_row(const Source *now)
{
    return (TopSourceRow){
        .loop = now->loop,
        .kind = now->kind,
        .name = now->name,
        .number = now->number,
        .fd = now->fd < 0 ? NAN : (double)now->fd,
        .calls = NAN,
        .time = NAN,
        .mean_us = NAN,
        .max_us = (double)now->max_ns / 1000,
    };
}

static void add_gain(TopSourceRow *row, double calls, double total_ns, double elapsed_ns)
{
    row->calls = per(calls, elapsed_ns / 1e9);
    row->time = per(100 * total_ns, elapsed_ns);
    row->mean_us = per(total_ns / 1000, calls);
}

/* The age of a loop, which its times add up to; 0 when it is not there. */
static double loop_age_ns(const TopSample *sample, const char *id)
{
    const Loop *loop = find_loop(sample, id);

    return loop ? (double)(loop->busy_ns + loop->polling_ns + loop->blocked_ns) : 0;
}

GArray *top_source_rows(const TopSample *before, const TopSample *now, const char *loop)
{
    GArray *rows = g_array_new(FALSE, FALSE, sizeof(TopSourceRow));
    double elapsed_ns = before ? (double)(now->sources_us - before->sources_us) * 1000 : 0;

    for (guint i = 0; i < now->sources->len; i++) {
        const Source *current = now->sources->pdata[i];
        TopSourceRow row = source_row(current);
        double calls, total_ns;

        if (loop && !g_str_equal(loop, current->loop)) {
            continue;
        }
        if (!before) {
            add_gain(&row, (double)current->calls, (double)current->total_ns,
                     loop_age_ns(now, current->loop));
        } else if (source_gain(g_hash_table_lookup(before->by_key, current->key), current, &calls,
                               &total_ns)) {
            add_gain(&row, calls, total_ns, elapsed_ns);
        }
        g_array_append_val(rows, row);
    }
    return rows;
}
