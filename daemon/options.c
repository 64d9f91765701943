/*
 * The command line, by GOption.
 */
#include "config.h"
#include "daemon/options.h"

#include <limits.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/monitor-option.h"
#include "loop/aio.h"
#include "qmp/qmp-error.h"
#include "qmp/qmp-server.h"

/* Long enough to type qmp_capabilities by hand, at most a day. */
static const int64_t default_negotiation_timeout_s = 60;
static const guint64 max_negotiation_timeout_s = 86400;

static const int64_t default_stall_threshold_ms = 1000;
static const guint64 max_stall_threshold_ms = 86400000;

/* For a client that sends one command after the other, the monitor thread waits for two answers:
 * the main loop's, and the next command. Where processors sleep when they have nothing to do, each
 * takes about two wake-ups, some 100 us. Polling for longer than that saves both; for how long, if
 * at all, the loop learns. */
static const int64_t default_monitor_poll_max_ns = 200000;
static const guint64 max_monitor_poll_max_ns = 1000000000;

char **option_split(const char *text)
{
    GPtrArray *parts = g_ptr_array_new();
    GString *part = g_string_new(NULL);

    for (const char *p = text; *p; p++) {
        if (p[0] == ',' && p[1] == ',') {
            g_string_append_c(part, ',');
            p++;
        } else if (*p == ',') {
            g_ptr_array_add(parts, g_string_free(part, FALSE));
            part = g_string_new(NULL);
        } else {
            g_string_append_c(part, *p);
        }
    }
    g_ptr_array_add(parts, g_string_free(part, FALSE));
    g_ptr_array_add(parts, NULL);
    return (char **)g_ptr_array_free(parts, FALSE);
}

static gboolean parse_qmp(const char *name, const char *value, gpointer data, GError **errp)
{
    Options *options = data;
    MonitorOption *monitor = monitor_option_parse(value, errp);

    if (!monitor) {
        g_prefix_error(errp, "--qmp: ");
        return FALSE;
    }
    g_ptr_array_add(options->monitors, monitor);
    return TRUE;
}

static void startup_free(StartupOption *item)
{
    g_free(item->text);
    g_free(item);
}

static gboolean parse_startup(const char *name, const char *value, gpointer data, GError **errp)
{
    Options *options = data;
    StartupOption *item = g_new0(StartupOption, 1);

    item->kind = strcmp(name, "--config") == 0 ? STARTUP_CONFIG : STARTUP_OBJECT;
    item->text = g_strdup(value);
    g_ptr_array_add(options->startup, item);
    return TRUE;
}

static gboolean parse_config_dir(const char *name, const char *value, gpointer data, GError **errp)
{
    Options *options = data;
    StartupOption *item;

    if (options->config_dir) {
        return qmp_error_set(errp, "--config-dir is given twice");
    }
    if (!value[0]) {
        return qmp_error_set(errp, "--config-dir: '' is no directory");
    }
    options->config_dir = g_strdup(value);
    item = g_new0(StartupOption, 1);
    item->kind = STARTUP_CONFIG_DIR;
    g_ptr_array_add(options->startup, item);
    return TRUE;
}

static gboolean parse_log_level(const char *name, const char *value, gpointer data, GError **errp)
{
    if (!log_set_level(value)) {
        return qmp_error_set(
            errp,
            "--log-level: '%s' is no level, expected error, warning, notice, info or "
            "debug",
            value);
    }
    return TRUE;
}

/* The option @name is to be a number from @min to @max. */
static bool parse_number(const char *name, const char *value, guint64 min, guint64 max,
                         guint64 *number, GError **errp)
{
    return g_ascii_string_to_unsigned(value, 10, min, max, number, NULL) ||
           qmp_error_set(errp,
                         "%s: '%s' is no integer from %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT,
                         name, value, min, max);
}

