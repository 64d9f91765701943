/*
 * Accepting: who gets in and when, what happens when nobody can, and when nobody ever will.
 */
#include "config.h"
#include "sockets/acceptor.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/unit/loop-fixture.h"

/* ---- calls that fail ---- */

static int errors_left;
static int error_to_give;
static int calls; /* of accept4() */

int __real_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags);
int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags);

int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
    calls++;
    if (errors_left > 0) {
        errors_left--;
        errno = error_to_give;
        return -1;
    }
    return __real_accept4(fd, address, length, flags);
}

static void give_errors(int n, int error)
{
    errors_left = n;
    error_to_give = error;
}

/* ---- the fixture ---- */

#define MAX_ACCEPTS 2

typedef struct Test {
    Loop *loop;
    Acceptor acceptor;
    int listener;
    struct sockaddr_un address;
    socklen_t length;
    int accepted;
    int failed;
    int begun; /* rests that it was told of */
    int shut_down;
} Test;

static void accepted(void *opaque, int fd)
{
    Test *test = opaque;

    test->accepted++;
    close(fd);
}

static void failed(void *opaque, int error, bool begins_to_rest)
{
    Test *test = opaque;

    g_assert_cmpint(error, ==, error_to_give);
    test->failed++;
    test->begun += begins_to_rest;
}

static void shut_down(void *opaque)
{
    Test *test = opaque;

    test->shut_down++;
}

static const AcceptorOps ops = {
    .name = "test_accept",
    .max_accepts = MAX_ACCEPTS,
    .accepted = accepted,
    .failed = failed,
    .shut_down = shut_down,
};

static void test_init(Test *test, Loop *loop)
{
    *test = (Test){ .loop = loop, .address = { .sun_family = AF_UNIX } };
    test->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    /* A name that the kernel chooses. */
    g_assert_cmpint(bind(test->listener, (struct sockaddr *)&test->address, sizeof(sa_family_t)),
                    ==, 0);
    test->length = sizeof(test->address);
    g_assert_cmpint(getsockname(test->listener, (struct sockaddr *)&test->address, &test->length),
                    ==, 0);
    g_assert_cmpint(listen(test->listener, 64), ==, 0);
    acceptor_init(&test->acceptor, test->listener, &ops, test);
    acceptor_start(&test->acceptor, loop->ctx);
}

static void test_clear(Test *test)
{
    acceptor_stop(&test->acceptor);
    close(test->listener);
    give_errors(0, 0);
}

static void connect_client(Test *test)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_assert_cmpint(connect(fd, (struct sockaddr *)&test->address, test->length), ==, 0);
    close(fd);
}

#define wait_for(test, condition)           \
    do {                                    \
        while (!(condition)) {              \
            loop_pass((test)->loop, false); \
        }                                   \
    } while (0)

/* ---- the tests ---- */

static void others_have_their_turn_between_clients(Loop *loop)
{
    Test test;
    int before = 0;

    test_init(&test, loop);
    for (int i = 0; i < 5; i++) {
        connect_client(&test);
    }
    while (test.accepted < 5) {
        loop_pass(loop, false);
        g_assert_cmpint(test.accepted - before, <=, MAX_ACCEPTS);
        before = test.accepted;
    }
    g_assert_cmpint(test.failed, ==, 0);
    test_clear(&test);
}

static void stop_at_the_first(void *opaque, int fd)
{
    Test *test = opaque;

    accepted(opaque, fd);
    acceptor_stop(&test->acceptor);
}

/* The next client is for whoever has the socket then. */
static void nobody_is_accepted_once_a_callback_has_stopped_it(Loop *loop)
{
    static const AcceptorOps stopping = {
        .name = "test_accept",
        .max_accepts = MAX_ACCEPTS,
        .accepted = stop_at_the_first,
        .failed = failed,
        .shut_down = shut_down,
    };
    Test test;

    test_init(&test, loop);
    test.acceptor.ops = &stopping;
    connect_client(&test);
    connect_client(&test);
    wait_for(&test, test.accepted > 0);
    loop_passes(loop, 5);
    g_assert_cmpint(test.accepted, ==, 1);
    acceptor_start(&test.acceptor, loop->ctx);
    wait_for(&test, test.accepted == 2);
    test_clear(&test);
}

static void a_client_that_has_gone_again_is_no_reason_to_rest(Loop *loop)
{
    static const int errors[] = { ECONNABORTED, EINTR, EPROTO };

    for (size_t i = 0; i < G_N_ELEMENTS(errors); i++) {
        Test test;

        test_init(&test, loop);
        give_errors(3, errors[i]);
        connect_client(&test);
        while (test.accepted == 0) {
            loop_pass(loop, false);
            g_assert_false(timer_pending(&test.acceptor.timer));
        }
        g_assert_cmpint(test.failed, ==, 3);
        g_assert_cmpint(test.begun, ==, 0);
        test_clear(&test);
    }
}

