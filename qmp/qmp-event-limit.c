/*
 * Rate limits of events.
 *
 * What is similar has a state while its time runs, with a timer of its own. Whoever sends an event
 * has marked the state; meanwhile the others only leave theirs in it, and the timer is armed after
 * sending. So no lock is held while an event is sent, and yet similar ones keep their order,
 * whichever threads emit them and however slow these are.
 */
#include "config.h"
#include "qmp/qmp-event-limit.h"

#include <pthread.h>

#include "loop/timer.h"

typedef struct State {
    QmpEventLimit *limit;
    char *key;
    int64_t interval_ns;
    QEMUTimer timer;
    bool sending;     /* somebody sends, who looks for more and then arms the timer */
    GString *waiting; /* the last event since, or NULL */
    uint64_t arrived; /* its place among all that ever waited */
} State;

struct QmpEventLimit {
    AioContext *ctx;
    QEMUClockType clock;
    QmpEventSendFunc *send;
    void *opaque;

    pthread_mutex_t lock; /* guards all below; a leaf lock */
    GHashTable *states;   /* key -> State */
    uint64_t arrivals;    /* events that had to wait */
    bool ended;
};

static void free_line(GString *line)
{
    g_string_free(line, TRUE);
}

static void free_state(gpointer data)
{
    State *state = data;

    timer_deinit(&state->timer);
    g_clear_pointer(&state->waiting, free_line);
    g_free(state->key);
    g_free(state);
}

QmpEventLimit *qmp_event_limit_new(AioContext *ctx, QEMUClockType clock, QmpEventSendFunc *send,
                                   void *opaque)
{
    QmpEventLimit *limit = g_new0(QmpEventLimit, 1);

    limit->ctx = ctx;
    limit->clock = clock;
    limit->send = send;
    limit->opaque = opaque;
    pthread_mutex_init(&limit->lock, NULL);
    limit->states = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, free_state);
    return limit;
}

void qmp_event_limit_free(QmpEventLimit *limit)
{
    g_hash_table_unref(limit->states);
    pthread_mutex_destroy(&limit->lock);
    g_free(limit);
}

/* What similar events have in common; the caller frees it. */
static char *make_key(const QmpEvent *event, const void *data)
{
    const QmpMember *member =
        event->limit_by ? qmp_type_find_member(event->data, event->limit_by) : NULL;
    json_object *value = member ? qmp_marshal_member(member, data) : NULL;
    char *key = g_strdup_printf("%s %s", event->name, value ? json_object_get_string(value) : "");

    json_object_put(value);
    return key;
}

/* Send @line, which is freed, for @state, which is marked; then its time begins. */
static void send_marked(State *state, GString *line)
{
    QmpEventLimit *limit = state->limit;

    while (line) {
        limit->send(line, limit->opaque);
        free_line(line);
        pthread_mutex_lock(&limit->lock);
        line = limit->ended ? g_steal_pointer(&state->waiting) : NULL;
        state->sending = line != NULL;
        pthread_mutex_unlock(&limit->lock);
    }
    /* Nobody frees a state but its timer. */
    timer_mod_ns(&state->timer, qemu_clock_get_ns(limit->clock) + state->interval_ns);
}

/* The time of a state is over. */
static void event_is_due(void *opaque)
{
    State *state = opaque;
    QmpEventLimit *limit = state->limit;
    GString *line;

    pthread_mutex_lock(&limit->lock);
    line = g_steal_pointer(&state->waiting);
    state->sending = line != NULL;
    if (!line) {
        g_hash_table_steal(limit->states, state->key);
    }
    pthread_mutex_unlock(&limit->lock);
    if (line) {
        send_marked(state, line);
    } else {
        free_state(state);
    }
}

/* A marked state, for the first event of its kind. Takes over @key. With the lock held. */
static State *add_state(QmpEventLimit *limit, const QmpEvent *event, char *key)
{
    State *state = g_new0(State, 1);

    state->limit = limit;
    state->key = key;
    state->interval_ns = (int64_t)event->limit_ms * SCALE_MS;
    state->sending = true;
    aio_timer_init(limit->ctx, &state->timer, limit->clock, SCALE_NS, event_is_due, state);
    g_hash_table_insert(limit->states, state->key, state);
    return state;
}

void qmp_event_limit_emit(QmpEventLimit *limit, const QmpEvent *event, const void *data,
                          GString *line)
{
    g_autofree char *key = make_key(event, data);
    State *state;

    pthread_mutex_lock(&limit->lock);
    state = g_hash_table_lookup(limit->states, key);
    if (state && (state->sending || !limit->ended)) {
        g_clear_pointer(&state->waiting, free_line);
        state->waiting = line;
        state->arrived = ++limit->arrivals;
        pthread_mutex_unlock(&limit->lock);
        return;
    }
    state = limit->ended ? NULL : add_state(limit, event, g_steal_pointer(&key));
    pthread_mutex_unlock(&limit->lock);
    if (state) {
        send_marked(state, line);
    } else {
        limit->send(line, limit->opaque);
        free_line(line);
    }
}

static gint compare_arrivals(gconstpointer a, gconstpointer b)
{
    const State *const *first = a;
    const State *const *second = b;

    return (*first)->arrived < (*second)->arrived ? -1 : 1;
}

void qmp_event_limit_end(QmpEventLimit *limit)
{
    g_autoptr(GPtrArray) states = g_ptr_array_new();
    g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func((GDestroyNotify)free_line);
    GHashTableIter iter;
    gpointer value;

    pthread_mutex_lock(&limit->lock);
    limit->ended = true;
    g_hash_table_iter_init(&iter, limit->states);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        State *state = value;

        /* Whoever is sending goes on with what waits behind it. */
        if (state->waiting && !state->sending) {
            g_ptr_array_add(states, state);
        }
    }
    g_ptr_array_sort(states, compare_arrivals);
    for (guint i = 0; i < states->len; i++) {
        State *state = g_ptr_array_index(states, i);

        g_ptr_array_add(lines, g_steal_pointer(&state->waiting));
    }
    pthread_mutex_unlock(&limit->lock);
    for (guint i = 0; i < lines->len; i++) {
        limit->send(g_ptr_array_index(lines, i), limit->opaque);
    }
}
