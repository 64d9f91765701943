/*
 * File reads on a loop's own ring.
 *
 *     loop-reads [-d DEPTH] [-n COUNT] FILE
 *
 * Reads blocks of 4 KiB at random places of FILE with aio_add_sqe(), DEPTH at a time: each
 * completion asks for the next read. FILE is read once from end to end before, so that all is in
 * the page cache. Only our loop with its io_uring fd monitor can do that; its peer is fio's
 * io_uring engine. Prints one line of JSON.
 */
#include "config.h"

#include "bench/bench-util.h"
#include "loop/aio.h"

#include <err.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK 4096

typedef struct Request {
    CqeHandler handler; /* first, so that the handler is the request */
    unsigned char *buffer;
    uint64_t offset;
} Request;

static AioContext *ctx;
static int file;
static uint64_t n_blocks;
static uint64_t random_state = 88172645463325252;
static unsigned int left;    /* to be asked for */
static unsigned int pending; /* asked for, and not completed */

static void prepare(struct io_uring_sqe *sqe, void *opaque)
{
    Request *request = opaque;

    io_uring_prep_read(sqe, file, request->buffer, BLOCK, request->offset);
}

static void submit(Request *request)
{
    request->offset = bench_random(&random_state) % n_blocks * BLOCK;
    left--;
    pending++;
    aio_add_sqe(ctx, prepare, request, &request->handler);
}

static void on_read(CqeHandler *handler)
{
    Request *request = (Request *)handler;

    if (handler->res != BLOCK) {
        errx(1, "a read gave %d: %s", handler->res,
             handler->res < 0 ? strerror(-handler->res) : "");
    }
    pending--;
    if (left > 0) {
        submit(request);
    }
}

/* Read @count blocks; how long it took, in ns. */
static int64_t run(Request *requests, unsigned int depth, unsigned int count)
{
    int64_t start = bench_now_ns();

    left = count;
    for (unsigned int i = 0; i < depth && left > 0; i++) {
        submit(&requests[i]);
    }
    while (pending > 0) {
        aio_poll(ctx, true);
    }
    return bench_now_ns() - start;
}

static void open_file(const char *name)
{
    static unsigned char buffer[1 << 16];
    ssize_t got;
    uint64_t size = 0;

    file = open(name, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        err(1, "%s", name);
    }
    while ((got = read(file, buffer, sizeof(buffer))) > 0) {
        size += (uint64_t)got;
    }
    n_blocks = size / BLOCK;
    if (got < 0 || n_blocks == 0) {
        errx(1, "%s: can't be read, or has less than a block", name);
    }
}

int main(int argc, char **argv)
{
    unsigned int depth = 32;
    unsigned int count = 1000000;
    const BenchOption options[] = {
        { 'd', &depth, 1, 4096 },
        { 'n', &count, 1, 1000000000 },
        { 0 },
    };
    int first = bench_options(argc, argv, options);
    g_autoptr(GError) error = NULL;
    Request *requests;
    int64_t elapsed_ns;

    if (first + 1 != argc) {
        errx(2, "expected the name of one file");
    }
    open_file(argv[first]);
    ctx = aio_context_new_with_fdmon(AIO_FDMON_IO_URING, &error);
    if (!ctx) {
        errx(BENCH_NOT_AVAILABLE, "%s", error->message);
    }
    qemu_set_current_aio_context(ctx);
    requests = calloc(depth, sizeof(*requests));
    if (!requests) {
        err(1, "%u requests", depth);
    }
    for (unsigned int i = 0; i < depth; i++) {
        requests[i].handler.cb = on_read;
        requests[i].buffer = aligned_alloc(BLOCK, BLOCK);
        if (!requests[i].buffer) {
            err(1, "a buffer");
        }
    }
    run(requests, depth, count / 10 + 1);
    elapsed_ns = run(requests, depth, count);
    printf("{\"per_second\": %.0f}\n", count * 1e9 / (double)elapsed_ns);
    return 0;
}
