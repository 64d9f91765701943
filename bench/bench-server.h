/*
 * The server that is measured: started by the measuring program itself from a command line, and
 * ended by its process id. All these programs take their arguments alike:
 *
 *     PROGRAM [OPTION...] SOCKET COMMAND [ARGUMENT...]
 *
 * COMMAND has to serve QMP at SOCKET, in the foreground.
 */
#ifndef BENCH_SERVER_H
#define BENCH_SERVER_H

#include <stdint.h>
#include <sys/types.h>

typedef struct Server {
    const char *socket;
    pid_t pid;
    int pidfd;          /* readable once the process has ended */
    int inotify;        /* reports what appears in the socket's folder */
    int64_t started_ns; /* taken just before the process was forked */
} Server;

/*
 * Start the server that @arguments (SOCKET COMMAND [ARGUMENT...], ended by NULL) name. Ends the
 * program with @usage when there are too few of them.
 */
void server_start(Server *server, char **arguments, const char *usage);

/*
 * A new connection to the server, which the caller closes. Waits until the server listens: asleep
 * until its socket appears, then trying without a pause.
 */
int server_connect(Server *server);

/* End the server and wait for it: SIGTERM, and SIGKILL if it is still there five seconds later. */
void server_stop(Server *server);

#endif
