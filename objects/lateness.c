/*
 * Recording how late things came, and telling it.
 */
#include "config.h"
#include "objects/lateness.h"

#include <glib.h>

#include "objects/keep.h"

static double sum_of(Lateness *lateness)
{
    return atomic_load_explicit(&lateness->sum_ns, memory_order_relaxed);
}

void lateness_record(Lateness *lateness, int64_t late_ns)
{
    int bucket = late_ns == 0 ? 0 : 64 - __builtin_clzll((unsigned long long)late_ns);
    bool first = counter_read(&lateness->count) == 0;

    counter_increase(&lateness->count, 1);
    /* As a counter. */
    atomic_store_explicit(&lateness->sum_ns, sum_of(lateness) + (double)late_ns,
                          memory_order_relaxed);
    if (first || late_ns < counter_read(&lateness->min_ns)) {
        counter_set(&lateness->min_ns, late_ns);
    }
    if (late_ns > counter_read(&lateness->max_ns)) {
        counter_set(&lateness->max_ns, late_ns);
    }
    counter_increase(&lateness->buckets[bucket], 1);
}

/* ---- as JSON ---- */

typedef struct BucketInfo {
    int64_t from_ns;
    int64_t count;
} BucketInfo;

static const QmpMember bucket_members[] = {
    { .name = "from-ns",
      .type = &qmp_type_int,
      .offset = offsetof(BucketInfo, from_ns),
      .help = "0 or a power of two: as late as this in ns, and less than twice as late" },
    { .name = "count",
      .type = &qmp_type_int,
      .offset = offsetof(BucketInfo, count),
      .help = "how many were" },
    { 0 },
};
static const QmpType bucket_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "LatenessBucket",
    .members = bucket_members,
    .size = sizeof(BucketInfo),
};
static const QmpType bucket_list_type = { .kind = QMP_KIND_ARRAY, .element = &bucket_type };

typedef struct LatenessInfo {
    int64_t min_ns;
    int64_t mean_ns;
    int64_t max_ns;
    json_object *histogram;
} LatenessInfo;

static const QmpMember lateness_members[] = {
    { .name = "min-ns",
      .type = &qmp_type_int,
      .offset = offsetof(LatenessInfo, min_ns),
      .help = "the least, in ns" },
    { .name = "mean-ns",
      .type = &qmp_type_int,
      .offset = offsetof(LatenessInfo, mean_ns),
      .help = "the mean, in ns" },
    { .name = "max-ns",
      .type = &qmp_type_int,
      .offset = offsetof(LatenessInfo, max_ns),
      .help = "the most, in ns" },
    { .name = "histogram",
      .type = &bucket_list_type,
      .offset = offsetof(LatenessInfo, histogram),
      .help = "how many were how late, without what none was" },
    { 0 },
};
const QmpType lateness_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "Lateness",
    .members = lateness_members,
    .size = sizeof(LatenessInfo),
};

/* No more than @max_ns, which is also the most that can be converted. */
static int64_t mean_of(Lateness *lateness, int64_t max_ns)
{
    int64_t count = counter_read(&lateness->count);
    double mean = count > 0 ? sum_of(lateness) / (double)count : 0;

    return mean >= (double)max_ns ? max_ns : (int64_t)mean;
}

json_object *lateness_to_json(Lateness *lateness)
{
    int64_t max_ns = counter_read(&lateness->max_ns);
    LatenessInfo info = {
        .min_ns = counter_read(&lateness->min_ns),
        .mean_ns = mean_of(lateness, max_ns),
        .max_ns = max_ns,
        .histogram = json_object_new_array(),
    };
    json_object *value;

    for (int i = 0; i < LATENESS_BUCKETS; i++) {
        BucketInfo bucket = {
            .from_ns = i == 0 ? 0 : (int64_t)1 << (i - 1),
            .count = counter_read(&lateness->buckets[i]),
        };

        if (bucket.count > 0) {
            json_object_array_add(info.histogram, qmp_marshal(&bucket_type, &bucket));
        }
    }
    value = qmp_marshal(&lateness_type, &info);
    qmp_unbind(&lateness_type, &info);
    return value;
}

/* ---- for the next process ---- */

json_object *lateness_keep(Lateness *lateness)
{
    json_object *state = json_object_new_object();
    json_object *buckets = json_object_new_array();

    json_object_object_add(state, "count", json_object_new_int64(counter_read(&lateness->count)));
    json_object_object_add(state, "sum-ns", json_object_new_double(sum_of(lateness)));
    json_object_object_add(state, "min-ns", json_object_new_int64(counter_read(&lateness->min_ns)));
    json_object_object_add(state, "max-ns", json_object_new_int64(counter_read(&lateness->max_ns)));
    for (int i = 0; i < LATENESS_BUCKETS; i++) {
        json_object_array_add(buckets, json_object_new_int64(counter_read(&lateness->buckets[i])));
    }
    json_object_object_add(state, "buckets", buckets);
    return state;
}

void lateness_restore(Lateness *lateness, json_object *state)
{
    json_object *buckets = kept_get_array(state, "buckets");
    double sum = json_object_get_double(json_object_object_get(state, "sum-ns"));

    if (!buckets || json_object_array_length(buckets) != LATENESS_BUCKETS || !(sum >= 0)) {
        return;
    }
    counter_restore(&lateness->count, kept_get_int(state, "count"));
    atomic_store_explicit(&lateness->sum_ns, sum, memory_order_relaxed);
    counter_restore(&lateness->min_ns, kept_get_int(state, "min-ns"));
    counter_restore(&lateness->max_ns, kept_get_int(state, "max-ns"));
    for (size_t i = 0; i < LATENESS_BUCKETS; i++) {
        counter_restore(&lateness->buckets[i],
                        json_object_get_int64(json_object_array_get_idx(buckets, i)));
    }
}
