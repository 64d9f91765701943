/*
 * Moving a relay from loop to loop, while there is traffic, and while other things are under way.
 */
#include "config.h"
#include "tests/unit/relay-fixture.h"
#include "tests/unit/relay-traffic.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define N_LOOPS 3

/* A relay that runs on other loops than its owner's. */
typedef struct MoveTest {
    RelayTest test;
    Loop *loops[N_LOOPS];
    int listener;
    char *target;
    bool moved;
} MoveTest;

static void move_test_init(MoveTest *self, Loop *loop)
{
    relay_test_init(&self->test, loop);
    for (int i = 0; i < N_LOOPS; i++) {
        self->loops[i] = loop_new_like(loop);
        loop_start(self->loops[i]);
    }
    self->listener = relay_test_listen("tcp:127.0.0.1:0", 1024);
    self->target = relay_test_address_of(self->listener);
    self->test.setup.contexts = &self->loops[0]->ctx;
}

static void move_test_clear(MoveTest *self)
{
    relay_test_clear(&self->test);
    for (int i = 0; i < N_LOOPS; i++) {
        loop_stop(self->loops[i]);
        loop_free(self->loops[i]);
    }
    close(self->listener);
    g_free(self->target);
}

static void moved(void *opaque)
{
    MoveTest *self = opaque;

    self->moved = true;
}

/* Move to the loops that have their bit set in @set, and return when that is done. */
static void move_to(MoveTest *self, unsigned set)
{
    AioContext *contexts[N_LOOPS];
    size_t n = 0;

    for (unsigned i = 0; i < N_LOOPS; i++) {
        if (set & 1u << i) {
            contexts[n++] = self->loops[i]->ctx;
        }
    }
    self->moved = false;
    g_assert_true(relay_set_contexts(self->test.relay, contexts, n, moved, self, NULL));
    while (!self->moved) {
        loop_pass(self->test.loop, true);
    }
}

static void move_under_traffic(Loop *loop, int n_moves, unsigned (*next_set)(int move))
{
    MoveTest self;
    RelayTraffic *traffic;
    RelayStats stats;

    move_test_init(&self, loop);
    relay_test_start_one(&self.test, self.target);
    traffic = relay_traffic_start(relay_get_address(self.test.relay), self.listener, 200);
    for (int i = 0; i < n_moves; i++) {
        uint64_t bytes = relay_traffic_bytes(traffic);

        move_to(&self, next_set(i));
        /* Some traffic between two moves. */
        relay_test_wait_for(&self.test, relay_traffic_bytes(traffic) > bytes);
    }
    relay_test_wait_for(&self.test, relay_traffic_is_over(traffic));
    relay_test_wait_for(&self.test, relay_test_stats(&self.test).connections == 0);
    stats = relay_test_stats(&self.test);
    g_assert_cmpuint(stats.total_connections, ==, relay_traffic_ended(traffic));
    g_assert_cmpuint(stats.bytes_in, ==, relay_traffic_bytes(traffic));
    g_assert_cmpuint(stats.bytes_out, ==, relay_traffic_bytes(traffic));
    for (int i = 0; i < RELAY_CAUSE_MAX; i++) {
        g_assert_cmpuint(stats.errors[i], ==, 0);
    }
    relay_traffic_free(traffic);
    move_test_clear(&self);
}

static unsigned one_after_another(int move)
{
    return 1u << (move + 1) % N_LOOPS;
}

static void no_byte_is_lost_in_a_thousand_moves(Loop *loop)
{
    /* A thousand in one of the ways; fewer in the others, for it takes its time. */
    bool all = loop->fdmon == AIO_FDMON_IO_URING && !loop->main_context;

    move_under_traffic(loop, test_scaled(all ? 1000 : 100), one_after_another);
}

static unsigned some(int move)
{
    static const unsigned sets[] = { 7, 3, 6, 1, 5, 5, 2, 7, 4, 6 };

    return sets[(size_t)move % G_N_ELEMENTS(sets)];
}

static void several_loops_share_and_change(Loop *loop)
{
    move_under_traffic(loop, test_scaled(60), some);
}

