/*
 * The connections of one relay on one context, and their timeouts.
 *
 * Their descriptors are in an epoll set of the worker's own, and the context watches that set. So
 * what a connection costs does not depend on what the loop keeps for a source, changing what a
 * descriptor is watched for is one system call, and there is one source for a relay and not one for
 * each end of a connection. The price is a call of epoll_wait() for each batch of events.
 *
 * The timeouts of all connections are the same, so a list in the order of their last activity is in
 * the order of their ends too, and one timer serves for all: it is set for the oldest, and when
 * that was active meanwhile, set anew. Activity costs a move to the end of the list.
 */
#include "config.h"
#include "objects/relay/relay-internal.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

/* ---- lists ---- */

void relay_list_append(RelayList *list, RelayConnection *connection)
{
    connection->prev = list->tail;
    connection->next = NULL;
    if (list->tail) {
        list->tail->next = connection;
    } else {
        list->head = connection;
    }
    list->tail = connection;
}

static void list_remove(RelayList *list, RelayConnection *connection)
{
    if (connection->prev) {
        connection->prev->next = connection->next;
    } else {
        list->head = connection->next;
    }
    if (connection->next) {
        connection->next->prev = connection->prev;
    } else {
        list->tail = connection->prev;
    }
    connection->prev = connection->next = NULL;
}

static RelayList *list_of(RelayWorker *worker, RelayConnection *connection)
{
    return connection->connect ? &worker->connecting : &worker->established;
}

static gint compare_activity(gconstpointer a, gconstpointer b)
{
    int64_t first = (*(const RelayConnection *const *)a)->active_ns;
    int64_t second = (*(const RelayConnection *const *)b)->active_ns;

    return (first > second) - (first < second);
}

/* Put @list in the order of activity. */
static void list_sort(RelayList *list)
{
    g_autoptr(GPtrArray) connections = g_ptr_array_new();

    for (RelayConnection *connection = list->head; connection; connection = connection->next) {
        g_ptr_array_add(connections, connection);
    }
    g_ptr_array_sort(connections, compare_activity);
    *list = (RelayList){ 0 };
    for (guint i = 0; i < connections->len; i++) {
        relay_list_append(list, g_ptr_array_index(connections, i));
    }
}

/* ---- descriptors ---- */

/* As many are taken over at once; the next pass of the loop finds the others. */
#define MAX_READY 64

/* Which side an event concerns is the lowest bit of the connection's address. */
static void *event_pointer(RelayConnection *connection, int side)
{
    return (char *)connection + side;
}

/* Of what is ready and was not dealt with yet, leave out @connection's @side. */
static void forget_ready(RelayWorker *worker, RelayConnection *connection, int side)
{
    for (int i = 0; i < worker->n_ready; i++) {
        if (worker->ready[i].data.ptr == event_pointer(connection, side)) {
            worker->ready[i].data.ptr = NULL;
        }
    }
}

void relay_worker_forget(RelayWorker *worker, RelayConnection *connection)
{
    for (int side = 0; side < 2; side++) {
        forget_ready(worker, connection, side);
    }
}

bool relay_worker_set_events(RelayWorker *worker, RelayConnection *connection, int side,
                             uint8_t events)
{
    uint8_t before = connection->watched[side];
    struct epoll_event event = {
        .events = events,
        .data.ptr = event_pointer(connection, side),
    };
    int op = before == 0 ? EPOLL_CTL_ADD : events == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;

    if (events == 0) {
        forget_ready(worker, connection, side);
    }
    return epoll_ctl(worker->epoll, op, connection->fd[side], &event) == 0;
}

static void relay_ready(void *opaque)
{
    RelayWorker *worker = opaque;
    struct epoll_event events[MAX_READY];

    worker->n_ready = epoll_wait(worker->epoll, events, MAX_READY, 0);
    worker->ready = events;
    while (worker->n_ready > 0) {
        uintptr_t pointer = (uintptr_t)worker->ready->data.ptr;
        uint32_t ready = worker->ready->events;

        /* What is next may be taken out by what happens now. */
        worker->ready++;
        worker->n_ready--;
        if (pointer) {
            relay_connection_ready((RelayConnection *)(pointer & ~(uintptr_t)1), (int)(pointer & 1),
                                   ready);
        }
    }
    worker->ready = NULL;
}

/* ---- timeouts ---- */

static int64_t timeout_of(const RelayWorker *worker, const RelayList *list)
{
    const Relay *relay = worker->relay;

    return relay_param(list == &worker->connecting ? &relay->connect_timeout_ms
                                                   : &relay->idle_timeout_ms);
}

