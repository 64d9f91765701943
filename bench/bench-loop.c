/*
 * The loops that can be measured, by name. See the header.
 */
#include "config.h"

#include "bench/bench-loop.h"
#include "bench/bench-util.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct NamedLoop {
    const char *name;
    const LoopOps *ops; /* NULL: was not there at build time */
} NamedLoop;

#ifdef HAVE_LIBEV
#define LIBEV_OPS &loop_libev_ops
#else
#define LIBEV_OPS NULL
#endif

#ifdef HAVE_LIBEVENT
#define LIBEVENT_OPS &loop_libevent_ops
#else
#define LIBEVENT_OPS NULL
#endif

#ifdef HAVE_LIBUV
#define LIBUV_OPS &loop_libuv_ops
#else
#define LIBUV_OPS NULL
#endif

static const NamedLoop loops[] = {
    { "aio-io_uring", &loop_aio_io_uring_ops },
    { "aio-epoll", &loop_aio_epoll_ops },
    { "aio-poll", &loop_aio_poll_ops },
    { "libev", LIBEV_OPS },
    { "libuv", LIBUV_OPS },
    { "libevent", LIBEVENT_OPS },
    { "glib", &loop_glib_ops },
    { "sd-event", &loop_sd_event_ops },
    { "bare", &loop_bare_ops },
};

const LoopOps *bench_loop(const char *name)
{
    for (size_t i = 0; i < sizeof(loops) / sizeof(loops[0]); i++) {
        if (strcmp(loops[i].name, name) != 0) {
            continue;
        }
        if (!loops[i].ops) {
            errx(BENCH_NOT_AVAILABLE, "built without %s", name);
        }
        return loops[i].ops;
    }
    errx(2, "there is no loop called '%s'", name);
}

const LoopOps *bench_loop_argument(int argc, char **argv, int index)
{
    if (index + 1 != argc) {
        fputs("expected the name of one loop:", stderr);
        for (size_t i = 0; i < sizeof(loops) / sizeof(loops[0]); i++) {
            fprintf(stderr, " %s", loops[i].name);
        }
        fputc('\n', stderr);
        exit(2);
    }
    return bench_loop(argv[index]);
}

void bench_loop_lacks(const LoopOps *ops, const char *what)
{
    errx(BENCH_NOT_AVAILABLE, "%s has no %s", ops->name, what);
}

void *bench_loop_array(size_t count, size_t size)
{
    size_t bytes = (count * size + LOOP_LINE - 1) / LOOP_LINE * LOOP_LINE;
    void *array = aligned_alloc(LOOP_LINE, bytes);

    if (!array) {
        err(1, "%zu elements of %zu bytes", count, size);
    }
    return memset(array, 0, bytes);
}
