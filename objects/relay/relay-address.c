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
#include <sys/stat.h>
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

bool relay_address_parse(RelayAddress *address, const char *text, RelayAddressUse use,
                         GError **errp)
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
    return wrong(errp, text,
                 use == RELAY_ADDRESS_LISTEN
                     ? "expected unix:PATH, tcp:HOST:PORT, vsock:CID:PORT or fd:NAME"
                     : "expected unix:PATH, tcp:HOST:PORT or vsock:CID:PORT");
}

void relay_address_clear(RelayAddress *address)
{
    g_clear_pointer(&address->text, g_free);
    g_clear_pointer(&address->host, g_free);
    g_clear_pointer(&address->port, g_free);
}

/* ---- where an address leads to ---- */

static bool unix_leads_to(const RelaySockaddr *address, const RelaySockaddr *bound)
{
    const char *path = ((const struct sockaddr_un *)&address->storage)->sun_path;
    const char *bound_path = ((const struct sockaddr_un *)&bound->storage)->sun_path;
    struct stat st;
    struct stat bound_st;

    if (address->length == bound->length &&
        memcmp(&address->storage, &bound->storage, bound->length) == 0) {
        return true;
    }
    /* One file may have many paths. */
    return path[0] && bound_path[0] && stat(path, &st) == 0 && stat(bound_path, &bound_st) == 0 &&
           st.st_dev == bound_st.st_dev && st.st_ino == bound_st.st_ino;
}

static bool vsock_leads_to(const RelaySockaddr *address, const RelaySockaddr *bound)
{
    const struct sockaddr_vm *svm = (const struct sockaddr_vm *)&address->storage;
    const struct sockaddr_vm *bound_svm = (const struct sockaddr_vm *)&bound->storage;

    return svm->svm_port == bound_svm->svm_port &&
           (svm->svm_cid == bound_svm->svm_cid ||
            (svm->svm_cid == VMADDR_CID_LOCAL && bound_svm->svm_cid == VMADDR_CID_ANY));
}

/* An IPv4 address is written as one of IPv6 here. */
typedef struct IpAddress {
    struct in6_addr ip;
    in_port_t port;
} IpAddress;

static IpAddress ip_of(const RelaySockaddr *sockaddr)
{
    const struct sockaddr_in *sin = (const struct sockaddr_in *)&sockaddr->storage;
    const struct sockaddr_in6 *sin6 = (const struct sockaddr_in6 *)&sockaddr->storage;
    IpAddress ip = { .ip.s6_addr = { [10] = 0xff, [11] = 0xff } };

    if (sockaddr->storage.ss_family == AF_INET) {
        memcpy(&ip.ip.s6_addr[12], &sin->sin_addr, sizeof(sin->sin_addr));
        ip.port = sin->sin_port;
    } else {
        ip.ip = sin6->sin6_addr;
        ip.port = sin6->sin6_port;
    }
    return ip;
}

static bool is_any(const IpAddress *ip)
{
    static const unsigned char zero[4];

    return IN6_IS_ADDR_UNSPECIFIED(&ip->ip) ||
           (IN6_IS_ADDR_V4MAPPED(&ip->ip) && memcmp(&ip->ip.s6_addr[12], zero, sizeof(zero)) == 0);
}

static bool is_loopback(const IpAddress *ip)
{
    return IN6_IS_ADDR_LOOPBACK(&ip->ip) ||
           (IN6_IS_ADDR_V4MAPPED(&ip->ip) && ip->ip.s6_addr[12] == 127);
}

static bool ip_leads_to(IpAddress ip, const IpAddress *bound, bool only_ipv6)
{
    if (is_any(&ip)) {
        /* So the kernel takes it. */
        ip.ip.s6_addr[12] = IN6_IS_ADDR_V4MAPPED(&ip.ip) ? 127 : 0;
        ip.ip.s6_addr[15] = 1;
    }
    if (ip.port != bound->port || ip.port == 0) {
        return false;
    }
    if (is_any(bound)) {
        return is_loopback(&ip) &&
               (IN6_IS_ADDR_V4MAPPED(&ip.ip) == IN6_IS_ADDR_V4MAPPED(&bound->ip) ||
                (IN6_IS_ADDR_V4MAPPED(&ip.ip) && !only_ipv6));
    }
    return IN6_ARE_ADDR_EQUAL(&ip.ip, &bound->ip);
}

static bool tcp_leads_to(const RelayAddress *address, const RelaySockaddr *bound, bool only_ipv6)
{
    IpAddress bound_ip = ip_of(bound);
    IpAddress ip4 = { .ip.s6_addr = { [10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1 } };
    IpAddress ip6 = { .ip = IN6ADDR_LOOPBACK_INIT };

    if (!address->is_name) {
        return ip_leads_to(ip_of(&address->sockaddr), &bound_ip, only_ipv6);
    }
    ip4.port = ip6.port = htons((uint16_t)atoi(address->port));
    return g_str_equal(address->host, "localhost") &&
           (ip_leads_to(ip4, &bound_ip, only_ipv6) || ip_leads_to(ip6, &bound_ip, only_ipv6));
}

bool relay_address_leads_to(const RelayAddress *address, const RelaySockaddr *bound, bool only_ipv6)
{
    sa_family_t family = bound->storage.ss_family;

    switch (address->kind) {
    case RELAY_ADDRESS_UNIX:
        return family == AF_UNIX && unix_leads_to(&address->sockaddr, bound);
    case RELAY_ADDRESS_TCP:
        return (family == AF_INET || family == AF_INET6) && tcp_leads_to(address, bound, only_ipv6);
    case RELAY_ADDRESS_VSOCK:
        return family == AF_VSOCK && vsock_leads_to(&address->sockaddr, bound);
    default:
        return false;
    }
}

/* ---- sockets' addresses as text ---- */

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
