/*
 * The addresses of relays: what is one, what is none and why.
 */
#include "config.h"
#include "objects/relay/relay-address.h"

#include <sys/un.h>

static void addresses_are_taken_apart_and_written_again(void)
{
    static const struct {
        const char *text;
        const char *again; /* NULL: it has no socket's address yet */
        RelayAddressKind kind;
    } cases[] = {
        { "unix:/run/a b", "unix:/run/a b", RELAY_ADDRESS_UNIX },
        { "unix:@name", "unix:@name", RELAY_ADDRESS_UNIX },
        { "tcp:127.0.0.1:80", "tcp:127.0.0.1:80", RELAY_ADDRESS_TCP },
        { "tcp:[::1]:65535", "tcp:[::1]:65535", RELAY_ADDRESS_TCP },
        { "tcp:example.org:443", NULL, RELAY_ADDRESS_TCP },
        { "tcp::80", NULL, RELAY_ADDRESS_TCP },
        { "vsock:3:1024", "vsock:3:1024", RELAY_ADDRESS_VSOCK },
        { "vsock:any:7", "vsock:4294967295:7", RELAY_ADDRESS_VSOCK },
        { "vsock:local:7", "vsock:1:7", RELAY_ADDRESS_VSOCK },
        { "vsock:host:7", "vsock:2:7", RELAY_ADDRESS_VSOCK },
        { "fd:web", NULL, RELAY_ADDRESS_FD },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) err = NULL;
        RelayAddress address;

        g_assert_true(relay_address_parse(&address, cases[i].text, RELAY_ADDRESS_LISTEN, &err));
        g_assert_no_error(err);
        g_assert_cmpint(address.kind, ==, cases[i].kind);
        g_assert_cmpstr(address.text, ==, cases[i].text);
        if (cases[i].again) {
            g_autofree char *again = relay_sockaddr_to_text(&address.sockaddr);

            g_assert_cmpstr(again, ==, cases[i].again);
            g_assert_false(address.is_name);
        } else {
            g_assert_cmpuint(address.sockaddr.length, ==, 0);
        }
        relay_address_clear(&address);
    }
}

static void a_name_is_told_from_a_number(void)
{
    RelayAddress address;

    g_assert_true(relay_address_parse(&address, "tcp:localhost:1", RELAY_ADDRESS_LISTEN, NULL));
    g_assert_true(address.is_name);
    g_assert_cmpstr(address.host, ==, "localhost");
    g_assert_cmpstr(address.port, ==, "1");
    relay_address_clear(&address);
    g_assert_true(relay_address_parse(&address, "tcp::1", RELAY_ADDRESS_LISTEN, NULL));
    g_assert_false(address.is_name);
    relay_address_clear(&address);
}

static void each_bad_address_is_named_with_its_fault(void)
{
    static const struct {
        const char *text;
        const char *fault;
    } cases[] = {
        { "", "expected unix:PATH, tcp:HOST:PORT" },
        { "/run/x", "expected unix:PATH, tcp:HOST:PORT" },
        { "udp:127.0.0.1:1", "expected unix:PATH, tcp:HOST:PORT" },
        { "unix:", "the path is empty" },
        { "unix:@", "the path is empty" },
        { "tcp:", "expected tcp:HOST:PORT" },
        { "tcp:127.0.0.1", "expected tcp:HOST:PORT" },
        { "tcp:[::1]", "expected tcp:HOST:PORT" },
        { "tcp:[::1:80", "expected tcp:HOST:PORT" },
        { "tcp:[::1]x:80", "expected tcp:HOST:PORT" },
        { "tcp:127.0.0.1:", "the port is to be a number" },
        { "tcp:127.0.0.1:http", "the port is to be a number" },
        { "tcp:127.0.0.1:65536", "the port is to be a number" },
        { "tcp:127.0.0.1:-1", "the port is to be a number" },
        { "tcp:127.0.0.1: 1", "the port is to be a number" },
        { "tcp:127.0.0.1:99999999999999999999", "the port is to be a number" },
        { "tcp:::1:80", "an IPv6 address is to stand in brackets" },
        { "tcp:[127.0.0.1]:80", "no IPv6 address" },
        { "tcp:[]:80", "no IPv6 address" },
        { "tcp:a b:80", "the host is no name" },
        { "vsock:", "expected vsock:CID:PORT" },
        { "vsock:3", "expected vsock:CID:PORT" },
        { "vsock:3:4:5", "expected vsock:CID:PORT" },
        { "vsock:me:4", "the CID is to be a number" },
        { "vsock:4294967296:4", "the CID is to be a number" },
        { "vsock:3:x", "the port is to be a number" },
        { "fd:", "the name is empty" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) err = NULL;
        g_autofree char *quoted = g_strdup_printf("'%s'", cases[i].text);
        RelayAddress address;

        g_assert_false(relay_address_parse(&address, cases[i].text, RELAY_ADDRESS_LISTEN, &err));
        g_assert_nonnull(err);
        g_assert_nonnull(strstr(err->message, quoted));
        g_assert_nonnull(strstr(err->message, cases[i].fault));
    }
}

