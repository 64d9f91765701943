/*
 * The timeouts of a relay's connections, by a clock that the test puts forward by hours.
 */
#include "config.h"
#include "objects/relay/relay-frozen.h"
#include "tests/unit/clock-fixture.h"
#include "tests/unit/log-fixture.h"
#include "tests/unit/relay-fixture.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HOUR_MS (INT64_C(3600) * 1000)

/* Let time go by, and the relay take notice. */
static void wait_minutes(RelayTest *test, int64_t n)
{
    put_clock_forward(n);
    loop_passes(test->loop, 5);
}

static int start(RelayTest *test, Loop *loop, int64_t idle_timeout_ms)
{
    int listener;

    relay_test_init(test, loop);
    test->setup.params.idle_timeout_ms = idle_timeout_ms;
    listener = relay_test_listen(relay_test_unix(test, "target"), 64);
    relay_test_start_one(test, relay_test_unix(test, "target"));
    return listener;
}

static void finish(RelayTest *test, int listener)
{
    unlink(relay_test_unix(test, "target") + strlen("unix:"));
    close(listener);
    relay_test_clear(test);
}

static void set_idle_timeout(RelayTest *test, int64_t idle_timeout_ms)
{
    RelayParams params = test->setup.params;

    params.idle_timeout_ms = idle_timeout_ms;
    g_assert_true(relay_set_params(test->relay, &params, NULL));
}

static void pass_a_byte(RelayTest *test, int from, int to)
{
    g_assert_cmpint(send(from, "x", 1, MSG_NOSIGNAL), ==, 1);
    relay_test_expect(test, to, "x", false);
}

static void assert_ended(RelayTest *test, int client, int target)
{
    g_assert_cmpint(relay_test_end_of(test, client), ==, 0);
    g_assert_cmpint(relay_test_end_of(test, target), ==, 0);
    close(client);
    close(target);
}

static void turn_one_away(RelayTest *test)
{
    int client = relay_test_client(test);

    g_assert_cmpint(relay_test_end_of(test, client), ==, 0);
    close(client);
}

/* What is logged and not expected ends the test. */
static void the_log_tells_of_clients_turned_away_once_in_a_while(Loop *loop)
{
    RelayTest test;
    int client;
    int target;
    int listener;

    relay_test_init(&test, loop);
    test.setup.params.max_connections = 1;
    listener = relay_test_listen(relay_test_unix(&test, "target"), 64);
    relay_test_start_one(&test, relay_test_unix(&test, "target"));
    relay_test_pair(&test, listener, &client, &target);
    log_test_expect(QMP_LOG_CLIENT_TURNED_AWAY, "*: clients turned away: 1, for there are 1 *");
    turn_one_away(&test);
    log_test_assert_all();
    for (int i = 0; i < 3; i++) {
        turn_one_away(&test);
    }
    wait_minutes(&test, 1);
    log_test_expect(QMP_LOG_CLIENT_TURNED_AWAY, "*: clients turned away: 4, for there are 1 *");
    turn_one_away(&test);
    log_test_assert_all();
    g_assert_cmpstr(log_test_field("EVLOOPD_COUNT"), ==, "4");
    turn_one_away(&test);
    g_assert_cmpuint(relay_test_stats(&test).refused, ==, 6);
    close(client);
    close(target);
    finish(&test, listener);
}

static void activity_pushes_the_end_back(Loop *loop)
{
    RelayTest test;
    int listener = start(&test, loop, HOUR_MS);
    int client;
    int target;

    relay_test_pair(&test, listener, &client, &target);
    pass_a_byte(&test, client, target);
    for (int i = 0; i < 2; i++) {
        wait_minutes(&test, 40);
        pass_a_byte(&test, client, target);
        wait_minutes(&test, 40);
        pass_a_byte(&test, target, client);
    }
    wait_minutes(&test, 40);
    g_assert_cmpuint(relay_test_stats(&test).connections, ==, 1);
    wait_minutes(&test, 40);
    assert_ended(&test, client, target);
    g_assert_cmpuint(relay_test_stats(&test).errors[RELAY_CAUSE_IDLE_TIMEOUT], ==, 1);
    finish(&test, listener);
}

