/*
 * The object type "event-notifier": counting, chains, the doorbell, and that moving it loses no
 * kick and doubles none.
 *
 * The program is linked such that the test is the session that descriptors come from.
 */
#include "config.h"
#include "objects/doorbell.h"

#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "iothreads/iothread.h"
#include "loop/main-loop.h"
#include "tests/unit/loop-fixture.h"
#include "tests/unit/object-fixture.h"

/* ---- a session with two descriptors, "fd" and "bell" ---- */

static struct {
    int fd;
    int bell;
} sent = { -1, -1 };

int __wrap_qmp_session_take_fd(QmpSession *session, const char *name);
bool __wrap_qmp_session_add_fd(QmpSession *session, const char *name, int fd, GError **errp);

static int *sent_fd(const char *name)
{
    return strcmp(name, "bell") == 0 ? &sent.bell : &sent.fd;
}

int __wrap_qmp_session_take_fd(QmpSession *session, const char *name)
{
    int *place = sent_fd(name);
    int fd = *place;

    *place = -1;
    return fd;
}

bool __wrap_qmp_session_add_fd(QmpSession *session, const char *name, int fd, GError **errp)
{
    g_assert_cmpint(*sent_fd(name), ==, -1);
    *sent_fd(name) = fd;
    return true;
}

static void use_session(bool use)
{
    static char session;

    test_session = use ? (QmpSession *)&session : NULL;
}

/* ---- notifiers that are kicked from outside ---- */

typedef struct Client {
    Object *object;
    int fd;               /* the client's own of the eventfd */
    DoorbellWords *words; /* NULL: there is no doorbell */
    unsigned n;           /* how often to kick or ring */
    unsigned without;     /* rings that needed no kick */
} Client;

static Client client_new(const char *id, bool with_bell)
{
    Client client = { .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };

    use_session(true);
    sent.fd = dup(client.fd);
    if (with_bell) {
        sent.bell = memfd_create("bell", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        g_assert_cmpint(ftruncate(sent.bell, 4096), ==, 0);
        client.words = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, sent.bell, 0);
        g_assert_true(client.words != MAP_FAILED);
    }
    client.object =
        add_object("event-notifier", id,
                   with_bell ? "{\"fd\": \"fd\", \"doorbell\": \"bell\"}" : "{\"fd\": \"fd\"}");
    g_assert_cmpint(sent.fd, ==, -1);
    g_assert_cmpint(sent.bell, ==, -1);
    use_session(false);
    return client;
}

static void client_end(Client *client)
{
    delete_object(client->object);
    if (client->words) {
        munmap(client->words, 4096);
    }
    close(client->fd);
}

static void kick(const Client *client, uint64_t n)
{
    g_assert_cmpint(write(client->fd, &n, sizeof(n)), ==, sizeof(n));
}

/* As objects/doorbell.h says. */
static void ring(Client *client)
{
    atomic_fetch_add(&client->words->rings, 1);
    if (atomic_load(&client->words->awake) == 0) {
        kick(client, 1);
    } else {
        client->without++;
    }
}

/* That it comes to so many and stays there. */
static void assert_kicks(Object *object, int64_t kicks)
{
    wait_for_property(object, "kicks", kicks);
    for (int i = 0; i < PLACES; i++) {
        sync_with(places[i]);
    }
    g_assert_cmpint(int_property(object, "kicks"), ==, kicks);
}

/* ---- counting ---- */

static void test_kicks_are_counted_on_any_loop(void)
{
    for (int i = 0; i < PLACES; i++) {
        Client client = client_new("n", false);

        begin_move(client.object, places[i]);
        wait_settled(client.object);
        assert_kicks(client.object, 0);
        kick(&client, 1);
        assert_kicks(client.object, 1);
        kick(&client, 5);
        assert_kicks(client.object, 6);
        client_end(&client);
    }
}

static void test_a_kick_while_it_moves_is_counted(void)
{
    Client client = client_new("n", false);

    for (int i = 1; i <= 2 * PLACES; i++) {
        begin_move(client.object, places[i % PLACES]);
        kick(&client, 1);
        wait_settled(client.object);
        assert_kicks(client.object, i);
    }
    client_end(&client);
}

