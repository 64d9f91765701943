/*
 * What idle sessions cost a server: memory for each, wake-ups and processor time for all.
 *
 *     qmp-sessions [-c CLIENTS] [-s SECONDS] SOCKET COMMAND [ARGUMENT...]
 *
 * CLIENTS sessions beside a first one negotiate, send one command and are silent from then on.
 * Prints one line of JSON.
 */
#include "config.h"

#include "bench/bench-proc.h"
#include "bench/bench-qmp.h"
#include "bench/bench-server.h"
#include "bench/bench-util.h"

#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    static QmpClient client;
    static Activity before;
    static Activity after;
    unsigned int count = 1000;
    unsigned int seconds = 3;
    const BenchOption options[] = {
        { 'c', &count, 1, 10000 },
        { 's', &seconds, 1, 3600 },
        { 0 },
    };
    int first = bench_options(argc, argv, options);
    Server server;
    double one_kb = 0;
    double all_kb;

    bench_need_descriptors(count + 64);
    server_start(&server, argv + first, "qmp-sessions");
    for (unsigned int i = 0; i <= count; i++) {
        /* Closed by the end. */
        qmp_client_open(&client, server_connect(&server), true);
        qmp_command(&client, "{\"execute\": \"query-version\"}");
        if (i == 0) {
            proc_settle(server.pid);
            one_kb = (double)proc_field(server.pid, "status", "VmRSS:");
        }
    }
    proc_settle(server.pid);
    all_kb = (double)proc_field(server.pid, "status", "VmRSS:");
    proc_activity(server.pid, &before);
    sleep(seconds);
    proc_activity(server.pid, &after);
    printf("{\"session_kb\": %.2f, \"wakeups\": %llu, \"cpu_us\": %.0f}\n",
           (all_kb - one_kb) / count, (unsigned long long)activity_wakeups(&before, &after),
           (double)activity_cpu_ns(&before, &after) / 1e3);
    server_stop(&server);
    return 0;
}
