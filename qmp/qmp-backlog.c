/*
 * A list of messages, each in a block of memory of its own. See the header.
 */
#include "config.h"
#include "qmp/qmp-backlog.h"

#include <glib.h>
#include <string.h>
#include <unistd.h>

struct QmpBacklogMessage {
    QmpBacklogMessage *next;
    size_t len;
    bool is_event;
    int fd; /* to go along with the first byte; -1: none, or it has gone */
    char bytes[];
};

size_t qmp_backlog_cost(size_t len)
{
    /* With what an allocator puts before and behind a block: a word, up to the next 16 bytes. */
    return (sizeof(QmpBacklogMessage) + len + sizeof(size_t) + 15) / 16 * 16;
}

bool qmp_backlog_append(QmpBacklog *backlog, const char *bytes, size_t len, bool is_event)
{
    QmpBacklogMessage *message = g_try_malloc(sizeof(QmpBacklogMessage) + len);

    if (!message) {
        return false;
    }
    message->next = NULL;
    message->len = len;
    message->is_event = is_event;
    message->fd = -1;
    memcpy(message->bytes, bytes, len);
    if (backlog->last) {
        backlog->last->next = message;
    } else {
        backlog->first = message;
    }
    backlog->last = message;
    backlog->held += qmp_backlog_cost(len);
    backlog->events += is_event;
    return true;
}

void qmp_backlog_attach_fd(QmpBacklog *backlog, int fd)
{
    backlog->last->fd = fd;
    backlog->fds++;
}

int qmp_backlog_peek_fd(const QmpBacklog *backlog)
{
    return backlog->first ? backlog->first->fd : -1;
}

int qmp_backlog_peek(const QmpBacklog *backlog, struct iovec *parts, int max)
{
    size_t taken = backlog->taken;
    int n = 0;

    for (QmpBacklogMessage *message = backlog->first; message && n < max; message = message->next) {
        if (n > 0 && message->fd >= 0) {
            break;
        }
        parts[n++] = (struct iovec){
            .iov_base = message->bytes + taken,
            .iov_len = message->len - taken,
        };
        taken = 0;
    }
    return n;
}

/* The descriptor of @message has been sent, or will not be. */
static void close_fd(QmpBacklog *backlog, QmpBacklogMessage *message)
{
    if (message->fd >= 0) {
        close(message->fd);
        message->fd = -1;
        backlog->fds--;
    }
}

/* Free @message, which is not in the list any more. */
static void forget(QmpBacklog *backlog, QmpBacklogMessage *message)
{
    close_fd(backlog, message);
    backlog->held -= qmp_backlog_cost(message->len);
    backlog->events -= message->is_event;
    g_free(message);
}

static void drop_first(QmpBacklog *backlog)
{
    QmpBacklogMessage *first = backlog->first;

    backlog->first = first->next;
    if (!backlog->first) {
        backlog->last = NULL;
    }
    backlog->taken = 0;
    forget(backlog, first);
}

void qmp_backlog_take(QmpBacklog *backlog, size_t len)
{
    while (len > 0) {
        QmpBacklogMessage *first = backlog->first;
        size_t left = first->len - backlog->taken;

        if (len < left) {
            /* What the client has a part of it must get whole. */
            backlog->events -= first->is_event;
            first->is_event = false;
            close_fd(backlog, first);
            backlog->taken += len;
            return;
        }
        len -= left;
        drop_first(backlog);
    }
}

uint64_t qmp_backlog_drop_events(QmpBacklog *backlog)
{
    QmpBacklogMessage **link = &backlog->first;
    uint64_t n = backlog->events;

    if (n == 0) {
        return 0;
    }
    backlog->last = NULL;
    while (*link) {
        QmpBacklogMessage *message = *link;

        if (message->is_event) {
            *link = message->next;
            forget(backlog, message);
        } else {
            backlog->last = message;
            link = &message->next;
        }
    }
    return n;
}

void qmp_backlog_clear(QmpBacklog *backlog)
{
    while (backlog->first) {
        drop_first(backlog);
    }
}
