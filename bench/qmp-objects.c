/*
 * object-add and object-del of an IOThread, pair after pair: how many a second.
 *
 *     qmp-objects [-n COUNT] SOCKET COMMAND [ARGUMENT...]
 *
 * Each command waits for the reply of the one before. Prints one line of JSON.
 */
#include "config.h"

#include "bench/bench-qmp.h"
#include "bench/bench-server.h"
#include "bench/bench-util.h"

#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    static QmpClient client;
    unsigned int count = 1000;
    const BenchOption options[] = {
        { 'n', &count, 1, 10000000 },
        { 0 },
    };
    unsigned int warm_up;
    Samples add;
    Samples del;
    Server server;
    int64_t begin = 0;

    server_start(&server, argv + bench_options(argc, argv, options), "qmp-objects");
    qmp_client_open(&client, server_connect(&server), false);
    warm_up = count / 10 + 1;
    samples_init(&add, warm_up + count);
    samples_init(&del, warm_up + count);
    for (unsigned int i = 0; i < warm_up + count; i++) {
        int64_t start = bench_now_ns();
        int64_t added;

        if (i == warm_up) {
            begin = start;
            add.count = 0;
            del.count = 0;
        }
        qmp_add_iothreads(&client, "bench", 1);
        added = bench_now_ns();
        qmp_command(&client, "{\"execute\": \"object-del\", \"arguments\": {\"id\": \"bench0\"}}");
        samples_add(&add, added - start);
        samples_add(&del, bench_now_ns() - added);
    }
    printf("{\"pairs_per_second\": %.0f, \"add_us\": %.2f, \"del_us\": %.2f}\n",
           count * 1e9 / (double)(bench_now_ns() - begin),
           (double)samples_percentile(&add, 50) / 1e3, (double)samples_percentile(&del, 50) / 1e3);
    samples_free(&add);
    samples_free(&del);
    close(client.fd);
    server_stop(&server);
    return 0;
}