/* The descriptor of the epoll set that has the connections of a context. */
static void find_set(const AioSourceInfo *info, void *opaque)
{
    if (g_str_equal(info->name, "relay_ready")) {
        *(int *)opaque = info->fd;
    }
}

static int count_watched(AioContext *ctx)
{
    g_autofree char *path = NULL;
    g_autofree char *text = NULL;
    int epoll = -1;
    int n = 0;

    aio_context_foreach_source(ctx, find_set, &epoll);
    path = g_strdup_printf("/proc/self/fdinfo/%d", epoll);
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    for (const char *at = text; (at = strstr(at, "tfd:")); at++) {
        n++;
    }
    return n;
}

static void connections_are_spread_in_turn(Loop *loop)
{
    MoveTest self;
    AioContext *contexts[N_LOOPS];
    int clients[2 * N_LOOPS];
    int targets[2 * N_LOOPS];

    move_test_init(&self, loop);
    for (int i = 0; i < N_LOOPS; i++) {
        contexts[i] = self.loops[i]->ctx;
    }
    self.test.setup.contexts = contexts;
    self.test.setup.n_contexts = N_LOOPS;
    relay_test_start_one(&self.test, self.target);
    for (int i = 0; i < 2 * N_LOOPS; i++) {
        relay_test_pair(&self.test, self.listener, &clients[i], &targets[i]);
        g_assert_cmpint(send(clients[i], "x", 1, 0), ==, 1);
        relay_test_expect(&self.test, targets[i], "x", false);
    }
    for (int i = 0; i < N_LOOPS; i++) {
        g_assert_cmpint(count_watched(contexts[i]), ==, 2 * 2);
    }
    for (int i = 0; i < 2 * N_LOOPS; i++) {
        close(clients[i]);
        close(targets[i]);
    }
    move_test_clear(&self);
}

/* A target that has no room in its backlog lets connects wait. */
static void a_connect_under_way_moves(Loop *loop)
{
    MoveTest self;
    const char *address;
    int listener;
    int filler;
    int client;
    int target;

    move_test_init(&self, loop);
    address = relay_test_unix(&self.test, "full");
    listener = relay_test_listen(address, 0);
    filler = relay_test_connect(address);
    relay_test_start_one(&self.test, address);
    client = relay_test_client(&self.test);
    relay_test_wait_for(&self.test, relay_test_stats(&self.test).connections == 1);
    for (int i = 0; i < 10; i++) {
        move_to(&self, one_after_another(i));
    }
    g_assert_cmpuint(relay_test_stats(&self.test).connections, ==, 1);
    close(relay_test_accept(&self.test, listener));
    target = relay_test_accept(&self.test, listener);
    g_assert_cmpint(send(client, "x", 1, 0), ==, 1);
    relay_test_expect(&self.test, target, "x", false);
    close(client);
    close(target);
    close(filler);
    close(listener);
    unlink(address + strlen("unix:"));
    move_test_clear(&self);
}

static void a_look_up_under_way_moves(Loop *loop)
{
    MoveTest self;
    g_autofree char *name = NULL;

    move_test_init(&self, loop);
    name = g_strdup_printf("tcp:localhost%s", strrchr(self.target, ':'));
    relay_test_start_one(&self.test, name);
    for (int i = 0; i < test_scaled(50); i++) {
        int client = relay_test_client(&self.test);
        int target;

        for (int j = 0; j < 3; j++) {
            move_to(&self, one_after_another(3 * i + j));
        }
        target = relay_test_accept(&self.test, self.listener);
        g_assert_cmpint(send(client, "x", 1, 0), ==, 1);
        relay_test_expect(&self.test, target, "x", false);
        close(client);
        close(target);
    }
    relay_test_wait_for(&self.test, relay_test_stats(&self.test).connections == 0);
    move_test_clear(&self);
}

