/*
 * What an idle connection costs a relay in memory: of its own, and with what the kernel keeps for
 * its descriptors and pipes.
 *
 *     relay-memory [-n COUNT] LISTEN TARGET COMMAND [ARGUMENT...]
 *
 * Each connection has carried a few bytes before. The relay must be one process. Prints one line of
 * JSON.
 */
#include "config.h"

#include "bench/bench-proc.h"
#include "bench/bench-relay.h"
#include "bench/bench-util.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The kernel's own memory, in kB; the sockets' of clients and target too. */
static uint64_t slab_kb(void)
{
    FILE *file = fopen("/proc/meminfo", "re");
    unsigned long kb = 0;
    char line[256];

    while (file && fgets(line, sizeof(line), file) && sscanf(line, "Slab: %lu kB", &kb) != 1) {
    }
    if (!file || kb == 0) {
        errx(1, "/proc/meminfo: no Slab");
    }
    fclose(file);
    return kb;
}

int main(int argc, char **argv)
{
    unsigned count = 5000;
    const BenchOption options[] = { { 'n', &count, 1, 1000000 }, { 0 } };
    RelayBench bench;
    uint64_t pss;
    uint64_t slab;
    int *fds;
    int first = bench_options(argc, argv, options);

    bench_need_descriptors(2 * count + 100);
    relay_start(&bench, argv + first, "relay-memory");
    proc_settle(bench.pid);
    pss = proc_field(bench.pid, "smaps_rollup", "Pss:");
    slab = slab_kb();
    fds = calloc(2 * count, sizeof(*fds));
    for (unsigned i = 0; i < count; i++) {
        char data[64] = { 0 };

        fds[2 * i] = relay_connect(&bench);
        fds[2 * i + 1] = relay_accept(&bench);
        relay_write(fds[2 * i], data, sizeof(data));
        relay_read(fds[2 * i + 1], data, sizeof(data));
        relay_write(fds[2 * i + 1], data, sizeof(data));
        relay_read(fds[2 * i], data, sizeof(data));
    }
    proc_settle(bench.pid);
    pss = proc_field(bench.pid, "smaps_rollup", "Pss:") - pss;
    slab = slab_kb() - slab;
    printf("{\"pss_bytes\": %.0f, \"with_kernel_bytes\": %.0f}\n", (double)pss * 1024 / count,
           (double)(pss + slab) * 1024 / count);
    for (unsigned i = 0; i < 2 * count; i++) {
        close(fds[i]);
    }
    free(fds);
    relay_stop(&bench);
    return 0;
}
