/*
 * A kick of an eventfd that another process's loop watches, and one back.
 *
 *     loop-kick [-n COUNT] [-p POLL_NS] LOOP
 *
 * A child process runs the loop; its callback reads the eventfd and writes another one, for which
 * this process sleeps in read(). A sample is the time from write to return. The processes have a
 * processor each where there are two. The loop does not poll before it blocks, or with -p for up to
 * POLL_NS. Prints one line of JSON.
 */
#include "config.h"

#include "bench/bench-loop.h"
#include "bench/bench-util.h"

#include <err.h>
#include <sys/eventfd.h>
#include <unistd.h>

static int there;
static int back;

static void read_kick(int fd)
{
    uint64_t kicks;

    if (read(fd, &kicks, sizeof(kicks)) != sizeof(kicks)) {
        err(1, "read");
    }
}

static void kick(int fd)
{
    uint64_t one = 1;

    if (write(fd, &one, sizeof(one)) != sizeof(one)) {
        err(1, "write");
    }
}

static void kicked(LoopFd *watch)
{
    read_kick(watch->fd);
    kick(back);
}

/* Until the parent ends. */
static void run_far_side(const LoopOps *ops, unsigned int poll_ns)
{
    LoopFd *watch = bench_loop_array(1, ops->fd_size);
    void *loop;

    bench_end_with_parent();
    bench_pin(1);
    loop = ops->open(0);
    if (ops->set_polling) {
        ops->set_polling(loop, poll_ns);
    }
    watch->ready = kicked;
    watch->fd = there;
    ops->fd_start(loop, watch);
    ops->run(loop);
    _exit(1);
}

static void measure(Samples *samples, unsigned int count)
{
    unsigned int warm_up = count / 10 + 1;

    for (unsigned int i = 0; i < warm_up + count; i++) {
        int64_t start = bench_now_ns();

        kick(there);
        read_kick(back);
        if (i >= warm_up) {
            samples_add(samples, bench_now_ns() - start);
        }
    }
}

int main(int argc, char **argv)
{
    unsigned int count = 10000;
    unsigned int poll_ns = 0;
    const BenchOption options[] = {
        { 'n', &count, 1, 10000000 },
        { 'p', &poll_ns, 0, 1000000000 },
        { 0 },
    };
    const LoopOps *ops = bench_loop_argument(argc, argv, bench_options(argc, argv, options));
    Samples samples;
    pid_t child;

    if (poll_ns > 0 && !ops->set_polling) {
        bench_loop_lacks(ops, "polling");
    }
    there = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    back = eventfd(0, EFD_CLOEXEC);
    if (there < 0 || back < 0) {
        err(1, "eventfd");
    }
    child = fork();
    if (child < 0) {
        err(1, "fork");
    }
    if (child == 0) {
        run_far_side(ops, poll_ns);
    }
    bench_pin(0);
    samples_init(&samples, count);
    measure(&samples, count);
    samples_print_us(&samples);
    samples_free(&samples);
    return 0;
}
