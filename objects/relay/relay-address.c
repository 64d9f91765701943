/*
 * Taking the addresses of relays apart, and writing them.
 */
#include "config.h"
#include "objects/relay/relay-address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "objects/relay/relay.h"

static bool wrong(GError **errp, const char *text, const char *what)
{
    g_set_error(errp, RELAY_ERROR, RELAY_ERROR_INVALID, "'%s' is no address: %s", text, what);
    return false;
}

/* Digits only, as strtoul() takes more than that. False when it is no number up to @max. */
static bool parse_number(const char *text, uint64_t max, uint64_t *number)
{
    if (!*text || strspn(text, "0123456789") != strlen(text)) {
        return false;
    }
    errno = 0;
    *number = strtoull(text, NULL, 10);
    return errno == 0 && *number <= max;
}

static bool parse_unix(RelayAddress *address, const char *rest, GError **errp)
{
    struct sockaddr_un *sun = (struct sockaddr_un *)&address->sockaddr.storage;
    size_t length = strlen(rest);

    if (length == 0 || g_str_equal(rest, "@")) {
        return wrong(errp, address->text, "the path is empty, expected unix:PATH");
    }
    if (length >= sizeof(sun->sun_path)) {
        g_set_error(errp, RELAY_ERROR, RELAY_ERROR_INVALID,
                    "'%s' is no address: the path has %zu bytes, a socket's has at most %zu",
                    address->text, length, sizeof(sun->sun_path) - 1);
        return false;
    }
    address->host = g_strdup(rest);
    sun->sun_family = AF_UNIX;
    memcpy(sun->sun_path, rest, length + 1);
    address->sockaddr.length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    if (rest[0] == '@') {
        sun->sun_path[0] = '\0';
    } else {
        address->sockaddr.length++; /* the closing zero belongs to a path, not to a name */
    }
    return true;
}

/* A numeric host into @address->sockaddr; false when it is none. */
static bool set_numeric_host(RelayAddress *address, bool bracketed, uint16_t port)
{
    struct sockaddr_in *sin = (struct sockaddr_in *)&address->sockaddr.storage;
    struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)&address->sockaddr.storage;

    if (!bracketed && inet_pton(AF_INET, address->host, &sin->sin_addr) == 1) {
        sin->sin_family = AF_INET;
        sin->sin_port = htons(port);
        address->sockaddr.length = sizeof(*sin);
        return true;
    }
    if (bracketed && inet_pton(AF_INET6, address->host, &sin6->sin6_addr) == 1) {
        sin6->sin6_family = AF_INET6;
        sin6->sin6_port = htons(port);
        address->sockaddr.length = sizeof(*sin6);
        return true;
    }
    return false;
}

static bool parse_tcp(RelayAddress *address, const char *rest, GError **errp)
{
    const char *colon = strrchr(rest, ':');
    bool bracketed = rest[0] == '[';
    uint64_t port;

    if (!colon || (bracketed && (colon == rest || colon[-1] != ']'))) {
        return wrong(errp, address->text, "expected tcp:HOST:PORT or tcp:[IPV6]:PORT");
    }
    if (!parse_number(colon + 1, UINT16_MAX, &port)) {
        return wrong(errp, address->text, "the port is to be a number up to 65535");
    }
    address->port = g_strdup(colon + 1);
    address->host = bracketed ? g_strndup(rest + 1, (size_t)(colon - rest) - 2)
                              : g_strndup(rest, (size_t)(colon - rest));
    if (!bracketed && strchr(address->host, ':')) {
        return wrong(errp, address->text, "an IPv6 address is to stand in brackets");
    }
    if (set_numeric_host(address, bracketed, (uint16_t)port)) {
        return true;
    }
    if (bracketed) {
        return wrong(errp, address->text, "what stands in brackets is no IPv6 address");
    }
    if (strlen(address->host) > 255 || strpbrk(address->host, " \t\r\n/[]@")) {
        return wrong(errp, address->text, "the host is no name");
    }
    address->is_name = address->host[0] != '\0';
    return true;
}

