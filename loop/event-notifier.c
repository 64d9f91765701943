/*
 * EventNotifier on eventfd(2).
 */
#include "config.h"
#include "loop/event-notifier.h"

#include "loop/aio.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

bool event_notifier_init(EventNotifier *notifier, bool active, GError **errp)
{
    notifier->fd = eventfd(active ? 1 : 0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (notifier->fd < 0) {
        g_set_error(errp, AIO_ERROR, AIO_ERROR_SYSTEM, "eventfd: %s", g_strerror(errno));
        return false;
    }
    return true;
}

void event_notifier_init_fd(EventNotifier *notifier, int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags >= 0 && !(flags & O_NONBLOCK)) {
        fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    }
    notifier->fd = fd;
}

void event_notifier_cleanup(EventNotifier *notifier)
{
    if (notifier->fd >= 0) {
        close(notifier->fd);
        notifier->fd = -1;
    }
}

int event_notifier_get_fd(const EventNotifier *notifier)
{
    return notifier->fd;
}

void event_notifier_set(EventNotifier *notifier)
{
    static const uint64_t one = 1;
    int saved_errno = errno;
    ssize_t n;

    /* EAGAIN means that the counter is full: the notifier is set, which is all that is asked. */
    do {
        n = write(notifier->fd, &one, sizeof(one));
    } while (n < 0 && errno == EINTR);
    errno = saved_errno;
}

bool event_notifier_test_and_clear(EventNotifier *notifier)
{
    uint64_t count;
    ssize_t n;

    do {
        n = read(notifier->fd, &count, sizeof(count));
    } while (n < 0 && errno == EINTR);
    return n == sizeof(count);
}