static void each_connection_has_its_own_end(Loop *loop)
{
    RelayTest test;
    int listener = start(&test, loop, HOUR_MS);
    int clients[3];
    int targets[3];

    for (int i = 0; i < 3; i++) {
        relay_test_pair(&test, listener, &clients[i], &targets[i]);
        pass_a_byte(&test, clients[i], targets[i]);
    }
    wait_minutes(&test, 40);
    pass_a_byte(&test, clients[1], targets[1]);
    wait_minutes(&test, 10);
    pass_a_byte(&test, clients[0], targets[0]);
    wait_minutes(&test, 20);
    assert_ended(&test, clients[2], targets[2]);
    g_assert_cmpuint(relay_test_stats(&test).connections, ==, 2);
    wait_minutes(&test, 35);
    assert_ended(&test, clients[1], targets[1]);
    g_assert_cmpuint(relay_test_stats(&test).connections, ==, 1);
    wait_minutes(&test, 10);
    assert_ended(&test, clients[0], targets[0]);
    finish(&test, listener);
}

/* Once it cut off all that had been connected for so long, however busy they were. */
static void a_timeout_that_is_set_ends_only_the_idle(Loop *loop)
{
    RelayTest test;
    int listener = start(&test, loop, 0);
    int clients[2];
    int targets[2];

    for (int i = 0; i < 2; i++) {
        relay_test_pair(&test, listener, &clients[i], &targets[i]);
        pass_a_byte(&test, clients[i], targets[i]);
    }
    wait_minutes(&test, 600);
    g_assert_cmpuint(relay_test_stats(&test).connections, ==, 2);
    pass_a_byte(&test, clients[0], targets[0]);
    set_idle_timeout(&test, HOUR_MS);
    assert_ended(&test, clients[1], targets[1]);
    g_assert_cmpuint(relay_test_stats(&test).connections, ==, 1);
    wait_minutes(&test, 40);
    pass_a_byte(&test, targets[0], clients[0]);
    wait_minutes(&test, 40);
    pass_a_byte(&test, clients[0], targets[0]);
    wait_minutes(&test, 80);
    assert_ended(&test, clients[0], targets[0]);
    finish(&test, listener);
}

static void a_timeout_that_is_taken_back_ends_nothing(Loop *loop)
{
    RelayTest test;
    int listener = start(&test, loop, HOUR_MS);
    int client;
    int target;

    relay_test_pair(&test, listener, &client, &target);
    pass_a_byte(&test, client, target);
    set_idle_timeout(&test, 0);
    wait_minutes(&test, 80);
    pass_a_byte(&test, client, target);
    close(client);
    close(target);
    finish(&test, listener);
}

static void frozen(void *opaque, RelayFrozen *frozen)
{
    *(RelayFrozen **)opaque = frozen;
}

/* The time before counts no more: nobody could have sent anything between. */
static void idle_time_counts_from_a_restart(Loop *loop)
{
    g_autoptr(RelayFrozen) kept = NULL;
    RelayTest test;
    int listener = start(&test, loop, HOUR_MS);
    int client;
    int target;

    relay_test_pair(&test, listener, &client, &target);
    pass_a_byte(&test, client, target);
    wait_minutes(&test, 40);
    relay_freeze(test.relay, frozen, &kept);
    relay_test_wait_for(&test, kept);
    put_clock_forward(60);
    test.setup.frozen = kept;
    relay_test_start_one(&test, relay_test_unix(&test, "target"));
    loop_passes(loop, 5);
    wait_minutes(&test, 40);
    g_assert_cmpuint(relay_test_stats(&test).connections, ==, 1);
    wait_minutes(&test, 40);
    assert_ended(&test, client, target);
    g_assert_cmpuint(relay_test_stats(&test).errors[RELAY_CAUSE_IDLE_TIMEOUT], ==, 1);
    finish(&test, listener);
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    log_test_init();
    loop_test_add("the log tells of clients turned away once in a while",
                  the_log_tells_of_clients_turned_away_once_in_a_while);
    loop_test_add("activity pushes the end of a connection back", activity_pushes_the_end_back);
    loop_test_add("each connection has its own end", each_connection_has_its_own_end);
    loop_test_add("an idle timeout that is set later ends only what is idle",
                  a_timeout_that_is_set_ends_only_the_idle);
    loop_test_add("an idle timeout that is taken back ends nothing",
                  a_timeout_that_is_taken_back_ends_nothing);
    loop_test_add("idle time counts from a restart", idle_time_counts_from_a_restart);
    return g_test_run();
}
