/*
 * Where a relay listens, and how it ends.
 */
#include "config.h"
#include "tests/unit/log-fixture.h"
#include "tests/unit/relay-fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *path_of(const char *address)
{
    return address + strlen("unix:");
}

/* Starting must fail with @message, and leave nothing. */
static void assert_refused(RelayTest *test, const char *message)
{
    static const char *const targets[] = { "tcp:127.0.0.1:1", NULL };
    g_autoptr(GError) err = NULL;
    int fds = test_count_fds();

    test->setup.targets = targets;
    g_assert_null(relay_new(&test->setup, &err));
    g_assert_nonnull(err);
    if (!g_pattern_match_simple(message, err->message)) {
        g_error("'%s' instead of '%s'", err->message, message);
    }
    g_assert_cmpint(test_count_fds(), ==, fds);
}

static void it_listens_wherever_there_is_a_stream(Loop *loop)
{
    static const char *const addresses[] = {
        "tcp:127.0.0.1:0", "tcp:[::1]:0", "tcp:localhost:0",
        "tcp:*:0",         "tcp::0",      "unix:@evloop-relay-test",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(addresses); i++) {
        RelayTest test;
        int listener;
        int client;
        int target;

        relay_test_init(&test, loop);
        test.setup.listen = addresses[i];
        listener = relay_test_listen(relay_test_unix(&test, "target"), 64);
        relay_test_start_one(&test, relay_test_unix(&test, "target"));
        relay_test_pair(&test, listener, &client, &target);
        close(client);
        close(target);
        close(listener);
        unlink(path_of(relay_test_unix(&test, "target")));
        relay_test_clear(&test);
    }
}

static void a_stale_socket_is_replaced_and_removed_at_the_end(Loop *loop)
{
    RelayTest test;
    struct stat st;

    relay_test_init(&test, loop);
    close(relay_test_listen(test.setup.listen, 1));
    relay_test_start_one(&test, "tcp:127.0.0.1:1");
    close(relay_test_client(&test));
    relay_test_delete(&test, 0);
    g_assert_cmpint(lstat(path_of(test.setup.listen), &st), ==, -1);
    relay_test_clear(&test);
}

static void a_socket_that_is_in_use_is_left_alone(Loop *loop)
{
    RelayTest test;
    int listener;

    relay_test_init(&test, loop);
    listener = relay_test_listen(test.setup.listen, 8);
    assert_refused(&test, "can't listen on 'unix:*/relay': another process is listening on it");
    close(relay_test_connect(test.setup.listen));
    close(listener);
    unlink(path_of(test.setup.listen));
    relay_test_clear(&test);
}

/* The relay removed whatever was at its path. */
static void a_socket_that_another_has_put_there_is_left_alone(Loop *loop)
{
    RelayTest test;
    int listener;

    relay_test_init(&test, loop);
    relay_test_start_one(&test, "tcp:127.0.0.1:1");
    g_assert_cmpint(unlink(path_of(test.setup.listen)), ==, 0);
    listener = relay_test_listen(test.setup.listen, 8);
    relay_test_delete(&test, 0);
    close(relay_test_connect(test.setup.listen));
    close(listener);
    g_assert_cmpint(unlink(path_of(test.setup.listen)), ==, 0);
    relay_test_clear(&test);
}

static void a_file_is_left_alone(Loop *loop)
{
    RelayTest test;

    relay_test_init(&test, loop);
    g_assert_true(g_file_set_contents(path_of(test.setup.listen), "mine", -1, NULL));
    assert_refused(&test, "can't listen on 'unix:*/relay': there is a file that is no socket");
    g_assert_cmpint(unlink(path_of(test.setup.listen)), ==, 0);
    relay_test_clear(&test);
}

static void addresses_that_can_not_be_listened_on_are_refused(Loop *loop)
{
    static const struct {
        const char *listen;
        const char *message;
    } cases[] = {
        { "nonsense", "listen: 'nonsense' is no address: *" },
        { "tcp:example.org:80", "can't listen on 'tcp:example.org:80': the host is a name, *" },
        { "tcp:192.0.2.1:0", "can't listen on 'tcp:192.0.2.1:0': *" },
        { "unix:/nowhere/at/all",
          "can't listen on 'unix:/nowhere/at/all': directory '/nowhere/at': No such file *" },
        { "fd:x", "can't listen on 'fd:x': there is no descriptor of that name" },
    };
    RelayTest test;

    relay_test_init(&test, loop);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        test.setup.listen = cases[i].listen;
        assert_refused(&test, cases[i].message);
    }
    relay_test_clear(&test);
}