/* When the first of @list is due, INT64_MAX when never. */
static int64_t list_due_ns(const RelayWorker *worker, const RelayList *list)
{
    int64_t timeout_ms = timeout_of(worker, list);

    return list->head && timeout_ms > 0 ? list->head->active_ns + timeout_ms * SCALE_MS : INT64_MAX;
}

/* Without one the established connections are in no order. */
static bool has_idle_timeout(const RelayWorker *worker)
{
    return relay_param(&worker->relay->idle_timeout_ms) > 0;
}

static void set_timer(RelayWorker *worker, int64_t due_ns)
{
    if (due_ns < worker->timer_ns) {
        worker->timer_ns = due_ns;
        timer_mod_ns(&worker->timer, due_ns);
    }
}

static void reckon_timer(RelayWorker *worker)
{
    set_timer(worker, list_due_ns(worker, &worker->connecting));
    set_timer(worker, list_due_ns(worker, &worker->established));
    if (worker->draining) {
        set_timer(worker, worker->drain_until_ns);
    }
}

static void break_off(RelayWorker *worker)
{
    while (worker->connecting.head) {
        relay_connection_close(worker->connecting.head, RELAY_CAUSE_STOPPED);
    }
    while (worker->established.head) {
        relay_connection_close(worker->established.head, RELAY_CAUSE_STOPPED);
    }
}

static void relay_timeout(void *opaque)
{
    RelayWorker *worker = opaque;
    int64_t now = relay_now_ns();

    worker->timer_ns = INT64_MAX;
    if (worker->draining && worker->drain_until_ns <= now) {
        break_off(worker);
        return;
    }
    while (list_due_ns(worker, &worker->connecting) <= now) {
        relay_connect_timed_out(worker->connecting.head);
    }
    while (list_due_ns(worker, &worker->established) <= now) {
        relay_connection_close(worker->established.head, RELAY_CAUSE_IDLE_TIMEOUT);
    }
    reckon_timer(worker);
}

void relay_worker_params_changed(void *opaque)
{
    RelayWorker *worker = opaque;

    timer_del(&worker->timer);
    worker->timer_ns = INT64_MAX;
    if (has_idle_timeout(worker)) {
        /* There may have been none up to now. */
        list_sort(&worker->established);
    }
    reckon_timer(worker);
}

/* ---- connections come and go ---- */

void relay_worker_add(RelayWorker *worker, RelayConnection *connection)
{
    RelayList *list = list_of(worker, connection);

    connection->active_ns = relay_now_ns();
    relay_list_append(list, connection);
    set_timer(worker, list_due_ns(worker, list));
}

void relay_worker_remove(RelayWorker *worker, RelayConnection *connection)
{
    list_remove(list_of(worker, connection), connection);
}

void relay_worker_touch(RelayWorker *worker, RelayConnection *connection)
{
    /* Also without a timeout, for there may be one later. */
    connection->active_ns = relay_now_ns();
    if (has_idle_timeout(worker) && worker->established.tail != connection) {
        list_remove(&worker->established, connection);
        relay_list_append(&worker->established, connection);
    }
}

void relay_worker_adopt(void *opaque)
{
    relay_connect_begin(opaque);
}

/* ---- moving ---- */

/* Say where @connection lives; who looks up a name for it looks at that from other threads. */
static void set_home(RelayConnection *connection, RelayWorker *worker, bool in_transit)
{
    pthread_mutex_t *lock =
        connection->connect && connection->connect->resolve ? &worker->relay->lock : NULL;

    if (lock) {
        pthread_mutex_lock(lock);
    }
    connection->worker = worker;
    connection->in_transit = in_transit;
    if (lock) {
        pthread_mutex_unlock(lock);
    }
}

/* Take the connections of @list out, and let each go to the next of @lists, beginning with the
 * @turn-th. Returns whose turn is next. */
static size_t evacuate_list(RelayList *list, RelayWorker *const *to, size_t n, RelayList *lists,
                            size_t turn)
{
    while (list->head) {
        RelayConnection *connection = list->head;

        relay_connection_unwatch(connection);
        list_remove(list, connection);
        set_home(connection, to[turn], true);
        relay_list_append(&lists[turn], connection);
        turn = (turn + 1) % n;
    }
    return turn;
}

void relay_worker_evacuate(RelayWorker *worker, RelayWorker *const *to, size_t n, RelayList *lists)
{
    size_t turn = evacuate_list(&worker->connecting, to, n, lists, 0);

    evacuate_list(&worker->established, to, n, lists, turn);
    timer_del(&worker->timer);
    worker->timer_ns = INT64_MAX;
    relay_worker_rest(worker);
}