static void test_a_full_counter(void)
{
    Client client = client_new("n", false);

    kick(&client, UINT64_MAX - 1);
    assert_kicks(client.object, INT64_MAX);
    kick(&client, 1);
    for (int i = 0; i < PLACES; i++) {
        sync_with(places[i]);
    }
    g_assert_cmpint(int_property(client.object, "kicks"), ==, INT64_MAX);
    client_end(&client);
}

/* Of two that have one eventfd, the second finds it read. What the daemon has set, the client may
 * take back, for both have the same open file: a blocking read would hold the loop for ever. */
static void test_an_eventfd_that_blocks_again(void)
{
    Client client = client_new("n", false);
    Object *second;

    use_session(true);
    sent.fd = dup(client.fd);
    second = add_object("event-notifier", "second", "{\"fd\": \"fd\"}");
    use_session(false);
    g_assert_cmpint(fcntl(client.fd, F_SETFL, 0), ==, 0);
    for (int i = 1; i <= 10; i++) {
        kick(&client, 1);
        while (int_property(client.object, "kicks") + int_property(second, "kicks") < i) {
            main_loop_wait(true);
        }
        sync_with(NULL);
    }
    delete_object(second);
    client_end(&client);
}

/* ---- chains ---- */

static void test_a_kick_goes_down_the_chain(void)
{
    Object *c = add_object("event-notifier", "c", "{\"iothread\": \"io1\"}");
    Object *b = add_object("event-notifier", "b", "{\"iothread\": \"io0\", \"chain\": [\"c\"]}");
    Client a = client_new("a", false);

    assert_property(c, "chain", "[]");
    assert_property(b, "chain", "[\"c\"]");
    set_property(a.object, "chain", "[\"b\", \"c\"]");
    kick(&a, 3);
    assert_kicks(a.object, 3);
    assert_kicks(b, 3);
    assert_kicks(c, 6);
    set_property(a.object, "chain", "[]");
    kick(&a, 1);
    assert_kicks(a.object, 4);
    assert_kicks(b, 3);
    client_end(&a);
    delete_object(b);
    delete_object(c);
}

