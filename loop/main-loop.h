/*
 * The main loop: GLib's default GMainContext and two AioContexts in one wait.
 *
 * qemu_aio_context is what nested waits run (aio_poll(qemu_get_aio_context(), true)); iohandler_ctx
 * holds what must stay silent meanwhile, such as signals. That is why there are two. The thread
 * that calls qemu_init_main_loop() is the main thread, and the home of both.
 */
#ifndef LOOP_MAIN_LOOP_H
#define LOOP_MAIN_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <glib.h>

#include "loop/aio.h"

G_BEGIN_DECLS

/* The main loop's name among loops; no IOThread can have it. */
#define MAIN_LOOP_NAME "main-loop"

/* Make the two contexts and attach them to the default GMainContext. Once, in the main thread,
 * before any other function here. False and @errp when out of descriptors. */
bool qemu_init_main_loop(GError **errp);

/* Undo qemu_init_main_loop(), in the main thread, when nothing uses the contexts any more. */
void qemu_cleanup_main_loop(void);

/* The context that nested waits of the main thread run; owned by the main loop. Any thread. */
AioContext *qemu_get_aio_context(void);

/* The context that nested waits do not run; owned by the main loop. Any thread. */
AioContext *iohandler_get_aio_context(void);

/* aio_set_fd_handler() on iohandler_ctx. Any thread. */
#define qemu_set_fd_handler(fd, fd_read, fd_write, opaque) \
    qemu_set_fd_handler_full(fd, fd_read, fd_write, opaque, #fd_read, #fd_write)

void qemu_set_fd_handler_full(int fd, IOHandler *fd_read, IOHandler *fd_write, void *opaque,
                              const char *read_name, const char *write_name);

/* aio_bh_new() on qemu_aio_context. Any thread. */
#define qemu_bh_new(cb, opaque) aio_bh_new(qemu_get_aio_context(), cb, opaque)

/* One iteration of all three: wait for something (not when @nonblocking is non-zero) and dispatch
 * it. The wait ends at an AioContext's deadline to the nanosecond. Main thread. */
void main_loop_wait(int nonblocking);

/* Make the current or next main_loop_wait() return. Any thread. */
void qemu_notify_event(void);

/* poll(2) with a @timeout in ns, -1 for none: the number of ready descriptors, or -1 and errno.
 * Any thread. */
int qemu_poll_ns(GPollFD *fds, guint nfds, int64_t timeout);

G_END_DECLS

#endif