static void a_path_is_as_long_as_a_socket_takes(void)
{
    size_t longest = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;
    g_autofree char *path = g_strnfill(longest, 'x');
    g_autofree char *fits = g_strconcat("unix:", path, NULL);
    g_autofree char *too_long = g_strconcat("unix:", path, "x", NULL);
    g_autoptr(GError) err = NULL;
    RelayAddress address;

    g_assert_true(relay_address_parse(&address, fits, RELAY_ADDRESS_LISTEN, &err));
    g_assert_no_error(err);
    relay_address_clear(&address);
    g_assert_false(relay_address_parse(&address, too_long, RELAY_ADDRESS_LISTEN, &err));
    g_assert_nonnull(strstr(err->message, "the path has 108 bytes"));
}

static void a_way_back_to_the_own_socket_is_seen(void)
{
    static const struct {
        const char *bound;
        const char *target;
        bool leads_there;
    } cases[] = {
        { "tcp:127.0.0.1:80", "tcp:127.0.0.1:80", true },
        { "tcp:127.0.0.1:80", "tcp:127.0.0.1:81", false },
        { "tcp:127.0.0.1:80", "tcp:127.0.0.2:80", false },
        { "tcp:127.0.0.1:80", "tcp:0.0.0.0:80", true },
        { "tcp:127.0.0.1:80", "tcp:localhost:80", true },
        { "tcp:127.0.0.1:80", "tcp:local.example:80", false },
        { "tcp:127.0.0.1:80", "tcp:[::ffff:127.0.0.1]:80", true },
        { "tcp:127.0.0.1:80", "tcp:[::1]:80", false },
        { "tcp:127.0.0.1:80", "unix:/run/x", false },
        { "tcp:[::1]:80", "tcp:[::1]:80", true },
        { "tcp:[::1]:80", "tcp:[::]:80", true },
        { "tcp:[::1]:80", "tcp:localhost:80", true },
        { "tcp:0.0.0.0:80", "tcp:127.0.0.2:80", true },
        { "tcp:0.0.0.0:80", "tcp:[::1]:80", false },
        { "tcp:0.0.0.0:80", "tcp:192.0.2.1:80", false },
        { "tcp:[::]:80", "tcp:[::1]:80", true },
        { "tcp:[::]:80", "tcp:127.0.0.1:80", true },
        { "tcp:[::]:80", "tcp:localhost:80", true },
        { "unix:@x", "unix:@x", true },
        { "unix:@x", "unix:@xy", false },
        { "unix:@x", "unix:x", false },
        { "unix:/run/x", "unix:/run/x", true },
        { "unix:/run/x", "unix:/run/y", false },
        { "vsock:any:80", "vsock:local:80", true },
        { "vsock:3:80", "vsock:3:80", true },
        { "vsock:3:80", "vsock:4:80", false },
        { "vsock:any:80", "vsock:local:81", false },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        RelayAddress bound;
        RelayAddress target;

        g_assert_true(relay_address_parse(&bound, cases[i].bound, RELAY_ADDRESS_LISTEN, NULL));
        g_assert_true(relay_address_parse(&target, cases[i].target, RELAY_ADDRESS_TARGET, NULL));
        g_test_message("%s to %s", cases[i].target, cases[i].bound);
        g_assert_cmpint(relay_address_leads_to(&target, &bound.sockaddr, false), ==,
                        cases[i].leads_there);
        relay_address_clear(&bound);
        relay_address_clear(&target);
    }
}

/* Then another one may have its port of IPv4. */
static void all_of_ipv6_may_leave_out_ipv4(void)
{
    RelayAddress bound;
    RelayAddress target;

    g_assert_true(relay_address_parse(&bound, "tcp:[::]:80", RELAY_ADDRESS_LISTEN, NULL));
    g_assert_true(relay_address_parse(&target, "tcp:127.0.0.1:80", RELAY_ADDRESS_TARGET, NULL));
    g_assert_false(relay_address_leads_to(&target, &bound.sockaddr, true));
    relay_address_clear(&bound);
    relay_address_clear(&target);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/relay-address/taken apart and written again",
                    addresses_are_taken_apart_and_written_again);
    g_test_add_func("/relay-address/a name is told from a number", a_name_is_told_from_a_number);
    g_test_add_func("/relay-address/each bad one is named with its fault",
                    each_bad_address_is_named_with_its_fault);
    g_test_add_func("/relay-address/a path is as long as a socket takes",
                    a_path_is_as_long_as_a_socket_takes);
    g_test_add_func("/relay-address/a way back to the own socket is seen",
                    a_way_back_to_the_own_socket_is_seen);
    g_test_add_func("/relay-address/all of IPv6 may leave out IPv4",
                    all_of_ipv6_may_leave_out_ipv4);
    return g_test_run();
}
