/*
 * How long it pays to poll before blocking, learnt for each source of events.
 *
 * A source's time is how long the loop is ready to poll for its sake. It follows how long the loop
 * had to wait for the source's events: one that came within what its time covers leaves it, one
 * that came later but within the longest time allowed lets it grow, and one that came later still
 * lets it shrink, for polling would have been in vain.
 *
 * Where processors are scarce, a loop that polls may be what keeps the event from coming: then each
 * longer time is too short again. So when a time has grown and shrunk without one event that it
 * covered, it stays as it is for some events before it may grow again, each time for twice as many.
 *
 * The loop sees an event later than it came when it was asleep: its thread had to be woken, and on
 * a processor that sleeps too, that takes longer than many a wait. Where the other side answers, it
 * had to be woken in its turn. So an event that came later than the longest time, but not later
 * than these two explain, is given a try: the time grows as if the event had come in time. If it
 * was not to be seen by polling for the longest time either, that was in vain, and the above
 * applies; one such event after one that was covered is forgiven.
 *
 * The loop's time is the longest of those of the active sources. A source becomes active by an
 * event, and inactive, with a time of 0, by a number of polling phases that brought none: so a loop
 * does not go on to poll for one that has fallen silent.
 *
 * All of this costs O(1) an event and nothing for a source that is silent. It knows neither clocks
 * nor contexts: loop/aio-polling.c feeds it. Everything here belongs to one thread.
 */
#ifndef LOOP_POLL_TIME_H
#define LOOP_POLL_TIME_H

#include <stdbool.h>
#include <stdint.h>

/* What a time of 0 grows to first. */
#define POLL_TIME_FIRST_NS 4000

/* A source becomes inactive when it has this age, in phases since its last event. A phase after
 * which no source had an event, so that only a timer ended the wait, makes it older by more. */
#define POLL_TIME_MAX_AGE       128
#define POLL_TIME_FRUITLESS_AGE 16

/* After growing in vain n times in a row, a time does not grow for 2^n events, with this as the
 * largest n. */
#define POLL_TIME_MAX_VAIN 10

/* A wake-up that took longer waited for a busy processor, not for one that slept. */
#define POLL_TIME_MAX_WAKE_NS 100000

typedef struct PollTimeParams {
    int64_t max_ns;  /* more than 0 */
    int64_t grow;    /* factor; 0: 2 */
    int64_t shrink;  /* divisor; 0: down to 0 at once */
    int64_t wake_ns; /* what it takes to wake a thread; 0 to POLL_TIME_MAX_WAKE_NS */
} PollTimeParams;

/* A source, zero-initialised. */
typedef struct PollTime PollTime;
struct PollTime {
    int64_t ns;
    bool covered;      /* it covered an event since it last shrank */
    unsigned vain;     /* how often in a row it has grown in vain */
    unsigned hold_off; /* for how many events more it does not grow */
    bool active;
    bool looked_at;      /* which of the queues it is in */
    uint64_t last_event; /* PollTimes.now at that time */
    PollTime *prev, *next;
};

/* Active sources, the one whose last event is longest ago first. */
typedef struct PollTimeQueue {
    PollTime *first;
    PollTime *last;
} PollTimeQueue;

/* The sources of a loop, zero-initialised. */
typedef struct PollTimes {
    PollTimeQueue looked_at; /* those that have to be looked at one by one */
    PollTimeQueue others;
    uint64_t now; /* what ages are counted by */
    /* Active sources by the power of two of their time: how many, and the longest since there was
     * none. When it has left and others have not, what is given is too long, by less than 2. */
    uint64_t classes; /* a bit for each that is not empty */
    unsigned n_in_class[64];
    int64_t longest_in_class[64];
} PollTimes;

/* What it takes to wake a thread, in ns: @wake_ns so far, and this time @sample_ns. */
int64_t poll_time_learn_wake(int64_t wake_ns, int64_t sample_ns);

/* Adjust the time of a source by an event for which the loop has waited @waited_ns. */
void poll_time_adjust(PollTime *source, const PollTimeParams *params, int64_t waited_ns);

/* @source had an event, for which the loop has waited @waited_ns. */
void poll_times_event(PollTimes *times, PollTime *source, bool looked_at,
                      const PollTimeParams *params, int64_t waited_ns);

/* A wait that began with polling is over, and its events were told; @fruitless: there were none. */
void poll_times_phase_over(PollTimes *times, bool fruitless);

/* @source becomes inactive, or goes. */
void poll_times_remove(PollTimes *times, PollTime *source);

/* The loop's time: ns, 0 when polling does not pay. */
int64_t poll_times_longest_ns(const PollTimes *times);

#endif
