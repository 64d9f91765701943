/*
 * A client of the session target: sends what it is told, and holds the server to the protocol.
 *
 * It reads its own input with a parser of its own, so that it knows how many answers it must get,
 * and checks each line that comes.
 */
#ifndef TESTS_FUZZ_FUZZ_CLIENT_H
#define TESTS_FUZZ_FUZZ_CLIENT_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "qmp/qmp-json.h"

typedef struct FuzzClient {
    int fd; /* -1: not connected */
    QmpJsonParser *parser;
    unsigned expected; /* answers, the greeting included */
    unsigned answers;
    GString *unread;       /* a line that has not come to its end */
    bool at_end;           /* the server has closed */
    unsigned long_answers; /* it may have asked for */
    bool may_be_dropped;
    bool send_fd; /* together with the next bytes */
} FuzzClient;

/* Connect to the server at @address, which parses with @limits. */
void fuzz_client_connect(FuzzClient *client, const struct sockaddr_un *address, socklen_t len,
                         const QmpJsonLimits *limits);

/* Send bytes; a server that has closed takes none. */
void fuzz_client_send(FuzzClient *client, const void *data, size_t len);

/* Send no more. */
void fuzz_client_shutdown(FuzzClient *client);

/* Read what there is, and check it. Returns whether there was anything. */
bool fuzz_client_read(FuzzClient *client);

/* All has been read: every value that was sent has been answered once. */
void fuzz_client_check_answers(FuzzClient *client);

void fuzz_client_close(FuzzClient *client);

#endif