static bool parse_vsock(RelayAddress *address, const char *rest, GError **errp)
{
    static const struct {
        const char *name;
        unsigned cid;
    } names[] = { { "any", VMADDR_CID_ANY },
                  { "local", VMADDR_CID_LOCAL },
                  { "host", VMADDR_CID_HOST } };
    struct sockaddr_vm *svm = (struct sockaddr_vm *)&address->sockaddr.storage;
    g_auto(GStrv) parts = g_strsplit(rest, ":", -1);
    bool found = false;
    uint64_t cid = 0;
    uint64_t port;

    if (g_strv_length(parts) != 2) {
        return wrong(errp, address->text, "expected vsock:CID:PORT");
    }
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        if (g_str_equal(parts[0], names[i].name)) {
            cid = names[i].cid;
            found = true;
        }
    }
    if (!found && !parse_number(parts[0], UINT32_MAX, &cid)) {
        return wrong(errp, address->text, "the CID is to be a number, 'any', 'local' or 'host'");
    }
    if (!parse_number(parts[1], UINT32_MAX, &port)) {
        return wrong(errp, address->text, "the port is to be a number up to 4294967295");
    }
    svm->svm_family = AF_VSOCK;
    svm->svm_cid = (unsigned)cid;
    svm->svm_port = (unsigned)port;
    address->sockaddr.length = sizeof(*svm);
    return true;
}

static bool parse_fd(RelayAddress *address, const char *rest, GError **errp)
{
    if (!*rest) {
        return wrong(errp, address->text, "the name is empty, expected fd:NAME");
    }
    address->host = g_strdup(rest);
    return true;
}

bool relay_address_parse(RelayAddress *address, const char *text, GError **errp)
{
    static const struct {
        const char *prefix;
        RelayAddressKind kind;
        bool (*parse)(RelayAddress *address, const char *rest, GError **errp);
    } kinds[] = {
        { "unix:", RELAY_ADDRESS_UNIX, parse_unix },
        { "tcp:", RELAY_ADDRESS_TCP, parse_tcp },
        { "vsock:", RELAY_ADDRESS_VSOCK, parse_vsock },
        { "fd:", RELAY_ADDRESS_FD, parse_fd },
    };

    *address = (RelayAddress){ .text = g_strdup(text) };
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (g_str_has_prefix(text, kinds[i].prefix)) {
            address->kind = kinds[i].kind;
            if (kinds[i].parse(address, text + strlen(kinds[i].prefix), errp)) {
                return true;
            }
            relay_address_clear(address);
            return false;
        }
    }
    relay_address_clear(address);
    return wrong(errp, text, "expected unix:PATH, tcp:HOST:PORT, vsock:CID:PORT or fd:NAME");
}

void relay_address_clear(RelayAddress *address)
{
    g_clear_pointer(&address->text, g_free);
    g_clear_pointer(&address->host, g_free);
    g_clear_pointer(&address->port, g_free);
}

static char *unix_to_text(const RelaySockaddr *sockaddr)
{
    const struct sockaddr_un *sun = (const struct sockaddr_un *)&sockaddr->storage;
    size_t offset = offsetof(struct sockaddr_un, sun_path);
    size_t length = sockaddr->length > offset ? sockaddr->length - offset : 0;

    if (length > 0 && sun->sun_path[0] == '\0') {
        return g_strdup_printf("unix:@%.*s", (int)(length - 1), sun->sun_path + 1);
    }
    return g_strdup_printf("unix:%.*s", (int)length, sun->sun_path);
}

char *relay_sockaddr_to_text(const RelaySockaddr *sockaddr)
{
    const struct sockaddr_in *sin = (const struct sockaddr_in *)&sockaddr->storage;
    const struct sockaddr_in6 *sin6 = (const struct sockaddr_in6 *)&sockaddr->storage;
    const struct sockaddr_vm *svm = (const struct sockaddr_vm *)&sockaddr->storage;
    char host[INET6_ADDRSTRLEN] = "";

    switch (sockaddr->storage.ss_family) {
    case AF_UNIX:
        return unix_to_text(sockaddr);
    case AF_INET:
        inet_ntop(AF_INET, &sin->sin_addr, host, sizeof(host));
        return g_strdup_printf("tcp:%s:%u", host, ntohs(sin->sin_port));
    case AF_INET6:
        inet_ntop(AF_INET6, &sin6->sin6_addr, host, sizeof(host));
        return g_strdup_printf("tcp:[%s]:%u", host, ntohs(sin6->sin6_port));
    case AF_VSOCK:
        return g_strdup_printf("vsock:%u:%u", svm->svm_cid, svm->svm_port);
    default:
        return g_strdup("");
    }
}