/* The options that are numbers from 1 to a limit of their own. */
static gboolean parse_size(const char *name, const char *value, gpointer data, GError **errp)
{
    Options *options = data;
    const struct {
        const char *name;
        size_t *target;
        guint64 max;
    } sizes[] = {
        { "--max-request-size", &options->limits.max_bytes, QMP_JSON_HIGHEST_MAX_BYTES },
        { "--max-nesting", &options->limits.max_depth, QMP_JSON_HIGHEST_MAX_DEPTH },
        { "--max-tokens", &options->limits.max_tokens, INT_MAX },
        { "--max-output", &options->max_output, INT_MAX },
        { "--max-output-total", &options->max_output_total, G_MAXINT64 },
    };
    size_t i = 0;
    guint64 number;

    while (strcmp(sizes[i].name, name) != 0) {
        i++;
    }
    if (!parse_number(name, value, 1, sizes[i].max, &number, errp)) {
        return FALSE;
    }
    *sizes[i].target = number;
    return TRUE;
}

/* The options that are times, from 0 to a limit of their own. */
static gboolean parse_time(const char *name, const char *value, gpointer data, GError **errp)
{
    Options *options = data;
    const struct {
        const char *name;
        int64_t *target_ns;
        int64_t unit_ns;
        guint64 max;
    } times[] = {
        { "--negotiation-timeout", &options->negotiation_timeout_ns, 1000 * SCALE_MS,
          max_negotiation_timeout_s },
        { "--stall-threshold-ms", &options->stall_threshold_ns, SCALE_MS, max_stall_threshold_ms },
        { "--monitor-poll-max-ns", &options->monitor_poll_max_ns, SCALE_NS,
          max_monitor_poll_max_ns },
    };
    size_t i = 0;
    guint64 number;

    while (strcmp(times[i].name, name) != 0) {
        i++;
    }
    if (!parse_number(name, value, 0, times[i].max, &number, errp)) {
        return FALSE;
    }
    *times[i].target_ns = (int64_t)number * times[i].unit_ns;
    return TRUE;
}

/* GOption takes --version=yes for --version. */
static bool check_flags(int argc, char **argv, GError **errp)
{
    static const char *const flags[] = { "--debug-commands", "--fd-store", "--version", "--help" };

    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        for (size_t j = 0; j < G_N_ELEMENTS(flags); j++) {
            size_t len = strlen(flags[j]);

            if (strncmp(argv[i], flags[j], len) == 0 && argv[i][len] == '=') {
                return qmp_error_set(errp, "%s: '%s' is unexpected: it has no value", flags[j],
                                     argv[i] + len + 1);
            }
        }
    }
    return true;
}

static const char summary[] =
    "Hosts a main loop and IOThreads, controlled by QMP on sockets. See evloopd(8).";