static void a_descriptor_that_listens_is_taken_over(Loop *loop)
{
    RelayTest test;
    g_autofree char *address = NULL;
    int listener;
    int client;
    int target;

    relay_test_init(&test, loop);
    test.setup.listen = "fd:mine";
    test.setup.listen_fd = relay_test_listen("tcp:127.0.0.1:0", 8);
    address = relay_test_address_of(test.setup.listen_fd);
    listener = relay_test_listen(relay_test_unix(&test, "target"), 64);
    relay_test_start_one(&test, relay_test_unix(&test, "target"));
    g_assert_cmpstr(relay_get_address(test.relay), ==, address);
    relay_test_pair(&test, listener, &client, &target);
    close(client);
    close(target);
    close(listener);
    unlink(path_of(relay_test_unix(&test, "target")));
    relay_test_delete(&test, 0);
    g_assert_cmpint(fcntl(test.setup.listen_fd, F_GETFD), ==, -1);
    relay_test_clear(&test);
}

static void a_descriptor_that_does_not_listen_is_refused(Loop *loop)
{
    RelayTest test;
    int fds[2];

    relay_test_init(&test, loop);
    test.setup.listen = "fd:mine";
    test_pipe(fds);
    test.setup.listen_fd = fds[0];
    assert_refused(&test,
                   "can't listen on 'fd:mine': the descriptor is no stream socket that listens");
    test_close(fds);
    test_socketpair(fds);
    test.setup.listen_fd = fds[0];
    assert_refused(&test,
                   "can't listen on 'fd:mine': the descriptor is no stream socket that listens");
    test_close(fds);
    relay_test_clear(&test);
}

/* ---- accepting ---- */

static void find_name(const AioSourceInfo *info, void *opaque)
{
    const char **name = opaque;

    if (*name && strcmp(info->name, *name) == 0) {
        *name = NULL;
    }
}

static bool is_watched(Loop *loop, const char *name)
{
    aio_context_foreach_source(loop->ctx, find_name, &name);
    return !name;
}

static uint64_t accept_errors(RelayTest *test)
{
    return relay_test_stats(test).errors[RELAY_CAUSE_ACCEPT];
}

static void a_client_waits_while_there_are_no_descriptors(Loop *loop)
{
    RelayTest test;
    struct rlimit before;
    struct rlimit none;
    int client;

    relay_test_init(&test, loop);
    relay_test_start_one(&test, "tcp:127.0.0.1:1");
    client = relay_test_client(&test);
    g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &before), ==, 0);
    none = before;
    none.rlim_cur = (rlim_t)dup(STDERR_FILENO);
    close((int)none.rlim_cur);
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &none), ==, 0);
    /* The log tells of it once. */
    log_test_expect(QMP_LOG_ACCEPT_PAUSED,
                    "unix:*/relay: can't accept clients for now: Too many open files");
    relay_test_wait_for(&test, accept_errors(&test) >= 2);
    log_test_assert_all();
    g_assert_cmpuint(relay_test_stats(&test).total_connections, ==, 0);
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &before), ==, 0);
    relay_test_wait_for(&test, relay_test_stats(&test).total_connections == 1);
    close(client);
    relay_test_clear(&test);
}

/* It spun, or tried again ten times a second for good. */
static void a_socket_that_another_has_shut_down_is_given_up(Loop *loop)
{
    RelayTest test;
    int shared;

    relay_test_init(&test, loop);
    test.setup.listen = "fd:mine";
    test.setup.listen_fd = relay_test_listen("tcp:127.0.0.1:0", 8);
    shared = dup(test.setup.listen_fd);
    relay_test_start_one(&test, "tcp:127.0.0.1:1");
    relay_test_wait_for(&test, is_watched(loop, "relay_accept"));
    log_test_expect(QMP_LOG_SOCKET_SHUT_DOWN, "tcp:127.0.0.1:*: no client can connect any more, *");
    g_assert_cmpint(shutdown(shared, SHUT_RDWR), ==, 0);
    relay_test_wait_for(&test, !is_watched(loop, "relay_accept"));
    log_test_assert_all();
    close(shared);
    relay_test_clear(&test);
}

/* ---- the end ---- */