static void test_a_chain_with_a_mistake_changes_nothing(void)
{
    Object *b = add_object("event-notifier", "b", "{}");
    Object *a = add_object("event-notifier", "a", "{\"chain\": [\"b\"]}");
    static const struct {
        const char *json;
        const char *message;
    } cases[] = {
        { "\"b\"", "Parameter 'chain' expects an array" },
        { "null", "Parameter 'chain' expects an array" },
        { "[1]", "Parameter 'chain[0]' expects a string" },
        { "[\"b\", \"x\"]", "Parameter 'chain': there is no event notifier 'x'" },
        { "[\"io0\"]", "Parameter 'chain': there is no event notifier 'io0'" },
        { "[\"a\"]", "Parameter 'chain': 'a' would kick itself" },
        { "[\"b\", \"b\"]", "Parameter 'chain': 'b' is named twice" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        refused_property(a, "chain", cases[i].json, cases[i].message);
    }
    refused_property(b, "chain", "[\"a\"]",
                     "Parameter 'chain': 'b' would kick itself by way of 'a'");
    refused_object("event-notifier", "{\"chain\": [\"x\"]}",
                   "Parameter 'chain': there is no event notifier 'x'");
    refused_object("event-notifier", "{\"chain\": [\"refused\"]}",
                   "Parameter 'chain': 'refused' would kick itself");
    assert_property(a, "chain", "[\"b\"]");
    assert_property(b, "chain", "[]");
    delete_object(a);
    delete_object(b);
}

/* Each of a level kicks both of the next: so many ways that it once took for ever to look for a
 * circle among them. */
static void test_a_net_of_many_ways(void)
{
    enum {
        LEVELS = 64
    };
    Object *net[LEVELS][2];

    for (int i = LEVELS - 1; i >= 0; i--) {
        g_autofree char *chain =
            i == LEVELS - 1 ? g_strdup("[]") : g_strdup_printf("[\"a%d\", \"b%d\"]", i + 1, i + 1);
        g_autofree char *json = g_strdup_printf("{\"chain\": %s}", chain);

        for (int j = 0; j < 2; j++) {
            g_autofree char *id = g_strdup_printf("%c%d", "ab"[j], i);

            net[i][j] = add_object("event-notifier", id, json);
        }
    }
    refused_property(net[LEVELS - 1][1], "chain", "[\"b0\"]",
                     "Parameter 'chain': 'b63' would kick itself by way of 'b0'");
    for (int i = 0; i < LEVELS; i++) {
        delete_object(net[i][0]);
        delete_object(net[i][1]);
    }
}

static void wait_for_test(void *opaque)
{
    sem_t *sem = opaque;

    while (sem_wait(sem) != 0) {
        g_assert_cmpint(errno, ==, EINTR);
    }
}

/* Until its loop has taken notice, a notifier kicks on what was in its chain. */
static void test_a_chain_that_is_to_be_left_is_none_to_close_a_circle(void)
{
    Object *b = add_object("event-notifier", "b", "{}");
    Object *a = add_object("event-notifier", "a", "{\"iothread\": \"io0\", \"chain\": [\"b\"]}");
    sem_t go_on;

    sem_init(&go_on, 0, 0);
    aio_bh_schedule_oneshot(iothread_get_aio_context(iothread_by_id("io0")), wait_for_test, &go_on);
    begin_set_property(a, "chain", "[]");
    refused_property(b, "chain", "[\"a\"]",
                     "Parameter 'chain': 'b' would kick itself by way of 'a'");
    sem_post(&go_on);
    wait_settled(a);
    set_property(b, "chain", "[\"a\"]");
    delete_object(b);
    delete_object(a);
    sem_destroy(&go_on);
}

static void test_a_notifier_in_a_chain_is_in_use(void)
{
    Object *c = add_object("event-notifier", "c", "{}");
    Object *b = add_object("event-notifier", "b", "{\"chain\": [\"c\"]}");
    Object *a = add_object("event-notifier", "a", "{\"chain\": [\"c\", \"b\"]}");

    refused_delete(c, "Object 'c' is in use by 'b', 'a'");
    refused_delete(b, "Object 'b' is in use by 'a'");
    set_property(a, "chain", "[\"c\"]");
    delete_object(b);
    refused_delete(c, "Object 'c' is in use by 'a'");
    delete_object(a);
    delete_object(c);
}

/* ---- the doorbell ---- */

static void test_rings_are_counted_and_not_the_kicks_with_them(void)
{
    Client client = client_new("n", true);

    ring(&client);
    assert_kicks(client.object, 1);
    kick(&client, 7); /* wakes it, and nothing has rung */
    assert_kicks(client.object, 1);
    atomic_fetch_add(&client.words->rings, 5);
    kick(&client, 1);
    assert_kicks(client.object, 6);
    client_end(&client);
}

/* What is written to an eventfd has to be less than the most that a ring can be. */
static void test_as_many_rings_as_there_can_be_go_down_the_chain(void)
{
    Client bell = client_new("bell", true);
    Object *end = add_object("event-notifier", "end", "{}");

    set_property(bell.object, "chain", "[\"end\"]");
    atomic_fetch_add(&bell.words->rings, UINT64_MAX);
    kick(&bell, 1);
    assert_kicks(bell.object, INT64_MAX);
    assert_kicks(end, INT64_MAX);
    client_end(&bell);
    delete_object(end);
}

static void test_kicks_by_a_chain_count_beside_rings(void)
{
    Client bell = client_new("bell", true);
    Client first = client_new("first", false);

    set_property(first.object, "chain", "[\"bell\"]");
    kick(&first, 3);
    assert_kicks(bell.object, 3);
    ring(&bell);
    kick(&first, 1);
    assert_kicks(bell.object, 5);
    client_end(&first);
    client_end(&bell);
}

static void test_rings_from_before_do_not_count(void)
{
    Client client = { .fd = -1 };
    DoorbellWords *words;

    use_session(true);
    sent.bell = memfd_create("bell", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    g_assert_cmpint(ftruncate(sent.bell, 16), ==, 0);
    words = mmap(NULL, 16, PROT_READ | PROT_WRITE, MAP_SHARED, sent.bell, 0);
    atomic_store(&words->rings, UINT64_MAX - 1); /* it may wrap, too */
    client.object = add_object("event-notifier", "n", "{\"doorbell\": \"bell\"}");
    use_session(false);
    atomic_fetch_add(&words->rings, 4);
    begin_move(client.object, "io0"); /* looks */
    wait_settled(client.object);
    assert_kicks(client.object, 4);
    delete_object(client.object);
    munmap(words, 16);
}

/* The loop polls whatever else the processors have to do. */
int64_t __wrap_run_delay_ns(int fd);

int64_t __wrap_run_delay_ns(int fd)
{
    (void)fd;
    return -1;
}

/* A ring that the loop polls for needs no kick; whether it polls at that time is the loop's choice,
 * so this goes on until it has. */
static void test_polling_finds_a_ring_without_a_kick(void)
{
    Client client = client_new("n", true);
    int64_t rings = 0;

    set_property(object_find(tree, "io0"), "poll-max-ns", "1000000000");
    begin_move(client.object, "io0");
    wait_settled(client.object);
    while (client.without == 0 || int_property(client.object, "polled") == 0) {
        ring(&client);
        rings++;
        assert_kicks(client.object, rings);
    }
    g_assert_cmpint(int_property(client.object, "polled"), <=, rings);
    client_end(&client);
}

/* ---- descriptors that can't be ---- */

/* @fd is what is sent for "bell". */
static void refused_doorbell(int fd, const char *message)
{
    int count;

    use_session(true);
    sent.bell = fd;
    count = test_count_fds();
    refused_object("event-notifier", "{\"doorbell\": \"bell\"}", message);
    g_assert_cmpint(sent.bell, ==, fd); /* it is the client's again */
    g_assert_cmpint(test_count_fds(), ==, count);
    close(fd);
    sent.bell = -1;
    use_session(false);
}

static int sealed_memfd(int seals)
{
    int fd = memfd_create("bell", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    g_assert_cmpint(ftruncate(fd, 4096), ==, 0);
    g_assert_cmpint(fcntl(fd, F_ADD_SEALS, seals), ==, 0);
    return fd;
}

static void test_wrong_descriptors(void)
{
    int unsealable = memfd_create("bell", MFD_CLOEXEC);

    g_assert_cmpint(ftruncate(unsealable, 4096), ==, 0);
    refused_doorbell(eventfd(0, EFD_CLOEXEC), "Parameter 'doorbell' expects a memfd");
    refused_doorbell(open("/dev/null", O_RDWR | O_CLOEXEC), "Parameter 'doorbell' expects a memfd");
    refused_doorbell(unsealable,
                     "Parameter 'doorbell' expects a memfd with the seal F_SEAL_SHRINK, "
                     "or created with MFD_ALLOW_SEALING");
    refused_doorbell(memfd_create("bell", MFD_CLOEXEC | MFD_ALLOW_SEALING),
                     "Parameter 'doorbell' expects a memfd of 16 bytes or more");
    refused_doorbell(sealed_memfd(F_SEAL_WRITE),
                     "Parameter 'doorbell': the memfd can't be mapped: Operation not permitted");

    use_session(true);
    sent.fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    refused_object("event-notifier", "{\"fd\": \"fd\"}",
                   "Parameter 'fd' expects an eventfd; 'fd' is none");
    g_assert_cmpint(sent.fd, >=, 0);
    close(sent.fd);
    sent.fd = -1;
    refused_object("event-notifier", "{\"fd\": \"fd\"}",
                   "Parameter 'fd': there is no descriptor 'fd'; getfd keeps one");
    refused_object("event-notifier", "{\"doorbell\": \"bell\"}",
                   "Parameter 'doorbell': there is no descriptor 'bell'; getfd keeps one");
    sent.fd = eventfd(0, EFD_CLOEXEC);
    refused_object("event-notifier", "{\"fd\": \"fd\", \"doorbell\": \"bell\"}",
                   "Parameter 'doorbell': there is no descriptor 'bell'; getfd keeps one");
    g_assert_cmpint(sent.fd, >=, 0); /* this one is the client's again, too */
    close(sent.fd);
    sent.fd = -1;
    use_session(false);

    refused_object("event-notifier", "{\"fd\": \"fd\"}",
                   "Parameter 'fd': there is no descriptor 'fd'; the daemon was passed none");
    refused_object("event-notifier", "{\"fd\": 5}", "Parameter 'fd' expects a string");
    refused_object("event-notifier", "{\"doorbell\": null}",
                   "Parameter 'doorbell' expects a string");
    refused_object("event-notifier", "{\"kicks\": 1}", "Parameter 'kicks' is read-only");
    refused_object("event-notifier", "{\"polled\": 1}", "Parameter 'polled' is read-only");
}

/* In such pages a hole can be punched that can't be filled again: reading it would kill. */
static void test_a_doorbell_is_no_memory_of_huge_pages(void)
{
    int fd = memfd_create("bell", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);

    if (fd < 0) {
        g_test_skip("this system has no huge pages");
        return;
    }
    refused_doorbell(fd, "Parameter 'doorbell' expects a memfd without huge pages");
}

static void test_a_doorbell_is_sealed(void)
{
    Client client = { .fd = -1 };
    int fd = memfd_create("bell", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    g_assert_cmpint(ftruncate(fd, 4096), ==, 0);
    use_session(true);
    sent.bell = dup(fd);
    client.object = add_object("event-notifier", "n", "{\"doorbell\": \"bell\"}");
    use_session(false);
    g_assert_cmpint(ftruncate(fd, 0), ==, -1);
    delete_object(client.object);
    close(fd);
}

/* ---- moving ---- */

static void *kick_often(void *opaque)
{
    Client *client = opaque;

    for (unsigned i = 0; i < client->n; i++) {
        if (client->words) {
            ring(client);
        } else {
            kick(client, 1);
        }
    }
    return NULL;
}

/* While other threads kick, each is moved a thousand times; so is the end of their chain. */
static void test_moves_lose_no_kick_and_double_none(void)
{
    Object *end = add_object("event-notifier", "end", "{}");
    Client clients[2] = { client_new("plain", false), client_new("bell", true) };
    pthread_t threads[2];
    int moves = test_scaled(1000);
    uint32_t random = 1;

    for (int i = 0; i < 2; i++) {
        clients[i].n = (unsigned)test_scaled(100000);
        set_property(clients[i].object, "chain", "[\"end\"]");
        threads[i] = test_thread_start(kick_often, &clients[i]);
    }
    for (int i = 0; i < moves; i++) {
        Object *moved[] = { clients[0].object, clients[1].object, end };

        for (size_t j = 0; j < G_N_ELEMENTS(moved); j++) {
            begin_move(moved[j], places[test_random(&random) % PLACES]);
        }
        for (size_t j = 0; j < G_N_ELEMENTS(moved); j++) {
            wait_settled(moved[j]);
        }
    }
    for (int i = 0; i < 2; i++) {
        test_thread_join(threads[i]);
    }
    assert_kicks(clients[0].object, clients[0].n);
    assert_kicks(clients[1].object, clients[1].n);
    assert_kicks(end, (int64_t)clients[0].n + clients[1].n);
    client_end(&clients[0]);
    client_end(&clients[1]);
    delete_object(end);
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    object_test_add("kicks are counted on any loop", test_kicks_are_counted_on_any_loop);
    object_test_add("a kick while it moves is counted", test_a_kick_while_it_moves_is_counted);
    object_test_add("a full counter counts for as much as there is", test_a_full_counter);
    object_test_add("an eventfd that blocks again holds up no loop",
                    test_an_eventfd_that_blocks_again);
    object_test_add("a kick goes down the chain", test_a_kick_goes_down_the_chain);
    object_test_add("a chain with a mistake is an error and changes nothing",
                    test_a_chain_with_a_mistake_changes_nothing);
    object_test_add("a net of many ways is no work to look through", test_a_net_of_many_ways);
    object_test_add("a chain that is to be left is none to close a circle",
                    test_a_chain_that_is_to_be_left_is_none_to_close_a_circle);
    object_test_add("a notifier in a chain is in use", test_a_notifier_in_a_chain_is_in_use);
    object_test_add("rings are counted, and not the kicks with them",
                    test_rings_are_counted_and_not_the_kicks_with_them);
    object_test_add("kicks by a chain count beside rings",
                    test_kicks_by_a_chain_count_beside_rings);
    object_test_add("as many rings as there can be go down the chain",
                    test_as_many_rings_as_there_can_be_go_down_the_chain);
    object_test_add("rings from before do not count", test_rings_from_before_do_not_count);
    object_test_add("polling finds a ring without a kick",
                    test_polling_finds_a_ring_without_a_kick);
    object_test_add("a wrong descriptor is an error and stays the client's",
                    test_wrong_descriptors);
    object_test_add("a doorbell is no memory of huge pages",
                    test_a_doorbell_is_no_memory_of_huge_pages);
    object_test_add("a doorbell can't be taken away", test_a_doorbell_is_sealed);
    object_test_add("moves lose no kick and double none", test_moves_lose_no_kick_and_double_none);
    return g_test_run();
}
