/*
 * Connecting to a target when names are slow or have several addresses.
 *
 * The program is linked such that the test looks up the names, and sees when a connect begins.
 */
#include "config.h"
#include "tests/unit/clock-fixture.h"
#include "tests/unit/log-fixture.h"
#include "tests/unit/relay-fixture.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- names: each has all the addresses of @listeners ---- */

#define MAX_ADDRESSES 2

static struct {
    struct sockaddr_in address[MAX_ADDRESSES];
    struct addrinfo info[MAX_ADDRESSES];
    int error;        /* of a look-up, when not 0, with EMFILE in errno */
    atomic_bool slow; /* a look-up waits for @go_on */
    atomic_int begun;
    sem_t go_on;
} names;

int __wrap_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **found);
void __wrap_freeaddrinfo(struct addrinfo *found);

int __wrap_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **found)
{
    names.begun++;
    while (names.slow && sem_wait(&names.go_on) != 0) {
    }
    *found = names.error ? NULL : names.info;
    errno = EMFILE;
    return names.error;
}

void __wrap_freeaddrinfo(struct addrinfo *found)
{
    g_assert_true(found == names.info);
}

static int n_connects; /* how often somebody has called connect() */

int __real_connect(int fd, const struct sockaddr *address, socklen_t length);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t length);

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t length)
{
    n_connects++;
    return __real_connect(fd, address, length);
}

static void begin_slow_look_ups(void)
{
    sem_init(&names.go_on, 0, 0);
    names.begun = 0;
    names.slow = true;
}

static void end_slow_look_ups(void)
{
    names.slow = false;
    sem_post(&names.go_on);
}

static void set_names(const int *listeners, int n)
{
    for (int i = 0; i < n; i++) {
        socklen_t length = sizeof(names.address[i]);

        g_assert_cmpint(getsockname(listeners[i], (struct sockaddr *)&names.address[i], &length),
                        ==, 0);
        names.info[i] = (struct addrinfo){
            .ai_family = AF_INET,
            .ai_socktype = SOCK_STREAM,
            .ai_addr = (struct sockaddr *)&names.address[i],
            .ai_addrlen = length,
            .ai_next = i + 1 < n ? &names.info[i + 1] : NULL,
        };
    }
}

/* A listening socket that answers nobody, for its backlog is full. */
static int listen_silently(int *filler)
{
    int listener = relay_test_listen("tcp:127.0.0.1:0", 0);
    g_autofree char *address = relay_test_address_of(listener);

    *filler = relay_test_connect(address);
    return listener;
}

static void pass_a_byte(RelayTest *test, int from, int to)
{
    g_assert_cmpint(send(from, "x", 1, MSG_NOSIGNAL), ==, 1);
    relay_test_expect(test, to, "x", false);
}

/* All that waits for an answer has waited for longer than the timeout of start_patient(). */
static void let_time_out(RelayTest *test)
{
    put_clock_forward(61);
    loop_passes(test->loop, 5);
}

static void start_patient(RelayTest *test, const char *target)
{
    test->setup.params.connect_timeout_ms = INT64_C(3600) * 1000;
    relay_test_start_one(test, target);
}

/* ---- tests ---- */

/* Once the second address was never tried. */
static void an_address_that_does_not_answer_leaves_time_for_the_next(Loop *loop)
{
    RelayTest test;
    int listeners[2];
    int filler;
    int client;
    int target;
    int before;

    listeners[0] = listen_silently(&filler);
    listeners[1] = relay_test_listen("tcp:127.0.0.1:0", 64);
    set_names(listeners, 2);
    relay_test_init(&test, loop);
    start_patient(&test, "tcp:two.example:1");
    client = relay_test_client(&test);
    /* The relay tries the first. */
    before = n_connects;
    relay_test_wait_for(&test, n_connects > before);
    let_time_out(&test);
    relay_test_wait_for(&test, (target = accept4(listeners[1], NULL, NULL, SOCK_NONBLOCK)) >= 0 ||
                                   relay_test_stats(&test).errors[RELAY_CAUSE_CONNECT_TIMEOUT] > 0);
    g_assert_cmpint(target, >=, 0);
    pass_a_byte(&test, client, target);
    g_assert_cmpuint(test.events->len, ==, 0);
    close(client);
    close(target);
    close(filler);
    close(listeners[0]);
    close(listeners[1]);
    relay_test_clear(&test);
}

static void a_target_none_of_whose_addresses_answers_is_down(Loop *loop)
{
    RelayTest test;
    int listeners[2];
    int fillers[2];
    int client;

    for (int i = 0; i < 2; i++) {
        listeners[i] = listen_silently(&fillers[i]);
    }
    set_names(listeners, 2);
    relay_test_init(&test, loop);
    test.setup.params.connect_timeout_ms = 20;
    relay_test_start_one(&test, "tcp:two.example:1");
    client = relay_test_client(&test);
    g_assert_cmpint(relay_test_end_of(&test, client), ==, 0);
    g_assert_cmpuint(relay_test_stats(&test).errors[RELAY_CAUSE_CONNECT_TIMEOUT], ==, 1);
    relay_test_wait_events(&test, 1);
    g_assert_cmpstr(g_ptr_array_index(test.events, 0), ==, "down tcp:two.example:1");
    close(client);
    for (int i = 0; i < 2; i++) {
        close(fillers[i]);
        close(listeners[i]);
    }
    relay_test_clear(&test);
}

