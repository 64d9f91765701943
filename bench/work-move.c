/*
 * How long it takes to move a relay with its connections from one IOThread to another.
 *
 *     work-move [-c CONNECTIONS] [-n COUNT] SOCKET COMMAND [ARGUMENT...]
 *
 * Bytes go through the connections all the time, one after the other: a second thread of this
 * process sends 64 on each and reads them at the target. A sample is the time of the command,
 * qom-set, and its reply. Prints one line of JSON, with the longest time that the bytes took too.
 */
#include "config.h"

#include "bench/bench-qmp.h"
#include "bench/bench-server.h"
#include "bench/bench-util.h"

#include <err.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    LENGTH = 64,
};

typedef struct Traffic {
    unsigned connections;
    int *client;
    int *target;
    atomic_bool stop;
    int64_t longest_ns;
} Traffic;

static void *carry(void *opaque)
{
    Traffic *traffic = opaque;
    char data[LENGTH] = { 0 };

    for (unsigned i = 0; !atomic_load(&traffic->stop); i = (i + 1) % traffic->connections) {
        int64_t start = bench_now_ns();
        int64_t took_ns;

        if (send(traffic->client[i], data, LENGTH, MSG_NOSIGNAL) != LENGTH ||
            recv(traffic->target[i], data, LENGTH, MSG_WAITALL) != LENGTH) {
            errx(1, "connection %u has ended", i);
        }
        took_ns = bench_now_ns() - start;
        traffic->longest_ns = took_ns > traffic->longest_ns ? took_ns : traffic->longest_ns;
    }
    return NULL;
}

static void set_path(struct sockaddr_un *address, const char *socket, const char *suffix)
{
    address->sun_family = AF_UNIX;
    if ((size_t)snprintf(address->sun_path, sizeof(address->sun_path), "%s%s", socket, suffix) >=
        sizeof(address->sun_path)) {
        errx(1, "%s: the path is too long", socket);
    }
}

static int unix_socket(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        err(1, "socket");
    }
    return fd;
}

/* A relay on io0, and its connections. */
static void make_relay(QmpClient *client, const char *socket, Traffic *traffic)
{
    struct sockaddr_un in;
    struct sockaddr_un out;
    int listener = unix_socket();

    set_path(&in, socket, ".in");
    set_path(&out, socket, ".out");
    unlink(out.sun_path);
    if (bind(listener, (struct sockaddr *)&out, sizeof(out)) < 0 || listen(listener, 4096) < 0) {
        err(1, "%s", out.sun_path);
    }
    qmp_commandf(client,
                 "{\"execute\": \"object-add\", \"arguments\": {\"qom-type\": \"socket-relay\","
                 " \"id\": \"r0\", \"iothread\": \"io0\", \"listen\": \"unix:%s\","
                 " \"target\": \"unix:%s\"}}",
                 in.sun_path, out.sun_path);
    for (unsigned i = 0; i < traffic->connections; i++) {
        traffic->client[i] = unix_socket();
        if (connect(traffic->client[i], (struct sockaddr *)&in, sizeof(in)) < 0) {
            err(1, "%s", in.sun_path);
        }
        traffic->target[i] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (traffic->target[i] < 0) {
            err(1, "accept");
        }
    }
    close(listener);
    unlink(out.sun_path);
}

static void measure(QmpClient *client, Samples *samples, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        int64_t start = bench_now_ns();

        qmp_commandf(client,
                     "{\"execute\": \"qom-set\", \"arguments\": {\"path\": \"r0\","
                     " \"property\": \"iothread\", \"value\": \"io%u\"}}",
                     (i + 1) % 2);
        samples_add(samples, bench_now_ns() - start);
    }
}

int main(int argc, char **argv)
{
    static QmpClient client;
    unsigned connections = 200;
    unsigned count = 500;
    const BenchOption options[] = {
        { 'c', &connections, 1, 10000 },
        { 'n', &count, 1, 1000000 },
        { 0 },
    };
    Traffic traffic = { 0 };
    Samples samples;
    Server server;
    pthread_t thread;
    int first = bench_options(argc, argv, options);

    bench_need_descriptors(2 * connections + 100);
    server_start(&server, argv + first, "work-move");
    qmp_client_open(&client, server_connect(&server), false);
    qmp_add_iothreads(&client, "io", 2);
    traffic.connections = connections;
    traffic.client = calloc(connections, sizeof(int));
    traffic.target = calloc(connections, sizeof(int));
    make_relay(&client, server.socket, &traffic);
    pthread_create(&thread, NULL, carry, &traffic);
    samples_init(&samples, count);
    measure(&client, &samples, count);
    atomic_store(&traffic.stop, true);
    pthread_join(thread, NULL);
    printf("{\"median_us\": %.3f, \"p99_us\": %.3f, \"longest_us\": %.3f}\n",
           (double)samples_percentile(&samples, 50) / 1000,
           (double)samples_percentile(&samples, 99) / 1000, (double)traffic.longest_ns / 1000);
    samples_free(&samples);
    server_stop(&server);
    return 0;
}