/* A listener that spins when there are no descriptors makes that worse. */
static void it_rests_while_nobody_can_be_accepted(Loop *loop)
{
    Test test;

    test_init(&test, loop);
    give_errors(2, EMFILE);
    connect_client(&test);
    calls = 0;
    wait_for(&test, test.failed == 1);
    g_assert_true(timer_pending(&test.acceptor.timer));
    loop_passes(loop, 20);
    g_assert_true(calls == 1 || test.failed == 2); /* the rest may be over by now */
    wait_for(&test, test.accepted == 1);
    /* It was told of once, though it has begun twice. */
    g_assert_cmpint(test.failed, ==, 2);
    g_assert_cmpint(test.begun, ==, 1);
    test_clear(&test);
}

static void it_rests_whatever_the_system_is_out_of(Loop *loop)
{
    static const int errors[] = { EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM };

    for (size_t i = 0; i < G_N_ELEMENTS(errors); i++) {
        Test test;

        test_init(&test, loop);
        give_errors(1, errors[i]);
        connect_client(&test);
        wait_for(&test, test.failed == 1);
        g_assert_true(timer_pending(&test.acceptor.timer));
        g_assert_cmpint(test.begun, ==, 1);
        test_clear(&test);
    }
}

static void a_rest_after_a_client_is_a_new_one(Loop *loop)
{
    Test test;

    test_init(&test, loop);
    for (int i = 1; i <= 2; i++) {
        give_errors(1, EMFILE);
        connect_client(&test);
        wait_for(&test, test.accepted == i);
        g_assert_cmpint(test.begun, ==, i);
    }
    test_clear(&test);
}

static void waking_ends_a_rest(Loop *loop)
{
    Test test;

    test_init(&test, loop);
    acceptor_wake(&test.acceptor); /* it does not rest */
    give_errors(1, EMFILE);
    connect_client(&test);
    wait_for(&test, test.failed == 1);
    acceptor_wake(&test.acceptor);
    g_assert_false(timer_pending(&test.acceptor.timer));
    wait_for(&test, test.accepted == 1);
    acceptor_stop(&test.acceptor);
    acceptor_wake(&test.acceptor); /* there is nothing to wake */
    loop_passes(loop, 5);
    test_clear(&test);
}

static void it_goes_on_elsewhere_with_what_waits(Loop *loop)
{
    g_autoptr(Loop) other = loop_new_like(loop);
    Test test;

    test_init(&test, loop);
    give_errors(1, EMFILE);
    connect_client(&test);
    wait_for(&test, test.failed == 1);
    acceptor_stop(&test.acceptor); /* while it rests */
    connect_client(&test);
    loop_passes(loop, 5);
    g_assert_cmpint(test.accepted, ==, 0);
    acceptor_start(&test.acceptor, other->ctx);
    test.loop = other;
    wait_for(&test, test.accepted == 2);
    g_assert_cmpint(test.begun, ==, 1);
    test_clear(&test);
}

/* It would be readable for good. */
static void a_socket_that_is_shut_down_is_given_up(Loop *loop)
{
    Test test;

    test_init(&test, loop);
    g_assert_cmpint(shutdown(test.listener, SHUT_RDWR), ==, 0);
    wait_for(&test, test.shut_down > 0);
    calls = 0;
    loop_passes(loop, 10);
    g_assert_cmpint(calls, ==, 0);
    g_assert_cmpint(test.shut_down, ==, 1);
    g_assert_cmpint(test.failed, ==, 0);
    g_assert_null(test.acceptor.ctx);
    test_clear(&test);
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    loop_test_add("others have their turn between clients", others_have_their_turn_between_clients);
    loop_test_add("nobody is accepted once a callback has stopped it",
                  nobody_is_accepted_once_a_callback_has_stopped_it);
    loop_test_add("a client that has gone again is no reason to rest",
                  a_client_that_has_gone_again_is_no_reason_to_rest);
    loop_test_add("it rests while nobody can be accepted", it_rests_while_nobody_can_be_accepted);
    loop_test_add("it rests whatever the system is out of", it_rests_whatever_the_system_is_out_of);
    loop_test_add("a rest after a client is a new one", a_rest_after_a_client_is_a_new_one);
    loop_test_add("waking ends a rest", waking_ends_a_rest);
    loop_test_add("it goes on elsewhere, with what waits", it_goes_on_elsewhere_with_what_waits);
    loop_test_add("a socket that is shut down is given up", a_socket_that_is_shut_down_is_given_up);
    return g_test_run();
}
