/*
 * The addresses of relays: "unix:PATH", "tcp:HOST:PORT", "vsock:CID:PORT" and "fd:NAME".
 *
 * A unix path that begins with '@' is a name in Linux's abstract namespace. An IPv6 address stands
 * in brackets. The CID of a vsock is a number, "any", "local" or "host". All functions may be
 * called from any thread.
 */
#ifndef OBJECTS_RELAY_RELAY_ADDRESS_H
#define OBJECTS_RELAY_RELAY_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>
#include <glib.h>

G_BEGIN_DECLS

typedef enum {
    RELAY_ADDRESS_UNIX,
    RELAY_ADDRESS_TCP,
    RELAY_ADDRESS_VSOCK,
    RELAY_ADDRESS_FD,
} RelayAddressKind;

/* An address of a socket as the kernel takes it. */
typedef struct RelaySockaddr {
    struct sockaddr_storage storage;
    socklen_t length;
} RelaySockaddr;

typedef struct RelayAddress {
    RelayAddressKind kind;
    char *text;             /* as it was given */
    char *host;             /* tcp: without brackets, may be ""; unix: the path; fd: the name */
    char *port;             /* tcp: a number */
    bool is_name;           /* tcp: the host is a name that has to be looked up */
    RelaySockaddr sockaddr; /* unless it is a name or an fd */
} RelayAddress;

/* What an address is for: an fd can only be listened on. */
typedef enum RelayAddressUse {
    RELAY_ADDRESS_LISTEN,
    RELAY_ADDRESS_TARGET,
} RelayAddressUse;

/*
 * Take @text apart into @address, to be cleared by relay_address_clear(). False and @errp, which
 * names @text and what is wrong with it, when it is no address. What is expected in place of it is
 * said as @use has it; that an fd is no target is left to the caller.
 */
bool relay_address_parse(RelayAddress *address, const char *text, RelayAddressUse use,
                         GError **errp);
void relay_address_clear(RelayAddress *address);

/*
 * Whether who connects to @address, as far as that can be told without looking up a name, gets to
 * the socket that is bound to @bound. @only_ipv6: one that is bound to all of IPv6 does not take
 * IPv4 too. There may be other ways to it, such as by another address of the machine.
 */
bool relay_address_leads_to(const RelayAddress *address, const RelaySockaddr *bound,
                            bool only_ipv6);

/* The socket's address @sockaddr as text, to be freed: "tcp:[::1]:80", "unix:/run/x",
 * "unix:" when it has no name. */
char *relay_sockaddr_to_text(const RelaySockaddr *sockaddr);

G_END_DECLS

#endif
