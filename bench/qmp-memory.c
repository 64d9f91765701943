/*
 * Resident memory of an idle server, and what each further idle IOThread adds to it.
 *
 *     qmp-memory [-t IOTHREADS] SOCKET COMMAND [ARGUMENT...]
 *
 * Idle means after the greeting and one command, when no thread has run for 1.2 s. The growth is
 * counted from the second IOThread on: what the first one alone brings in (code pages touched for
 * the first time, an allocator's arena) is not a cost of each. Prints one line of JSON.
 */
#include "config.h"

#include "bench/bench-proc.h"
#include "bench/bench-qmp.h"
#include "bench/bench-server.h"
#include "bench/bench-util.h"

#include <stdio.h>
#include <unistd.h>

typedef struct Memory {
    double rss_kb; /* resident, shared pages counted whole */
    double pss_kb; /* resident, shared pages divided by how many processes have them */
} Memory;

static Memory read_memory(pid_t pid)
{
    proc_settle(pid);
    return (Memory){
        .rss_kb = (double)proc_field(pid, "status", "VmRSS:"),
        .pss_kb = (double)proc_field(pid, "smaps_rollup", "Pss:"),
    };
}

int main(int argc, char **argv)
{
    static QmpClient client;
    unsigned int count = 100;
    const BenchOption options[] = {
        { 't', &count, 1, 1000 },
        { 0 },
    };
    Memory idle;
    Memory one;
    Memory many;
    Server server;

    server_start(&server, argv + bench_options(argc, argv, options), "qmp-memory");
    qmp_client_open(&client, server_connect(&server), false);
    qmp_command(&client, "{\"execute\": \"query-version\"}");
    idle = read_memory(server.pid);
    qmp_add_iothreads(&client, "first", 1);
    one = read_memory(server.pid);
    qmp_add_iothreads(&client, "further", count);
    many = read_memory(server.pid);
    printf("{\"rss_mb\": %.2f, \"pss_mb\": %.2f,"
           " \"iothread_rss_kb\": %.2f, \"iothread_pss_kb\": %.2f}\n",
           idle.rss_kb / 1024, idle.pss_kb / 1024, (many.rss_kb - one.rss_kb) / count,
           (many.pss_kb - one.pss_kb) / count);
    close(client.fd);
    server_stop(&server);
    return 0;
}