static void deleting_breaks_off_look_ups(Loop *loop)
{
    MoveTest self;
    g_autofree char *name = NULL;

    move_test_init(&self, loop);
    name = g_strdup_printf("tcp:localhost%s", strrchr(self.target, ':'));
    for (int i = 0; i < test_scaled(20); i++) {
        int client;

        relay_test_start_one(&self.test, name);
        client = relay_test_client(&self.test);
        relay_test_delete(&self.test, 0);
        close(client);
    }
    move_test_clear(&self);
}

static void moves_follow_each_other_and_then_the_end(Loop *loop)
{
    MoveTest self;
    int client;
    int target;

    move_test_init(&self, loop);
    relay_test_start_one(&self.test, self.target);
    relay_test_pair(&self.test, self.listener, &client, &target);
    for (int i = 0; i < 10; i++) {
        g_assert_true(relay_set_contexts(self.test.relay, &self.loops[i % N_LOOPS]->ctx, 1, moved,
                                         &self, NULL));
    }
    g_assert_true(relay_set_params(self.test.relay, &self.test.setup.params, NULL));
    relay_test_delete(&self.test, 0);
    g_assert_cmpint(relay_test_end_of(&self.test, client), ==, 0);
    close(client);
    close(target);
    move_test_clear(&self);
}

/* Send what fits of a stream of counted words; how many bytes of it were sent before. */
static void send_words(int fd, uint64_t *sent)
{
    uint32_t words[4096];
    ssize_t n;

    do {
        for (size_t i = 0; i < G_N_ELEMENTS(words); i++) {
            words[i] = (uint32_t)(*sent / sizeof(uint32_t) + i);
        }
        n = send(fd, (char *)words + *sent % sizeof(uint32_t), sizeof(words) - sizeof(uint32_t),
                 MSG_NOSIGNAL);
        *sent += n > 0 ? (uint64_t)n : 0;
    } while (n > 0);
}

static void receive_words(int fd, uint64_t *received)
{
    unsigned char bytes[65536];
    ssize_t n = recv(fd, bytes, sizeof(bytes), 0);

    for (ssize_t i = 0; i < n; i++) {
        uint32_t word = (uint32_t)(*received / sizeof(uint32_t));

        g_assert_cmpuint(bytes[i], ==, ((unsigned char *)&word)[*received % sizeof(uint32_t)]);
        (*received)++;
    }
}

/* Whether the relay has read what it could not write yet. */
static bool holds_some(MoveTest *self, int target, uint64_t received)
{
    uint64_t bytes_in = relay_test_stats(&self->test).bytes_in;
    int waiting;

    g_assert_cmpint(ioctl(target, FIONREAD, &waiting), ==, 0);
    return bytes_in > received + (uint64_t)waiting;
}

/* The receiver sleeps, so that pipes are full, or partly so. */
static void what_is_held_moves(Loop *loop)
{
    static const unsigned sets[] = { 2, 4, 7, 3, 5, 1, 1 };
    uint64_t received = 0;
    uint64_t sent = 0;
    MoveTest self;
    int listener;
    int client;
    int target;

    move_test_init(&self, loop);
    listener = relay_test_listen(relay_test_unix(&self.test, "target"), 64);
    relay_test_start_one(&self.test, relay_test_unix(&self.test, "target"));
    relay_test_pair(&self.test, listener, &client, &target);
    for (size_t i = 0; i < G_N_ELEMENTS(sets); i++) {
        while (!holds_some(&self, target, received)) {
            send_words(client, &sent);
            loop_pass(loop, false);
        }
        move_to(&self, sets[i]);
        /* There is room for some of it. */
        receive_words(target, &received);
    }
    shutdown(client, SHUT_WR);
    while (received < sent) {
        receive_words(target, &received);
        loop_pass(loop, false);
    }
    g_assert_cmpint(relay_test_end_of(&self.test, target), ==, 0);
    g_assert_cmpuint(relay_test_stats(&self.test).bytes_in, ==, sent);
    close(client);
    close(target);
    close(listener);
    unlink(relay_test_unix(&self.test, "target") + strlen("unix:"));
    move_test_clear(&self);
}

static void deleted(void *opaque)
{
    MoveTest *self = opaque;

    self->test.relay = NULL;
}