static void a_slow_look_up_holds_up_nobody(Loop *loop)
{
    const char *targets[3] = { "tcp:slow.example:1" };
    RelayTest test;
    int listener;
    int client;
    int other;
    int target;

    relay_test_init(&test, loop);
    targets[1] = relay_test_unix(&test, "target");
    listener = relay_test_listen(targets[1], 64);
    begin_slow_look_ups();
    relay_test_start(&test, targets);
    client = relay_test_client(&test);
    relay_test_wait_for(&test, names.begun == 1);
    relay_test_pair(&test, listener, &other, &target);
    pass_a_byte(&test, other, target);
    /* The relay goes, and does not wait for the answer. */
    relay_test_delete(&test, 0);
    g_assert_cmpint(relay_test_end_of(&test, client), ==, 0);
    end_slow_look_ups();
    close(client);
    close(other);
    close(target);
    close(listener);
    unlink(targets[1] + strlen("unix:"));
    relay_test_clear(&test);
}

static void a_look_up_that_takes_too_long_is_a_timeout(Loop *loop)
{
    RelayTest test;
    int client;

    relay_test_init(&test, loop);
    begin_slow_look_ups();
    start_patient(&test, "tcp:slow.example:1");
    client = relay_test_client(&test);
    relay_test_wait_for(&test, names.begun == 1);
    let_time_out(&test);
    g_assert_cmpint(relay_test_end_of(&test, client), ==, 0);
    g_assert_cmpuint(relay_test_stats(&test).errors[RELAY_CAUSE_CONNECT_TIMEOUT], ==, 1);
    end_slow_look_ups();
    close(client);
    relay_test_clear(&test);
}

/* With slow names and impatient clients the others would wait behind those for ever. */
static void a_name_that_nobody_waits_for_is_not_looked_up(Loop *loop)
{
    RelayTest test;
    int listener = relay_test_listen("tcp:127.0.0.1:0", 64);
    int clients[2];
    int client;
    int target;

    set_names(&listener, 1);
    relay_test_init(&test, loop);
    g_assert_true(aio_context_set_thread_pool_params(loop->ctx, 0, 1, NULL));
    begin_slow_look_ups();
    start_patient(&test, "tcp:slow.example:1");
    clients[0] = relay_test_client(&test);
    relay_test_wait_for(&test, names.begun == 1);
    clients[1] = relay_test_client(&test);
    relay_test_wait_for(&test, relay_test_stats(&test).connections == 2);
    let_time_out(&test);
    for (int i = 0; i < 2; i++) {
        g_assert_cmpint(relay_test_end_of(&test, clients[i]), ==, 0);
        close(clients[i]);
    }
    end_slow_look_ups();
    client = relay_test_client(&test);
    target = relay_test_accept(&test, listener);
    g_assert_cmpint(names.begun, ==, 2);
    close(client);
    close(target);
    close(listener);
    relay_test_clear(&test);
}

/* A look-up needs descriptors and memory too. */
static void a_shortage_that_a_look_up_meets_is_not_the_targets_fault(Loop *loop)
{
    static const struct {
        int error;
        RelayCause cause;
        unsigned n_events;
    } cases[] = {
        { EAI_SYSTEM, RELAY_CAUSE_SYSTEM, 0 },
        { EAI_MEMORY, RELAY_CAUSE_SYSTEM, 0 },
        { EAI_NONAME, RELAY_CAUSE_RESOLVE, 1 },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        RelayTest test;
        int client;

        names.error = cases[i].error;
        relay_test_init(&test, loop);
        relay_test_start_one(&test, "tcp:some.example:1");
        client = relay_test_client(&test);
        g_assert_cmpint(relay_test_end_of(&test, client), ==, 0);
        g_assert_cmpuint(relay_test_stats(&test).errors[cases[i].cause], ==, 1);
        loop_passes(loop, 5);
        g_assert_cmpuint(test.events->len, ==, cases[i].n_events);
        close(client);
        relay_test_clear(&test);
        names.error = 0;
    }
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    log_test_init();
    loop_test_add("an address that does not answer leaves time for the next",
                  an_address_that_does_not_answer_leaves_time_for_the_next);
    loop_test_add("a target none of whose addresses answers is down",
                  a_target_none_of_whose_addresses_answers_is_down);
    loop_test_add("a slow look-up holds up nobody", a_slow_look_up_holds_up_nobody);
    loop_test_add("a look-up that takes too long is a timeout",
                  a_look_up_that_takes_too_long_is_a_timeout);
    loop_test_add("a name that nobody waits for is not looked up",
                  a_name_that_nobody_waits_for_is_not_looked_up);
    loop_test_add("a shortage that a look-up meets is not the target's fault",
                  a_shortage_that_a_look_up_meets_is_not_the_targets_fault);
    return g_test_run();
}
