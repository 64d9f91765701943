/*
 * Learning how long to poll: see loop/poll-time.h.
 */
#include "config.h"
#include "loop/poll-time.h"

#include <glib.h>

static int64_t grown(const PollTimeParams *params, int64_t ns)
{
    int64_t grow = params->grow == 0 ? 2 : params->grow;

    if (__builtin_mul_overflow(ns, grow, &ns)) {
        ns = INT64_MAX;
    }
    return MAX(ns, POLL_TIME_FIRST_NS);
}

static void shrink(PollTime *source, const PollTimeParams *params)
{
    source->ns = params->shrink == 0 ? 0 : source->ns / params->shrink;
}

static void event_was_late(PollTime *source, const PollTimeParams *params)
{
    if (source->ns > 0 && !source->covered) {
        source->vain = MIN(source->vain + 1, POLL_TIME_MAX_VAIN);
        source->hold_off = 1u << source->vain;
    }
    source->covered = false;
    shrink(source, params);
}

/* An event that came too late, unless waking up took that long. */
static void event_was_perhaps_late(PollTime *source, const PollTimeParams *params)
{
    if (source->hold_off > 0) {
        source->hold_off--;
        shrink(source, params);
    } else if (source->ns < params->max_ns) {
        source->ns = grown(params, source->ns);
    } else if (source->covered) {
        source->covered = false;
    } else {
        event_was_late(source, params);
    }
}

int64_t poll_time_learn_wake(int64_t wake_ns, int64_t sample_ns)
{
    if (sample_ns < 0 || sample_ns > POLL_TIME_MAX_WAKE_NS) {
        return wake_ns;
    }
    /* Up fast and down slowly: many find the thread awake still, and say nothing. */
    return wake_ns + (sample_ns - wake_ns) / (sample_ns > wake_ns ? 2 : 128);
}

void poll_time_adjust(PollTime *source, const PollTimeParams *params, int64_t waited_ns)
{
    if (waited_ns > params->max_ns) {
        if (waited_ns - params->max_ns > 2 * params->wake_ns) {
            event_was_late(source, params);
        } else {
            event_was_perhaps_late(source, params);
        }
    } else if (waited_ns <= source->ns) {
        source->covered = true;
        source->vain = 0;
        source->hold_off = 0;
    } else if (source->hold_off > 0) {
        source->hold_off--;
    } else {
        source->ns = grown(params, source->ns);
    }
    source->ns = MIN(source->ns, params->max_ns);
}

static unsigned class_of(int64_t ns)
{
    return 63 - (unsigned)__builtin_clzll((uint64_t)ns);
}

static void count_time(PollTimes *times, int64_t ns)
{
    if (ns > 0) {
        unsigned class = class_of(ns);

        times->longest_in_class[class] = MAX(times->longest_in_class[class], ns);
        times->n_in_class[class]++;
        times->classes |= UINT64_C(1) << class;
    }
}

static void uncount_time(PollTimes *times, int64_t ns)
{
    if (ns > 0) {
        unsigned class = class_of(ns);

        times->n_in_class[class]--;
        if (times->n_in_class[class] == 0) {
            times->longest_in_class[class] = 0;
            times->classes &= ~(UINT64_C(1) << class);
        }
    }
}

static PollTimeQueue *queue_of(PollTimes *times, const PollTime *source)
{
    return source->looked_at ? &times->looked_at : &times->others;
}

static void enqueue(PollTimeQueue *queue, PollTime *source)
{
    source->prev = queue->last;
    source->next = NULL;
    if (queue->last) {
        queue->last->next = source;
    } else {
        queue->first = source;
    }
    queue->last = source;
}

static void dequeue(PollTimeQueue *queue, PollTime *source)
{
    if (source->prev) {
        source->prev->next = source->next;
    } else {
        queue->first = source->next;
    }
    if (source->next) {
        source->next->prev = source->prev;
    } else {
        queue->last = source->prev;
    }
}

void poll_times_event(PollTimes *times, PollTime *source, bool looked_at,
                      const PollTimeParams *params, int64_t waited_ns)
{
    int64_t before_ns = source->ns;

    poll_time_adjust(source, params, waited_ns);
    if (source->active && source->ns != before_ns) {
        uncount_time(times, before_ns);
    }
    if (!source->active || source->ns != before_ns) {
        count_time(times, source->ns);
    }
    source->last_event = times->now;

    if (source->active) {
        PollTimeQueue *queue = queue_of(times, source);

        if (source == queue->last && source->looked_at == looked_at) {
            return;
        }
        dequeue(queue, source);
    }
    source->active = true;
    source->looked_at = looked_at;
    enqueue(queue_of(times, source), source);
}

void poll_times_remove(PollTimes *times, PollTime *source)
{
    if (source->active) {
        uncount_time(times, source->ns);
        dequeue(queue_of(times, source), source);
        source->active = false;
        source->ns = 0;
    }
}

static void remove_old(PollTimes *times, PollTimeQueue *queue)
{
    while (queue->first && times->now - queue->first->last_event >= POLL_TIME_MAX_AGE) {
        poll_times_remove(times, queue->first);
    }
}

void poll_times_phase_over(PollTimes *times, bool fruitless)
{
    times->now += fruitless ? POLL_TIME_FRUITLESS_AGE : 1;
    remove_old(times, &times->looked_at);
    remove_old(times, &times->others);
}

int64_t poll_times_longest_ns(const PollTimes *times)
{
    return times->classes ? times->longest_in_class[class_of((int64_t)times->classes)] : 0;
}