bool options_parse(Options *options, int argc, char **argv, GError **errp)
{
    gboolean debug_commands = FALSE;
    gboolean fd_store = FALSE;
    gboolean version = FALSE;
    /* FILENAME: values are bytes, whatever the locale makes of them. */
    const GOptionEntry entries[] = {
        { "qmp", 0, G_OPTION_FLAG_FILENAME, G_OPTION_ARG_CALLBACK, (gpointer)parse_qmp,
          "Listen for control sessions; may be given several times",
          "unix:PATH | fd:NUMBER | vsock:CID:PORT[,OPTION=VALUE...]" },
        { "object", 0, G_OPTION_FLAG_FILENAME, G_OPTION_ARG_CALLBACK, (gpointer)parse_startup,
          "Add an object at the start; may be given several times",
          "TYPE,id=ID[,PROPERTY=VALUE...] | JSON" },
        { "config", 0, G_OPTION_FLAG_FILENAME, G_OPTION_ARG_CALLBACK, (gpointer)parse_startup,
          "Run the QMP commands in FILE at the start; may be given several times", "FILE" },
        { "config-dir", 0, G_OPTION_FLAG_FILENAME, G_OPTION_ARG_CALLBACK,
          (gpointer)parse_config_dir,
          "Have the objects that DIR/*.json ask for, and those that they do when it is reloaded",
          "DIR" },
        { "fd-store", 0, 0, G_OPTION_ARG_NONE, &fd_store,
          "Have the next start go on with objects and connections, by the service manager", NULL },
        { "log-level", 0, G_OPTION_FLAG_FILENAME, G_OPTION_ARG_CALLBACK, (gpointer)parse_log_level,
          "Log error, warning, notice (the default), info or debug", "LEVEL" },
        { "max-request-size", 0, G_OPTION_FLAG_FILENAME, G_OPTION_ARG_CALLBACK,
          (gpointer)parse_size, "Refuse requests longer than this (default 1 MiB)", "BYTES" },
        { "max-nesting", 0, G_OPTION_FLAG_FILENAME, G_OPTION_ARG_CALLBACK, (gpointer)parse_size,
          "Refuse requests nested deeper than this (default 1024)", "LEVELS" },
        { "max-tokens", 0, G_OPTION_FLAG_FILENAME, G_OPTION_ARG_CALLBACK, (gpointer)parse_size,
          "Refuse requests of more JSON tokens than this (default 131072)", "TOKENS" },
        { "max-output", 0, G_OPTION_FLAG_FILENAME, G_OPTION_ARG_CALLBACK, (gpointer)parse_size,
          "Disconnect clients that leave more than this unread (default 4 MiB)", "BYTES" },
        { "max-output-total", 0, G_OPTION_FLAG_FILENAME, G_OPTION_ARG_CALLBACK,
          (gpointer)parse_size,
          "Disconnect those who leave most unread, past this for all (default 64 MiB)", "BYTES" },
        { "negotiation-timeout", 0, G_OPTION_FLAG_FILENAME, G_OPTION_ARG_CALLBACK,
          (gpointer)parse_time,
          "Disconnect sessions that do not negotiate in this time (default 60; 0: never)",
          "SECONDS" },
        { "stall-threshold-ms", 0, G_OPTION_FLAG_FILENAME, G_OPTION_ARG_CALLBACK,
          (gpointer)parse_time,
          "Tell of loops that are held for longer than this (default 1000; 0: never)",
          "MILLISECONDS" },
        { "monitor-poll-max-ns", 0, G_OPTION_FLAG_FILENAME, G_OPTION_ARG_CALLBACK,
          (gpointer)parse_time,
          "Let the monitor thread poll so long before it sleeps (default 200000; 0: never)", "NS" },
        { "debug-commands", 0, 0, G_OPTION_ARG_NONE, &debug_commands,
          "Offer the x-debug-* commands, for tests", NULL },
        { "version", 0, 0, G_OPTION_ARG_NONE, &version, "Print the version and exit", NULL },
        { NULL },
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    GOptionGroup *group = g_option_group_new(NULL, NULL, NULL, options, NULL);

    *options = (Options){
        .max_output = QMP_MAX_OUTPUT_DEFAULT,
        .max_output_total = QMP_MAX_OUTPUT_TOTAL_DEFAULT,
        .negotiation_timeout_ns = default_negotiation_timeout_s * 1000 * SCALE_MS,
        .stall_threshold_ns = default_stall_threshold_ms * SCALE_MS,
        .monitor_poll_max_ns = default_monitor_poll_max_ns,
    };
    options->monitors = g_ptr_array_new_with_free_func((GDestroyNotify)monitor_option_free);
    options->startup = g_ptr_array_new_with_free_func((GDestroyNotify)startup_free);
    g_option_group_add_entries(group, entries);
    g_option_context_set_main_group(context, group);
    g_option_context_set_summary(context, summary);
    if (!check_flags(argc, argv, errp) || !g_option_context_parse(context, &argc, &argv, errp)) {
        return false;
    }
    if (argc > 1) {
        return qmp_error_set(errp, "'%s' is unexpected: there are options only", argv[1]);
    }
    options->debug_commands = debug_commands;
    options->fd_store = fd_store;
    options->version = version;
    return true;
}

void options_cleanup(Options *options)
{
    g_ptr_array_unref(options->monitors);
    g_ptr_array_unref(options->startup);
    g_free(options->config_dir);
}
