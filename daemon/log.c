/*
 * The log: levels, text, and where it goes.
 */
#include "config.h"
#include "daemon/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/journal.h"
#include "loop/timer.h"
#include "qmp/qmp-log.h"

/* What is kept for a journal that is stuck: some thousand lines. */
#define MAX_KEPT (1024 * 1024)

/* How long the end waits for the journal, and what comes before an abort(). */
static const int64_t flush_timeout_ns = 500 * SCALE_MS;

/* As many fields as a line may have here. */
#define FIELDS_MAX 32

/* From GLib's levels to the names of the option, and syslog(3)'s priorities. */
typedef struct Level {
    GLogLevelFlags flag;
    const char *name;
    int priority;
} Level;

static const Level levels[] = {
    { G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL, "error", 3 },
    { G_LOG_LEVEL_WARNING, "warning", 4 },
    { G_LOG_LEVEL_MESSAGE, "notice", 5 },
    { G_LOG_LEVEL_INFO, "info", 6 },
    { G_LOG_LEVEL_DEBUG, "debug", 7 },
};

static int max_priority;
static Journal *journal; /* NULL: stderr is something else */

/* ---- text ---- */

/* A name in the message may hold anything; one message stays one line, and leaves a terminal alone.
 */
static char *make_printable(const char *message)
{
    g_autofree char *valid = g_utf8_make_valid(message, -1);
    GString *line = g_string_new(NULL);

    for (const char *p = valid; *p; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);

        if (g_unichar_iscntrl(c)) {
            g_string_append_printf(line, "\\x%02x", (unsigned)c);
        } else {
            g_string_append_unichar(line, c);
        }
    }
    return g_string_free(line, FALSE);
}

/* One call, so that lines of several threads stay whole. There is nobody to tell of an error. The
 * journal may be stuck here too, which must not hold the thread. */
