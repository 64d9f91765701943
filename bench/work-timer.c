/*
 * How late a periodic timer on an IOThread fires.
 *
 *     work-timer [-p PERIOD_US] [-s SECONDS] [-b POLL_MAX_NS] [SOCKET COMMAND [ARGUMENT...]]
 *
 * A "timer" object of the daemon's, which does its own statistics; without a server, a bare thread
 * that sleeps in read() of a timerfd and does the same. With -b that is the IOThread's poll-max-ns,
 * and the bare thread does not sleep, but reads the clock until the time has come. Either has the
 * processor to itself but for this process, which sleeps. The median is interpolated within its
 * bucket of the histogram, powers of two, in both cases. Prints one line of JSON.
 */
#include "config.h"

#include "bench/bench-qmp.h"
#include "bench/bench-server.h"
#include "bench/bench-util.h"

#include <err.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum {
    BUCKETS = 64,
};

typedef struct Lateness {
    uint64_t bucket[BUCKETS]; /* of 0 ns, of 1, of 2 to 3, of 4 to 7 and so on */
    int64_t max_ns;
    uint64_t missed; /* periods that went by before the timer was served */
} Lateness;

static unsigned bucket_of(int64_t late_ns)
{
    return late_ns <= 0 ? 0 : 64 - (unsigned)__builtin_clzll((unsigned long long)late_ns);
}

static double median_us(const Lateness *lateness)
{
    uint64_t total = 0;
    uint64_t below = 0;
    unsigned i = 0;

    for (unsigned j = 0; j < BUCKETS; j++) {
        total += lateness->bucket[j];
    }
    if (total == 0) {
        errx(1, "the timer did not fire");
    }
    while (2 * (below + lateness->bucket[i]) < total) {
        below += lateness->bucket[i++];
    }
    if (i == 0) {
        return 0;
    }
    return (double)(UINT64_C(1) << (i - 1)) *
           (1 + ((double)total / 2 - (double)below) / (double)lateness->bucket[i]) / 1000;
}

/* ---- without a server ---- */

static void count(Lateness *lateness, int64_t late_ns, int64_t missed)
{
    lateness->bucket[bucket_of(late_ns)]++;
    lateness->max_ns = late_ns > lateness->max_ns ? late_ns : lateness->max_ns;
    lateness->missed += (uint64_t)missed;
}

/* As late, and as often, as the machine takes the processor away. */
static void measure_spinning(Lateness *lateness, int64_t period_ns, unsigned seconds)
{
    int64_t due_ns = bench_now_ns() + period_ns;
    int64_t end_ns = due_ns + seconds * INT64_C(1000000000);

    while (due_ns < end_ns) {
        int64_t late_ns;

        do {
            late_ns = bench_now_ns() - due_ns;
        } while (late_ns < 0);
        count(lateness, late_ns, late_ns / period_ns);
        due_ns += (late_ns / period_ns + 1) * period_ns;
    }
}

static void measure_bare(Lateness *lateness, int64_t period_ns, unsigned seconds)
{
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    int64_t due_ns = bench_now_ns() + period_ns;
    int64_t end_ns = due_ns + seconds * INT64_C(1000000000);
    struct itimerspec every = {
        .it_interval.tv_nsec = period_ns,
        .it_value = { .tv_sec = due_ns / 1000000000, .tv_nsec = due_ns % 1000000000 },
    };
    uint64_t expirations;

    if (timer < 0 || timerfd_settime(timer, TFD_TIMER_ABSTIME, &every, NULL) < 0) {
        err(1, "timerfd");
    }
    while (due_ns < end_ns) {
        if (read(timer, &expirations, sizeof(expirations)) != sizeof(expirations)) {
            err(1, "read");
        }
        /* As late as the first of those that came together, as the daemon counts it. */
        count(lateness, bench_now_ns() - due_ns, (int64_t)expirations - 1);
        due_ns += (int64_t)expirations * period_ns;
    }
    close(timer);
}

/* ---- the daemon ---- */

static json_object *get_property(QmpClient *client, const char *name)
{
    char command[128];
    json_object *reply;
    json_object *value;
    int length = snprintf(command, sizeof(command),
                          "{\"execute\": \"qom-get\", \"arguments\":"
                          " {\"path\": \"t0\", \"property\": \"%s\"}}",
                          name);

    qmp_send(client, command, (size_t)length);
    reply = json_tokener_parse(qmp_receive_reply(client));
    if (!reply || !json_object_object_get_ex(reply, "return", &value)) {
        errx(1, "t0 has no '%s'", name);
    }
    json_object_get(value);
    json_object_put(reply);
    return value;
}

static int64_t get_number(QmpClient *client, const char *name)
{
    json_object *value = get_property(client, name);
    int64_t number = json_object_get_int64(value);

    json_object_put(value);
    return number;
}

static int64_t member(json_object *object, const char *name)
{
    return json_object_get_int64(json_object_object_get(object, name));
}

static void get_lateness(QmpClient *client, Lateness *lateness)
{
    json_object *value = get_property(client, "lateness");
    json_object *histogram = json_object_object_get(value, "histogram");

    lateness->max_ns = member(value, "max-ns");
    for (size_t i = 0; i < json_object_array_length(histogram); i++) {
        json_object *bucket = json_object_array_get_idx(histogram, i);

        lateness->bucket[bucket_of(member(bucket, "from-ns"))] = (uint64_t)member(bucket, "count");
    }
    json_object_put(value);
}

static void measure_daemon(Lateness *lateness, char **arguments, int64_t period_ns,
                           unsigned seconds, unsigned poll_max_ns)
{
    static QmpClient client;
    Server server;

    server_start(&server, arguments, "work-timer");
    qmp_client_open(&client, server_connect(&server), false);
    qmp_add_iothreads(&client, "io", 1);
    if (poll_max_ns > 0) {
        qmp_commandf(&client,
                     "{\"execute\": \"qom-set\", \"arguments\": {\"path\": \"io0\","
                     " \"property\": \"poll-max-ns\", \"value\": %u}}",
                     poll_max_ns);
    }
    qmp_commandf(&client,
                 "{\"execute\": \"object-add\", \"arguments\": {\"qom-type\": \"timer\","
                 " \"id\": \"t0\", \"iothread\": \"io0\", \"period-ns\": %lld}}",
                 (long long)period_ns);
    sleep(seconds);
    lateness->missed = (uint64_t)get_number(&client, "missed");
    get_lateness(&client, lateness);
    server_stop(&server);
}

int main(int argc, char **argv)
{
    unsigned period_us = 100;
    unsigned seconds = 3;
    unsigned poll_max_ns = 0;
    const BenchOption options[] = {
        { 'p', &period_us, 1, 999999 },
        { 's', &seconds, 1, 100 },
        { 'b', &poll_max_ns, 0, 1000000000 },
        { 0 },
    };
    int first = bench_options(argc, argv, options);
    int64_t period_ns = (int64_t)period_us * 1000;
    Lateness lateness = { 0 };

    if (first < argc) {
        measure_daemon(&lateness, argv + first, period_ns, seconds, poll_max_ns);
    } else if (poll_max_ns > 0) {
        measure_spinning(&lateness, period_ns, seconds);
    } else {
        measure_bare(&lateness, period_ns, seconds);
    }
    printf("{\"median_us\": %.3f, \"max_us\": %.3f, \"missed\": %llu}\n", median_us(&lateness),
           (double)lateness.max_ns / 1000, (unsigned long long)lateness.missed);
    return 0;
}
