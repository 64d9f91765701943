/*
 * The relay that is measured, and the target behind it. All these programs take their arguments
 * alike:
 *
 *     PROGRAM [OPTION...] LISTEN TARGET COMMAND [ARGUMENT...]
 *
 * COMMAND has to relay what connects to LISTEN to TARGET, in the foreground; the program itself
 * plays clients and target. Addresses are "unix:PATH" or "tcp:IPV4:PORT".
 */
#ifndef BENCH_RELAY_H
#define BENCH_RELAY_H

#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

typedef struct RelayBench {
    struct sockaddr_storage address; /* where the relay listens */
    socklen_t address_length;
    int listener; /* the target's socket */
    pid_t pid;    /* of the relay, and its process group */
    const char *target;
} RelayBench;

/* Listen at the target, start the relay that @arguments name, and wait until it relays. Ends the
 * program with @usage when there are too few of them. */
void relay_start(RelayBench *bench, char **arguments, const char *usage);

/* A client's connection, which blocks. */
int relay_connect(const RelayBench *bench);

/* A connection at the target, which blocks. */
int relay_accept(const RelayBench *bench);

/* Write, or read, exactly @length bytes; anything else ends the program. */
void relay_write(int fd, const void *data, size_t length);
void relay_read(int fd, void *data, size_t length);

/* End the relay. */
void relay_stop(RelayBench *bench);

#endif
