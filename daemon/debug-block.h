/*
 * Holding loops, for tests.
 */
#ifndef DAEMON_DEBUG_BLOCK_H
#define DAEMON_DEBUG_BLOCK_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Hold the loop called @loop, NULL being the main loop, in a callback for @duration_ns, or until
 * debug_unblock(). Then @done is called with @opaque in the main thread; when it is the main loop
 * that is held, before this returns. False when there is no such loop. Main thread.
 */
bool debug_block(const char *loop, int64_t duration_ns, void (*done)(void *opaque), void *opaque);

/* Let go on all that hold the loop called @loop now. Any thread. */
void debug_unblock(const char *loop);

#endif