/* Connections that drain have moved before; each loop tells when it has none left. */
static void what_has_moved_may_finish(Loop *loop)
{
    enum {
        N = 2 * N_LOOPS
    };
    AioContext *contexts[N_LOOPS];
    MoveTest self;
    int clients[N];
    int targets[N];

    move_test_init(&self, loop);
    for (int i = 0; i < N_LOOPS; i++) {
        contexts[i] = self.loops[i]->ctx;
    }
    relay_test_start_one(&self.test, self.target);
    for (int i = 0; i < N; i++) {
        relay_test_pair(&self.test, self.listener, &clients[i], &targets[i]);
    }
    g_assert_true(relay_set_contexts(self.test.relay, contexts, N_LOOPS, moved, &self, NULL));
    relay_delete(self.test.relay, RELAY_TIMEOUT_MS_MAX, deleted, &self);
    for (int i = 0; i < N; i++) {
        g_assert_cmpint(send(clients[i], "x", 1, 0), ==, 1);
        relay_test_expect(&self.test, targets[i], "x", false);
        g_assert_nonnull(self.test.relay);
        close(clients[i]);
        g_assert_cmpint(relay_test_end_of(&self.test, targets[i]), ==, 0);
        close(targets[i]);
    }
    relay_test_wait_for(&self.test, !self.test.relay);
    move_test_clear(&self);
}

static void a_move_without_descriptors_changes_nothing(Loop *loop)
{
    static const char message[] = "can't make an epoll set: Too many open files";
    AioContext *contexts[N_LOOPS];
    g_autoptr(GError) err = NULL;
    struct rlimit before;
    struct rlimit none;
    MoveTest self;
    int client;
    int target;
    int count;

    move_test_init(&self, loop);
    for (int i = 0; i < N_LOOPS; i++) {
        contexts[i] = self.loops[i]->ctx;
    }
    relay_test_start_one(&self.test, self.target);
    relay_test_pair(&self.test, self.listener, &client, &target);
    /* A loop that GLib drives makes a timerfd when it first has a timer and is about to sleep. */
    for (int i = 0; i < N_LOOPS; i++) {
        loop_wait_until_idle(self.loops[i]);
    }
    count = test_count_fds();
    getrlimit(RLIMIT_NOFILE, &before);
    /* For the first of the three there is one. */
    none = (struct rlimit){ .rlim_cur = (rlim_t)dup(client) + 1, .rlim_max = before.rlim_max };
    close((int)none.rlim_cur - 1);
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &none), ==, 0);
    g_assert_false(relay_set_contexts(self.test.relay, contexts, N_LOOPS, moved, &self, &err));
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &before), ==, 0);
    g_assert_cmpstr(err->message, ==, message);
    g_assert_cmpint(test_count_fds(), ==, count);
    g_assert_cmpint(send(client, "x", 1, 0), ==, 1);
    relay_test_expect(&self.test, target, "x", false);
    move_to(&self, 6);
    g_assert_cmpint(send(client, "y", 1, 0), ==, 1);
    relay_test_expect(&self.test, target, "y", false);
    close(client);
    close(target);
    move_test_clear(&self);
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    loop_test_add("no byte is lost in a thousand moves", no_byte_is_lost_in_a_thousand_moves);
    loop_test_add("several loops share and change", several_loops_share_and_change);
    loop_test_add("connections are spread in turn", connections_are_spread_in_turn);
    loop_test_add("a connect under way moves", a_connect_under_way_moves);
    loop_test_add("a look-up under way moves", a_look_up_under_way_moves);
    loop_test_add("deleting breaks off look-ups", deleting_breaks_off_look_ups);
    loop_test_add("moves follow each other and then the end",
                  moves_follow_each_other_and_then_the_end);
    loop_test_add("a move without descriptors changes nothing",
                  a_move_without_descriptors_changes_nothing);
    loop_test_add("what is held moves", what_is_held_moves);
    loop_test_add("what has moved may finish", what_has_moved_may_finish);
    return g_test_run();
}
