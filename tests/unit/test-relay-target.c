/*
 * The targets of a relay: whose turn it is, who is passed over, what happens when none answers.
 */
#include "config.h"
#include "tests/unit/relay-fixture.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void remove_socket(RelayTest *test, const char *name)
{
    g_assert_cmpint(unlink(relay_test_unix(test, name) + strlen("unix:")), ==, 0);
}

/* A relay for the targets "a" and "b" of which only "a" exists; its listening socket. */
static int start_half(RelayTest *test)
{
    const char *const targets[] = {
        relay_test_unix(test, "b"),
        relay_test_unix(test, "a"),
        NULL,
    };
    int listener = relay_test_listen(targets[1], 64);

    relay_test_start(test, targets);
    return listener;
}

static void assert_event(RelayTest *test, unsigned index, const char *what, const char *name)
{
    g_autofree char *text = g_strdup_printf("%s %s", what, relay_test_unix(test, name));

    g_assert_cmpstr(g_ptr_array_index(test->events, index), ==, text);
}

static void targets_take_turns(Loop *loop)
{
    enum {
        N = 3
    };
    RelayTest test;
    int listeners[N];
    const char *targets[N + 1] = { NULL };

    relay_test_init(&test, loop);
    for (int i = 0; i < N; i++) {
        g_autofree char *name = g_strdup_printf("%d", i);

        targets[i] = relay_test_unix(&test, name);
        listeners[i] = relay_test_listen(targets[i], 64);
    }
    relay_test_start(&test, targets);
    for (int i = 0; i < 3 * N; i++) {
        int client;
        int target;

        relay_test_pair(&test, listeners[i % N], &client, &target);
        close(client);
        close(target);
    }
    relay_test_wait_for(&test, relay_test_stats(&test).connections == 0);
    for (int i = 0; i < N; i++) {
        close(listeners[i]);
        unlink(targets[i] + strlen("unix:"));
    }
    relay_test_clear(&test);
}

static void a_target_that_refuses_is_passed_over_and_told_of_once(Loop *loop)
{
    RelayTest test;
    int listener;

    relay_test_init(&test, loop);
    listener = start_half(&test);
    for (int i = 0; i < 4; i++) {
        g_auto(GStrv) down = NULL;
        int client;
        int target;

        relay_test_pair(&test, listener, &client, &target);
        down = relay_get_targets_down(test.relay);
        g_assert_cmpuint(g_strv_length(down), ==, 1);
        g_assert_cmpstr(down[0], ==, relay_test_unix(&test, "b"));
        close(client);
        close(target);
    }
    relay_test_wait_events(&test, 1);
    assert_event(&test, 0, "down", "b");
    g_assert_cmpuint(relay_test_stats(&test).total_connections, ==, 4);
    relay_test_wait_for(&test, relay_test_stats(&test).connections == 0);
    close(listener);
    remove_socket(&test, "a");
    relay_test_clear(&test);
}

static void a_target_that_answers_again_is_up(Loop *loop)
{
    RelayTest test;
    int listener;
    int second;
    int client;
    int target;

    relay_test_init(&test, loop);
    test.setup.params.target_retry_ms = 0;
    listener = start_half(&test);
    relay_test_pair(&test, listener, &client, &target);
    close(client);
    close(target);
    relay_test_wait_events(&test, 1);
    second = relay_test_listen(relay_test_unix(&test, "b"), 64);
    /* The other one's turn, then its own. */
    relay_test_pair(&test, listener, &client, &target);
    close(client);
    close(target);
    relay_test_pair(&test, second, &client, &target);
    close(client);
    close(target);
    relay_test_wait_events(&test, 2);
    assert_event(&test, 0, "down", "b");
    assert_event(&test, 1, "up", "b");
    relay_test_wait_for(&test, relay_test_stats(&test).connections == 0);
    close(listener);
    close(second);
    remove_socket(&test, "a");
    remove_socket(&test, "b");
    relay_test_clear(&test);
}

static void a_target_that_is_named_again_is_still_down(Loop *loop)
{
    RelayTest test;
    int listener;
    int client;
    int target;

    relay_test_init(&test, loop);
    listener = start_half(&test);
    for (int i = 0; i < 3; i++) {
        const char *const targets[] = {
            relay_test_unix(&test, "a"),
            relay_test_unix(&test, "b"),
            NULL,
        };
        g_auto(GStrv) down = NULL;

        for (int j = 0; j < 2; j++) {
            relay_test_pair(&test, listener, &client, &target);
            close(client);
            close(target);
        }
        g_assert_true(relay_set_targets(test.relay, targets, NULL));
        down = relay_get_targets_down(test.relay);
        g_assert_cmpuint(g_strv_length(down), ==, 1);
        g_assert_cmpstr(down[0], ==, targets[1]);
    }
    relay_test_wait_for(&test, relay_test_stats(&test).connections == 0);
    relay_test_wait_events(&test, 1);
    assert_event(&test, 0, "down", "b");
    close(listener);
    remove_socket(&test, "a");
    relay_test_clear(&test);
}

