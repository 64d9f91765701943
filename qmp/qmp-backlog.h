/*
 * A backlog: messages for one client that its socket has not taken yet, in their order.
 *
 * Whole messages are kept, so that those which are not begun can be left out again: events, when
 * answers need their place. What a backlog costs is counted as the memory that it really holds.
 * A backlog of all zeroes is empty. The caller sees to it that one thread at a time uses it.
 */
#ifndef QMP_QMP_BACKLOG_H
#define QMP_QMP_BACKLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

typedef struct QmpBacklogMessage QmpBacklogMessage;

typedef struct QmpBacklog {
    QmpBacklogMessage *first; /* NULL when it is empty */
    QmpBacklogMessage *last;
    size_t taken;  /* bytes of the first one that are not to be kept any more */
    size_t held;   /* bytes of memory */
    size_t fds;    /* descriptors that wait to be sent */
    size_t events; /* messages that qmp_backlog_drop_events() may leave out */
} QmpBacklog;

/* What @len more bytes would add to held. */
size_t qmp_backlog_cost(size_t len);

/* Keep a copy of @len bytes, behind all else; @is_event makes it one that may be left out. False,
 * and nothing has changed, when there is no memory. */
bool qmp_backlog_append(QmpBacklog *backlog, const char *bytes, size_t len, bool is_event);

/* Let the descriptor @fd, which is taken over, go along with the first byte of the last message, of
 * which none has been taken. */
void qmp_backlog_attach_fd(QmpBacklog *backlog, int fd);

/* The descriptor that goes along with the next byte, still the backlog's; -1: none. */
int qmp_backlog_peek_fd(const QmpBacklog *backlog);

/* Fill in up to @max parts of what comes next, up to a message behind the first that has a
 * descriptor; returns how many. */
int qmp_backlog_peek(const QmpBacklog *backlog, struct iovec *parts, int max);

/* The next @len bytes, of which there must be so many, have been taken. */
void qmp_backlog_take(QmpBacklog *backlog, size_t len);

/* Leave out the events that no byte has been taken of; returns how many there were. */
uint64_t qmp_backlog_drop_events(QmpBacklog *backlog);

/* Leave out all. */
void qmp_backlog_clear(QmpBacklog *backlog);

#endif