static void write_stderr(const char *line)
{
    size_t length = strlen(line);

    if (!journal ||
        (send(STDERR_FILENO, line, length, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == ENOTSOCK)) {
        while (write(STDERR_FILENO, line, length) < 0 && errno == EINTR) {
        }
    }
}

/* ---- the journal ---- */

static void lines_were_lost(uint64_t count)
{
    qmp_log(QMP_LOG_LINES_LOST, &(QmpLogFields){ .count = count },
            "the journal was stuck: lines of the log that are lost: %" G_GUINT64_FORMAT, count);
}

static const JournalOps journal_ops = {
    .fall_back = write_stderr,
    .lost = lines_were_lost,
};

/* What a client has named may hold anything, and journalctl(1) shows the values of fields in its
 * explanations as they are. */
static GLogField printable_field(const GLogField *field, GPtrArray *texts)
{
    g_autofree char *value =
        field->length < 0 ? g_strdup(field->value) : g_strndup(field->value, (gsize)field->length);
    char *text = make_printable(value);

    g_ptr_array_add(texts, text);
    return (GLogField){ field->key, text, -1 };
}

/* Those that are made anew here, or are GLib's own business. */
static bool is_replaced(const char *key)
{
    return strcmp(key, "MESSAGE") == 0 || strcmp(key, "PRIORITY") == 0 ||
           strcmp(key, "GLIB_OLD_LOG_API") == 0;
}

static void send_to_journal(const Level *level, const char *text, const GLogField *fields,
                            size_t n_fields)
{
    g_autofree char *plain = g_strdup_printf("<%d>%s\n", level->priority, text);
    g_autoptr(GPtrArray) texts = g_ptr_array_new_with_free_func(g_free);
    char priority[] = { (char)('0' + level->priority), '\0' };
    char thread[16];
    GLogField all[FIELDS_MAX] = {
        { "MESSAGE", text, -1 },
        { "PRIORITY", priority, -1 },
        { "SYSLOG_IDENTIFIER", "evloopd", -1 },
        { "TID", thread, -1 },
    };
    size_t n = 4;

    snprintf(thread, sizeof(thread), "%d", (int)gettid());
    for (size_t i = 0; i < n_fields && n < FIELDS_MAX; i++) {
        if (!is_replaced(fields[i].key)) {
            all[n++] = printable_field(&fields[i], texts);
        }
    }
    journal_send(journal, all, n, plain);
}

/* Whether stderr is the stream that JOURNAL_STREAM names, as DEVICE:INODE. The variable is also
 * inherited by what runs below a service with its output elsewhere. */
static bool stderr_is_journal(void)
{
    const char *stream = g_getenv("JOURNAL_STREAM");
    guint64 device;
    char *end;
    struct stat st;

    if (!stream || fstat(STDERR_FILENO, &st) != 0) {
        return false;
    }
    device = g_ascii_strtoull(stream, &end, 10);
    return *end == ':' && device == st.st_dev && g_ascii_strtoull(end + 1, NULL, 10) == st.st_ino;
}

/* ---- lines ---- */

/* @prefix is what stands before @message where there are no priorities. */
static void write_line(const Level *level, const char *prefix, const char *message,
                       const GLogField *fields, size_t n_fields)
{
    g_autofree char *text = make_printable(message);

    if (journal) {
        send_to_journal(level, text, fields, n_fields);
    } else {
        g_autofree char *line = g_strdup_printf("%s%s\n", prefix, text);

        write_stderr(line);
    }
}

static const Level *find_level(GLogLevelFlags flags)
{
    size_t level = 0;

    while (level < G_N_ELEMENTS(levels) - 1 && !(levels[level].flag & flags)) {
        level++;
    }
    return &levels[level];
}

static GLogWriterOutput write_log(GLogLevelFlags flags, const GLogField *fields, gsize n_fields,
                                  gpointer opaque)
{
    const Level *level = find_level(flags);
    g_autofree char *prefix = NULL;
    const char *message = "";

    if (level->priority > max_priority) {
        return G_LOG_WRITER_HANDLED;
    }
    for (gsize i = 0; i < n_fields; i++) {
        if (strcmp(fields[i].key, "MESSAGE") == 0) {
            message = fields[i].value;
        }
    }
    prefix = g_strdup_printf("evloopd: %s: ", level->name);
    write_line(level, prefix, message, fields, n_fields);
    /* GLib aborts then. */
    if (journal && (flags & (G_LOG_LEVEL_ERROR | G_LOG_FLAG_FATAL))) {
        journal_flush(journal, flush_timeout_ns);
    }
    return G_LOG_WRITER_HANDLED;
}

void log_failure(const char *message)
{
    const QmpLogKind *kind = qmp_log_kind(QMP_LOG_START_FAILED);
    const GLogField fields[] = {
        { "MESSAGE_ID", kind->id, -1 },
        { "EVLOOPD_MESSAGE", kind->name, -1 },
    };

    write_line(&levels[0], "evloopd: ", message, fields, G_N_ELEMENTS(fields));
}

/* ---- life ---- */

static void show_up_to(const Level *level)
{
    max_priority = level->priority;
    qmp_log_set_level(level == &levels[0] ? G_LOG_LEVEL_CRITICAL : level->flag);
}

bool log_set_level(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(levels); i++) {
        if (strcmp(levels[i].name, name) == 0) {
            show_up_to(&levels[i]);
            return true;
        }
    }
    return false;
}

void log_init(void)
{
    log_set_level("notice");
    if (stderr_is_journal()) {
        journal = journal_new(JOURNAL_SOCKET, MAX_KEPT, &journal_ops);
    }
    g_log_set_writer_func(write_log, NULL, NULL);
}

void log_open(void)
{
    if (journal) {
        journal_open(journal);
    }
}

void log_finish(void)
{
    if (journal) {
        journal_flush(journal, flush_timeout_ns);
        journal_free(journal);
        journal = NULL;
    }
}
