/*
 * Logging to stderr.
 */
#include "config.h"
#include "daemon/log.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* From GLib's levels to the names of the option, and syslog(3)'s priorities. */
static const struct {
    GLogLevelFlags flag;
    const char *name;
    int priority;
} levels[] = {
    { G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL, "error", 3 },
    { G_LOG_LEVEL_WARNING, "warning", 4 },
    { G_LOG_LEVEL_MESSAGE, "notice", 5 },
    { G_LOG_LEVEL_INFO, "info", 6 },
    { G_LOG_LEVEL_DEBUG, "debug", 7 },
};

static int max_priority = 5;
static bool under_journal;

/* One call, so that lines of several threads stay whole. There is nobody to tell of an error. */
static bool write_line(int priority, const char *prefix, const char *message)
{
    g_autofree char *valid = g_utf8_make_valid(message, -1);
    g_autoptr(GString) line = g_string_new(NULL);

    if (under_journal) {
        g_string_append_printf(line, "<%d>", priority);
    } else {
        g_string_append(line, prefix);
    }
    /* A name in the message may hold anything; one message stays one line, and leaves a terminal
     * alone. */
    for (const char *p = valid; *p; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);

        if (g_unichar_iscntrl(c)) {
            g_string_append_printf(line, "\\x%02x", (unsigned)c);
        } else {
            g_string_append_unichar(line, c);
        }
    }
    g_string_append_c(line, '\n');
    return write(STDERR_FILENO, line->str, line->len) >= 0;
}

static size_t find_level(GLogLevelFlags flags)
{
    size_t level = 0;

    while (level < G_N_ELEMENTS(levels) - 1 && !(levels[level].flag & flags)) {
        level++;
    }
    return level;
}

bool log_shows(GLogLevelFlags level)
{
    return levels[find_level(level)].priority <= max_priority;
}

static GLogWriterOutput write_log(GLogLevelFlags flags, const GLogField *fields, gsize n_fields,
                                  gpointer opaque)
{
    g_autofree char *prefix = NULL;
    const char *message = "";
    size_t level = find_level(flags);

    if (levels[level].priority > max_priority) {
        return G_LOG_WRITER_HANDLED;
    }
    for (gsize i = 0; i < n_fields; i++) {
        if (strcmp(fields[i].key, "MESSAGE") == 0) {
            message = fields[i].value;
        }
    }
    prefix = g_strdup_printf("evloopd: %s: ", levels[level].name);
    return write_line(levels[level].priority, prefix, message) ? G_LOG_WRITER_HANDLED
                                                               : G_LOG_WRITER_UNHANDLED;
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

void log_init(void)
{
    under_journal = stderr_is_journal();
    g_log_set_writer_func(write_log, NULL, NULL);
}

void log_failure(const char *message)
{
    write_line(levels[0].priority, "evloopd: ", message);
}

bool log_set_level(const char *level)
{
    for (size_t i = 0; i < G_N_ELEMENTS(levels); i++) {
        if (strcmp(levels[i].name, level) == 0) {
            max_priority = levels[i].priority;
            return true;
        }
    }
    return false;
}
