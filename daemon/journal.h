/*
 * Sending lines of the log to the journal, with their fields, in its native protocol: a datagram
 * each.
 *
 * Nothing here waits for the journal, but journal_flush(). While it is stuck (its disk hangs, it is
 * stopped) its socket's queue fills up, and a plain sendmsg() sleeps then until there is room: with
 * g_log_writer_journald() or sd_journal_sendv() every loop that logs would hang with it, and the
 * watchdog's time go by. So a line that can't be sent at once is kept, and so are those behind it,
 * up to a limit; a thread that is there only meanwhile sends them in their order as the journal
 * takes them. What is more than the limit is counted. Where there is no journal, or not any more,
 * a line falls back to another way out, without its fields; sd_journal_sendv() would drop it.
 */
#ifndef DAEMON_JOURNAL_H
#define DAEMON_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>
#include <glib.h>

/* Where the journal listens. */
#define JOURNAL_SOCKET "/run/systemd/journal/socket"

typedef struct Journal Journal;

typedef struct JournalOps {
    /* There is no journal to take the line @plain. Any thread, no lock held. */
    void (*fall_back)(const char *plain);
    /* @count lines were lost before what is sent next. In the thread that sends, no lock held. */
    void (*lost)(uint64_t count);
} JournalOps;

/* Send to the socket at @path, and keep up to @max_kept bytes. No descriptor is opened yet. */
Journal *journal_new(const char *path, size_t max_kept, const JournalOps *ops);

/* Open what lines are sent by, which else the first line does: later there may be no descriptors
 * left. Any thread. */
void journal_open(Journal *journal);

/* Send a line as @fields, with names that the journal takes; @plain is the same for where there is
 * none. Any thread. */
void journal_send(Journal *journal, const GLogField *fields, size_t n_fields, const char *plain);

/* Wait until all is sent, for @timeout_ns at the most. False when it is not. Any thread. */
bool journal_flush(Journal *journal, int64_t timeout_ns);

/* Free @journal; what has not been sent by now falls back. No other thread uses it. */
void journal_free(Journal *journal);

#endif
