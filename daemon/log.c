/*
 * Logging to stderr.
 */
#include "config.h"
#include "daemon/log.h"

#include <stdio.h>
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

static GLogWriterOutput write_log(GLogLevelFlags flags, const GLogField *fields, gsize n_fields,
                                  gpointer opaque)
{
    g_autoptr(GString) line = NULL;
    const char *message = "";
    size_t level = 0;

    while (level < G_N_ELEMENTS(levels) - 1 && !(levels[level].flag & flags)) {
        level++;
    }
    if (levels[level].priority > max_priority) {
        return G_LOG_WRITER_HANDLED;
    }
    for (gsize i = 0; i < n_fields; i++) {
        if (strcmp(fields[i].key, "MESSAGE") == 0) {
            message = fields[i].value;
        }
    }
    line = g_string_new(NULL);
    if (under_journal) {
        g_string_append_printf(line, "<%d>%s\n", levels[level].priority, message);
    } else {
        g_string_append_printf(line, "evloopd: %s: %s\n", levels[level].name, message);
    }
    /* One call, so that lines of several threads stay whole. There is nobody to tell of an error.
     */
    if (write(STDERR_FILENO, line->str, line->len) < 0) {
        return G_LOG_WRITER_UNHANDLED;
    }
    return G_LOG_WRITER_HANDLED;
}

/* The variable is inherited by terminals and redirections too: it names the file that is meant. */
static bool stderr_is_journal(void)
{
    const char *stream = g_getenv("JOURNAL_STREAM");
    g_autofree char *ours = NULL;
    struct stat st;

    if (!stream || fstat(STDERR_FILENO, &st) != 0) {
        return false;
    }
    ours = g_strdup_printf("%" G_GUINT64_FORMAT ":%" G_GUINT64_FORMAT, (guint64)st.st_dev,
                           (guint64)st.st_ino);
    return strcmp(stream, ours) == 0;
}

void log_init(void)
{
    under_journal = stderr_is_journal();
    g_log_set_writer_func(write_log, NULL, NULL);
}

void log_start_failure(const char *message)
{
    fprintf(stderr, "%s%s\n", under_journal ? "<3>" : "evloopd: ", message);
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