typedef struct EndTest {
    RelayTest test;
    int listener;
    int client;
    int target;
} EndTest;

static void end_test_init(EndTest *self, Loop *loop)
{
    relay_test_init(&self->test, loop);
    self->listener = relay_test_listen(relay_test_unix(&self->test, "target"), 64);
    relay_test_start_one(&self->test, relay_test_unix(&self->test, "target"));
    relay_test_pair(&self->test, self->listener, &self->client, &self->target);
}

static void end_test_clear(EndTest *self)
{
    close(self->client);
    close(self->target);
    close(self->listener);
    unlink(path_of(relay_test_unix(&self->test, "target")));
    relay_test_clear(&self->test);
}

static void deleting_breaks_off_at_once(Loop *loop)
{
    EndTest self;

    end_test_init(&self, loop);
    relay_test_delete(&self.test, 0);
    g_assert_cmpint(relay_test_end_of(&self.test, self.client), ==, 0);
    g_assert_cmpint(relay_test_end_of(&self.test, self.target), ==, 0);
    end_test_clear(&self);
}

static void note_deleted(void *opaque)
{
    RelayTest *test = opaque;

    test->deleted = true;
    test->relay = NULL;
}

static void connections_may_finish(Loop *loop)
{
    EndTest self;
    RelayTest *test = &self.test;

    end_test_init(&self, loop);
    relay_delete(test->relay, 100000, note_deleted, test);
    g_assert_cmpint(send(self.client, "last", 4, 0), ==, 4);
    relay_test_expect(test, self.target, "last", false);
    g_assert_false(test->deleted);
    /* Nobody listens meanwhile. */
    relay_test_wait_for(test, access(path_of(test->setup.listen), F_OK) != 0);
    g_assert_cmpint(shutdown(self.client, SHUT_WR), ==, 0);
    g_assert_cmpint(relay_test_end_of(test, self.target), ==, 0);
    g_assert_cmpint(send(self.target, "words", 5, 0), ==, 5);
    g_assert_cmpint(shutdown(self.target, SHUT_WR), ==, 0);
    relay_test_expect(test, self.client, "words", true);
    relay_test_wait_for(test, test->deleted);
    end_test_clear(&self);
}

static void what_does_not_finish_in_time_is_broken_off(Loop *loop)
{
    EndTest self;

    end_test_init(&self, loop);
    relay_test_delete(&self.test, 10);
    g_assert_cmpint(relay_test_end_of(&self.test, self.client), ==, 0);
    end_test_clear(&self);
}

static void a_relay_may_go_before_it_began(Loop *loop)
{
    RelayTest test;

    relay_test_init(&test, loop);
    relay_test_start_one(&test, "tcp:127.0.0.1:1");
    relay_test_delete(&test, 1000000);
    relay_test_clear(&test);
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    log_test_init();
    loop_test_add_aio_poll("it listens wherever there is a stream",
                           it_listens_wherever_there_is_a_stream);
    loop_test_add_aio_poll("a stale socket is replaced, and removed at the end",
                           a_stale_socket_is_replaced_and_removed_at_the_end);
    loop_test_add_aio_poll("a socket that is in use is left alone",
                           a_socket_that_is_in_use_is_left_alone);
    loop_test_add_aio_poll("a socket that another has put there is left alone",
                           a_socket_that_another_has_put_there_is_left_alone);
    loop_test_add_aio_poll("a file is left alone", a_file_is_left_alone);
    loop_test_add_aio_poll("addresses that can't be listened on are refused",
                           addresses_that_can_not_be_listened_on_are_refused);
    loop_test_add_aio_poll("a descriptor that listens is taken over",
                           a_descriptor_that_listens_is_taken_over);
    loop_test_add_aio_poll("a descriptor that does not listen is refused",
                           a_descriptor_that_does_not_listen_is_refused);
    loop_test_add("a client waits while there are no descriptors",
                  a_client_waits_while_there_are_no_descriptors);
    loop_test_add_aio_poll("a socket that another has shut down is given up",
                           a_socket_that_another_has_shut_down_is_given_up);
    loop_test_add("deleting breaks off at once", deleting_breaks_off_at_once);
    loop_test_add("connections may finish", connections_may_finish);
    loop_test_add("what does not finish in time is broken off",
                  what_does_not_finish_in_time_is_broken_off);
    loop_test_add("a relay may go before it began", a_relay_may_go_before_it_began);
    return g_test_run();
}
