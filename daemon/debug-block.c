/*
 * Holding loops, for tests: a callback that waits, for a time or until it is let go.
 */
#include "config.h"
#include "daemon/debug-block.h"

#include <pthread.h>
#include <string.h>
#include <time.h>
#include <glib.h>

#include "iothreads/iothread.h"
#include "loop/main-loop.h"

typedef struct Block {
    char *loop;
    int64_t duration_ns;
    void (*done)(void *opaque);
    void *opaque;
    bool released; /* guarded by the lock, as the next */
    struct Block *next;
} Block;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards the list */
static pthread_cond_t is_released;
static pthread_once_t is_released_once = PTHREAD_ONCE_INIT;
static Block *blocks; /* that hold a loop now */

static void init_is_released(void)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&is_released, &attr);
    pthread_condattr_destroy(&attr);
}

static void wait_here(Block *block)
{
    int64_t end_ns = qemu_clock_get_ns(QEMU_CLOCK_REALTIME) + block->duration_ns;
    const struct timespec end = { .tv_sec = end_ns / 1000000000, .tv_nsec = end_ns % 1000000000 };
    Block **link = &blocks;

    pthread_once(&is_released_once, init_is_released);
    pthread_mutex_lock(&lock);
    block->next = blocks;
    blocks = block;
    while (!block->released && pthread_cond_timedwait(&is_released, &lock, &end) == 0) {
    }
    while (*link != block) {
        link = &(*link)->next;
    }
    *link = block->next;
    pthread_mutex_unlock(&lock);
}

static void finish(void *opaque)
{
    Block *block = opaque;

    block->done(block->opaque);
    g_free(block->loop);
    g_free(block);
}

static void debug_block_here(void *opaque)
{
    wait_here(opaque);
    aio_bh_schedule_oneshot(qemu_get_aio_context(), finish, opaque);
}

bool debug_block(const char *loop, int64_t duration_ns, void (*done)(void *opaque), void *opaque)
{
    IOThread *iothread = loop ? iothread_by_id(loop) : NULL;
    Block *block;

    if (loop && !iothread && strcmp(loop, MAIN_LOOP_NAME) != 0) {
        return false;
    }
    block = g_new0(Block, 1);
    block->loop = g_strdup(loop ? loop : MAIN_LOOP_NAME);
    block->duration_ns = duration_ns;
    block->done = done;
    block->opaque = opaque;
    if (iothread) {
        aio_bh_schedule_oneshot(iothread_get_aio_context(iothread), debug_block_here, block);
    } else {
        wait_here(block);
        finish(block);
    }
    return true;
}

void debug_unblock(const char *loop)
{
    pthread_once(&is_released_once, init_is_released);
    pthread_mutex_lock(&lock);
    for (Block *block = blocks; block; block = block->next) {
        if (strcmp(block->loop, loop ? loop : MAIN_LOOP_NAME) == 0) {
            block->released = true;
        }
    }
    pthread_cond_broadcast(&is_released);
    pthread_mutex_unlock(&lock);
}