static void when_no_target_answers_the_client_is_turned_away(Loop *loop)
{
    RelayTest test;
    int listener;

    relay_test_init(&test, loop);
    test.setup.listen = "tcp:127.0.0.1:0";
    relay_test_start_one(&test, relay_test_unix(&test, "none"));
    for (unsigned i = 1; i <= 3; i++) {
        int client = relay_test_client(&test);

        g_assert_cmpint(relay_test_end_of(&test, client), ==, ECONNRESET);
        close(client);
        g_assert_cmpuint(relay_test_stats(&test).errors[RELAY_CAUSE_REFUSED], ==, i);
    }
    relay_test_wait_events(&test, 1);
    /* Though it is down, it is tried, for there is no other. */
    listener = relay_test_listen(relay_test_unix(&test, "none"), 64);
    {
        int client = relay_test_client(&test);

        close(relay_test_accept(&test, listener));
        g_assert_cmpint(relay_test_end_of(&test, client), ==, 0);
        close(client);
    }
    relay_test_wait_events(&test, 2);
    close(listener);
    remove_socket(&test, "none");
    relay_test_clear(&test);
}

static void a_target_that_does_not_answer_is_given_up(Loop *loop)
{
    RelayTest test;
    const char *full;
    int listener;
    int filler;
    int client;

    relay_test_init(&test, loop);
    test.setup.params.connect_timeout_ms = 20;
    full = relay_test_unix(&test, "full");
    listener = relay_test_listen(full, 0);
    filler = relay_test_connect(full);
    relay_test_start_one(&test, full);
    client = relay_test_client(&test);
    g_assert_cmpint(relay_test_end_of(&test, client), ==, 0);
    g_assert_cmpuint(relay_test_stats(&test).errors[RELAY_CAUSE_CONNECT_TIMEOUT], ==, 1);
    relay_test_wait_events(&test, 1);
    assert_event(&test, 0, "down", "full");
    close(client);
    close(filler);
    close(listener);
    remove_socket(&test, "full");
    relay_test_clear(&test);
}

static void a_target_with_a_full_backlog_is_waited_for(Loop *loop)
{
    RelayTest test;
    const char *full;
    int listener;
    int filler;
    int client;
    int target;

    relay_test_init(&test, loop);
    full = relay_test_unix(&test, "full");
    listener = relay_test_listen(full, 0);
    filler = relay_test_connect(full);
    relay_test_start_one(&test, full);
    client = relay_test_client(&test);
    relay_test_wait_for(&test, relay_test_stats(&test).connections == 1);
    close(relay_test_accept(&test, listener));
    target = relay_test_accept(&test, listener);
    g_assert_cmpint(send(client, "x", 1, 0), ==, 1);
    relay_test_expect(&test, target, "x", false);
    close(client);
    close(target);
    close(filler);
    close(listener);
    remove_socket(&test, "full");
    relay_test_clear(&test);
}

static void a_name_is_looked_up(Loop *loop)
{
    int listener = relay_test_listen("tcp:127.0.0.1:0", 64);
    g_autofree char *numeric = relay_test_address_of(listener);
    g_autofree char *name = g_strdup_printf("tcp:localhost%s", strrchr(numeric, ':'));
    RelayTest test;
    int client;
    int target;

    relay_test_init(&test, loop);
    relay_test_start_one(&test, name);
    relay_test_pair(&test, listener, &client, &target);
    g_assert_cmpint(send(client, "x", 1, 0), ==, 1);
    relay_test_expect(&test, target, "x", false);
    close(client);
    close(target);
    close(listener);
    relay_test_clear(&test);
}

static void a_name_that_there_is_not_is_an_error(Loop *loop)
{
    RelayTest test;
    int client;

    relay_test_init(&test, loop);
    relay_test_start_one(&test, "tcp:no-such-host.invalid:1");
    client = relay_test_client(&test);
    g_assert_cmpint(relay_test_end_of(&test, client), ==, 0);
    close(client);
    g_assert_cmpuint(relay_test_stats(&test).errors[RELAY_CAUSE_RESOLVE], ==, 1);
    relay_test_clear(&test);
}

static void other_targets_are_for_new_connections(Loop *loop)
{
    RelayTest test;
    int listeners[2];
    int clients[2];
    int targets[2];
    const char *const second[] = { NULL, NULL };
    g_autoptr(GError) err = NULL;

    relay_test_init(&test, loop);
    listeners[0] = relay_test_listen(relay_test_unix(&test, "a"), 64);
    listeners[1] = relay_test_listen(relay_test_unix(&test, "b"), 64);
    relay_test_start_one(&test, relay_test_unix(&test, "a"));
    relay_test_pair(&test, listeners[0], &clients[0], &targets[0]);
    ((const char **)second)[0] = relay_test_unix(&test, "b");
    g_assert_true(relay_set_targets(test.relay, second, &err));
    relay_test_pair(&test, listeners[1], &clients[1], &targets[1]);
    for (int i = 0; i < 2; i++) {
        g_assert_cmpint(send(clients[i], "x", 1, 0), ==, 1);
        relay_test_expect(&test, targets[i], "x", false);
        close(clients[i]);
        close(targets[i]);
        close(listeners[i]);
    }
    remove_socket(&test, "a");
    remove_socket(&test, "b");
    relay_test_clear(&test);
}