void relay_worker_take_in(RelayWorker *worker, RelayList *list)
{
    RelayConnection *connection = list->head;

    while (connection) {
        RelayConnection *next = connection->next;

        set_home(connection, worker, false);
        relay_list_append(list_of(worker, connection), connection);
        relay_connection_watch(connection);
        connection = next;
    }
    list_sort(&worker->connecting);
    if (has_idle_timeout(worker)) {
        list_sort(&worker->established);
    }
    reckon_timer(worker);
}

/* Where the connections of @list are from now on, or will be when they have arrived. */
static void set_homes(RelayList *list, RelayWorker *worker, bool in_transit)
{
    for (RelayConnection *connection = list->head; connection; connection = connection->next) {
        set_home(connection, worker, in_transit);
    }
}

void relay_worker_leave(RelayWorker *worker, RelayWorker *to)
{
    relay_worker_rest(worker);
    timer_del(&worker->timer);
    worker->timer_ns = INT64_MAX;
    for (RelayConnection *c = worker->connecting.head; c; c = c->next) {
        relay_connect_unwatch(c);
    }
    set_homes(&worker->connecting, to, true);
    set_homes(&worker->established, to, true);
}

/* Have the loop look after the epoll set. */
static void watch_set(RelayWorker *worker)
{
    aio_set_fd_handler_full(worker->ctx, worker->epoll, relay_ready, NULL, NULL, NULL, worker,
                            worker->relay->names.ready, NULL);
}

void relay_worker_take_over(RelayWorker *worker, RelayWorker *from)
{
    RelayConnection *connection = from->connecting.head;
    int unused = worker->epoll;

    relay_worker_rest(worker);
    worker->epoll = from->epoll;
    from->epoll = unused;
    worker->connecting = from->connecting;
    worker->established = from->established;
    from->connecting = from->established = (RelayList){ 0 };
    set_homes(&worker->connecting, worker, false);
    set_homes(&worker->established, worker, false);
    watch_set(worker);
    while (connection) {
        RelayConnection *next = connection->next;

        relay_connect_watch(connection);
        connection = next;
    }
    reckon_timer(worker);
}

/* ---- life ---- */

int relay_worker_open(GError **errp)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);

    if (epoll < 0) {
        g_set_error(errp, RELAY_ERROR, RELAY_ERROR_SYSTEM, "can't make an epoll set: %s",
                    g_strerror(errno));
    }
    return epoll;
}

RelayWorker *relay_worker_new(Relay *relay, AioContext *ctx, int epoll)
{
    RelayWorker *worker = g_new0(RelayWorker, 1);

    worker->epoll = epoll;
    worker->relay = relay;
    worker->ctx = ctx;
    aio_context_ref(ctx);
    worker->loop = relay_loop_get(ctx);
    aio_timer_init_full(ctx, &worker->timer, QEMU_CLOCK_REALTIME, SCALE_NS, relay_timeout, worker,
                        relay->names.timeout);
    worker->timer_ns = INT64_MAX;
    watch_set(worker);
    return worker;
}

void relay_worker_rest(RelayWorker *worker)
{
    aio_set_fd_handler(worker->ctx, worker->epoll, NULL, NULL, NULL, NULL, NULL);
}

void relay_worker_free(RelayWorker *worker)
{
    relay_worker_rest(worker);
    timer_deinit(&worker->timer);
    close(worker->epoll);
    relay_loop_put(worker->loop);
    aio_context_unref(worker->ctx);
    g_free(worker);
}

static void report_drained(void *opaque)
{
    relay_worker_rest(opaque);
    relay_worker_drained(opaque);
}

void relay_worker_check_drained(RelayWorker *worker)
{
    if (worker->draining && !worker->connecting.head && !worker->established.head) {
        worker->draining = false;
        timer_del(&worker->timer);
        /* Later, for the caller is not done with the worker. */
        aio_bh_schedule_oneshot_full(worker->ctx, report_drained, worker, "relay_drained");
    }
}

void relay_worker_drain(RelayWorker *worker, int64_t until_ns)
{
    worker->draining = true;
    worker->drain_until_ns = until_ns;
    if (until_ns <= relay_now_ns()) {
        break_off(worker);
    }
    reckon_timer(worker);
    relay_worker_check_drained(worker);
}

void relay_worker_drain_until(RelayWorker *worker, int64_t until_ns)
{
    if (worker->draining) {
        relay_worker_drain(worker, until_ns);
    }
}
