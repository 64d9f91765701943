/*
 * How late things came: minimum, mean, maximum and a histogram by powers of two.
 *
 * The thread of an object's loop records; any thread reads, see objects/counter.h.
 */
#ifndef OBJECTS_LATENESS_H
#define OBJECTS_LATENESS_H

#include <json-c/json.h>

#include "objects/counter.h"
#include "qmp/qmp-schema.h"

/* Of 0 ns, of 1 ns, of 2 to 3 ns, of 4 to 7 ns and so on. */
#define LATENESS_BUCKETS 64

typedef struct Lateness {
    Counter count;
    _Atomic double sum_ns; /* 63 bits would not do, and what is beyond 53 is no matter for a mean */
    Counter min_ns;        /* of none: 0 */
    Counter max_ns;
    Counter buckets[LATENESS_BUCKETS];
} Lateness;

/* The object type of what lateness_to_json() returns. */
extern const QmpType lateness_type;

/* Record one that came @late_ns too late, 0 or more. The loop's thread. */
void lateness_record(Lateness *lateness, int64_t late_ns);

/* What has been recorded; the caller owns the reference. Any thread. */
json_object *lateness_to_json(Lateness *lateness);

/* All of it for the next process, a reference for the caller; and that again, from what may be
 * anything. While nothing records. */
json_object *lateness_keep(Lateness *lateness);
void lateness_restore(Lateness *lateness, json_object *state);

#endif
