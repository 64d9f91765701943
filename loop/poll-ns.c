/*
 * poll(2) with nanoseconds.
 */
#include "config.h"
#include "loop/main-loop.h"

#include <poll.h>
#include <time.h>

/* GPollFD is laid out like struct pollfd, as GLib itself relies on. */
G_STATIC_ASSERT(sizeof(GPollFD) == sizeof(struct pollfd));
G_STATIC_ASSERT(G_STRUCT_OFFSET(GPollFD, revents) == offsetof(struct pollfd, revents));

int qemu_poll_ns(GPollFD *fds, guint nfds, int64_t timeout)
{
    struct timespec ts = {
        .tv_sec = timeout / 1000000000,
        .tv_nsec = timeout % 1000000000,
    };

    return ppoll((struct pollfd *)fds, nfds, timeout < 0 ? NULL : &ts, NULL);
}