static void targets_that_are_none_are_refused(Loop *loop)
{
    static const struct {
        const char *target;
        const char *message;
    } cases[] = {
        { NULL, "target: the list is empty, expected an address" },
        { "x", "target: 'x' is no address: expected unix:PATH, tcp:HOST:PORT or vsock:CID:PORT" },
        { "fd:x", "target: 'fd:x': a descriptor can be listened on, but not connected to" },
        { "tcp::80", "target: 'tcp::80' is no address to connect to: it has no host" },
    };
    RelayTest test;

    relay_test_init(&test, loop);
    relay_test_start_one(&test, "tcp:127.0.0.1:1");
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        const char *const targets[] = { cases[i].target, NULL };
        g_autoptr(GError) err = NULL;

        g_assert_false(relay_set_targets(test.relay, targets, &err));
        g_assert_true(g_pattern_match_simple(cases[i].message, err->message));
    }
    relay_test_clear(&test);
}

static void assert_is_own(const GError *err, const char *target)
{
    g_autofree char *message =
        g_strdup_printf("target: '%s' is where the relay itself listens", target);

    g_assert_error(err, RELAY_ERROR, RELAY_ERROR_INVALID);
    g_assert_cmpstr(err->message, ==, message);
}

/* Once it connected to itself until there were no descriptors. */
static void a_relay_is_not_its_own_target(Loop *loop)
{
    RelayTest test;
    const char *link;

    relay_test_init(&test, loop);
    link = relay_test_unix(&test, "link");
    g_assert_cmpint(symlink(test.setup.listen + strlen("unix:"), link + strlen("unix:")), ==, 0);
    for (int i = 0; i < 2; i++) {
        const char *const targets[] = { relay_test_unix(&test, "a"),
                                        i == 0 ? test.setup.listen : link, NULL };
        g_autoptr(GError) err = NULL;
        int fds = test_count_fds();

        test.setup.targets = targets;
        g_assert_null(relay_new(&test.setup, &err));
        assert_is_own(err, targets[1]);
        g_assert_cmpint(test_count_fds(), ==, fds);
        /* Before there is a socket, a path alone shows it. */
        g_assert_cmpint(relay_check_addresses(test.setup.listen, targets, NULL), ==, i == 1);
    }
    unlink(link + strlen("unix:"));
    relay_test_clear(&test);
}

static void a_relay_does_not_become_its_own_target(Loop *loop)
{
    static const char *const hosts[] = { "127.0.0.1", "localhost", "[::ffff:127.0.0.1]" };
    static const char *const listen[] = { "tcp:127.0.0.1:0", "tcp:*:0" };

    for (size_t i = 0; i < G_N_ELEMENTS(listen); i++) {
        RelayTest test;

        relay_test_init(&test, loop);
        test.setup.listen = listen[i];
        relay_test_start_one(&test, "tcp:127.0.0.1:1");
        for (size_t j = 0; j < G_N_ELEMENTS(hosts); j++) {
            g_autofree char *target =
                g_strdup_printf("tcp:%s%s", hosts[j], strrchr(relay_get_address(test.relay), ':'));
            const char *const targets[] = { target, NULL };
            g_autoptr(GError) err = NULL;

            g_assert_false(relay_set_targets(test.relay, targets, &err));
            assert_is_own(err, target);
        }
        relay_test_clear(&test);
    }
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    loop_test_add("targets take turns", targets_take_turns);
    loop_test_add("a target that refuses is passed over and told of once",
                  a_target_that_refuses_is_passed_over_and_told_of_once);
    loop_test_add("a target that answers again is up", a_target_that_answers_again_is_up);
    loop_test_add("a target that is named again is still down",
                  a_target_that_is_named_again_is_still_down);
    loop_test_add("when no target answers the client is turned away",
                  when_no_target_answers_the_client_is_turned_away);
    loop_test_add("a target that does not answer is given up",
                  a_target_that_does_not_answer_is_given_up);
    loop_test_add("a target with a full backlog is waited for",
                  a_target_with_a_full_backlog_is_waited_for);
    loop_test_add("a name is looked up", a_name_is_looked_up);
    loop_test_add_aio_poll("a name that there is not is an error",
                           a_name_that_there_is_not_is_an_error);
    loop_test_add("other targets are for new connections", other_targets_are_for_new_connections);
    loop_test_add_aio_poll("targets that are none are refused", targets_that_are_none_are_refused);
    loop_test_add_aio_poll("a relay is not its own target", a_relay_is_not_its_own_target);
    loop_test_add_aio_poll("a relay does not become its own target",
                           a_relay_does_not_become_its_own_target);
    return g_test_run();
}
