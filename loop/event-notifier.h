/*
 * EventNotifier: a descriptor that one thread or process sets and another waits for.
 *
 * It is an eventfd, so setting it many times before it is cleared makes one wake-up. Attach it to
 * a context with aio_set_event_notifier() (loop/aio.h).
 */
#ifndef LOOP_EVENT_NOTIFIER_H
#define LOOP_EVENT_NOTIFIER_H

#include <stdbool.h>
#include <glib.h>

G_BEGIN_DECLS

/* The fields are private; embed the struct and use the functions. */
typedef struct EventNotifier {
    int fd; /* the eventfd, or -1 */
} EventNotifier;

typedef void EventNotifierHandler(EventNotifier *notifier);

/*
 * Initialise @notifier with a new eventfd (non-blocking, close-on-exec), set from the start when
 * @active is true. Returns false and sets @errp when the process or the system is out of
 * descriptors; @notifier may then still be passed to event_notifier_cleanup(). Any thread.
 */
bool event_notifier_init(EventNotifier *notifier, bool active, GError **errp);

/*
 * Initialise @notifier with an existing eventfd @fd, which it owns from now on and makes
 * non-blocking. Any thread.
 */
void event_notifier_init_fd(EventNotifier *notifier, int fd);

/*
 * Close the descriptor. Its handler must have been removed from its context before. Does nothing
 * on a notifier that is not initialised (fd -1). Any thread.
 */
void event_notifier_cleanup(EventNotifier *notifier);

/* The descriptor, still owned by @notifier; -1 when there is none. Any thread. */
int event_notifier_get_fd(const EventNotifier *notifier);

/*
 * Set @notifier: it becomes readable. Never blocks; a counter that is full stays set. Any thread,
 * signal handlers included.
 */
void event_notifier_set(EventNotifier *notifier);

/*
 * Clear @notifier. Returns true when it had been set since it was last cleared. Any thread.
 */
bool event_notifier_test_and_clear(EventNotifier *notifier);

G_END_DECLS

#endif
