/*
 * What an fd monitor with a ring could get wrong: work left in its queues, and what is left of
 * threads that drove the loop before. All monitors have to do the same.
 */
#include "config.h"
#include "tests/unit/loop-fixture.h"

#include <sched.h>
#include <unistd.h>

typedef struct Reader {
    Loop *loop;
    int fds[2];
    _Atomic int calls;
} Reader;

static void read_byte(void *opaque)
{
    Reader *reader = opaque;

    test_read_byte(reader->fds[0]);
    atomic_fetch_add(&reader->calls, 1);
}

static void reader_watch(Reader *reader)
{
    aio_set_fd_handler(reader->loop->ctx, reader->fds[0], read_byte, NULL, NULL, NULL, reader);
}

static void reader_init(Reader *reader, Loop *loop)
{
    *reader = (Reader){ .loop = loop };
    test_pipe(reader->fds);
}

static void reader_cleanup(Reader *reader)
{
    aio_set_fd_handler(reader->loop->ctx, reader->fds[0], NULL, NULL, NULL, NULL, NULL);
    test_close(reader->fds);
}

static void *drive_undeclared(void *opaque)
{
    loop_passes(opaque, 2);
    return NULL;
}

/* What the kernel has to say of a thread that has ended must not keep its successor awake. */
static void test_successor_sleeps(Loop *loop)
{
    Reader reader;

    reader_init(&reader, loop);
    reader_watch(&reader);
    test_thread_join(test_thread_start(drive_undeclared, loop));
    test_write_byte(reader.fds[1]);
    loop_start(loop);
    while (atomic_load(&reader.calls) < 1) {
        sched_yield();
    }
    loop_assert_asleep(loop);
    loop_stop(loop);
    reader_cleanup(&reader);
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    loop_test_add("a loop sleeps when the thread that drove it before has ended",
                  test_successor_sleeps);
    return g_test_run();
}
