/*
 * The command line.
 */
#ifndef DAEMON_OPTIONS_H
#define DAEMON_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <glib.h>
#include <json-c/json.h>

#include "qmp/qmp-json.h"

typedef enum {
    STARTUP_OBJECT,     /* --object */
    STARTUP_CONFIG,     /* --config */
    STARTUP_CONFIG_DIR, /* --config-dir */
} StartupKind;

/* What is done at the start, in the order in which it stands on the command line. */
typedef struct StartupOption {
    StartupKind kind;
    char *text;
} StartupOption;

typedef struct Options {
    GPtrArray *monitors; /* of MonitorOption, in daemon/monitor-option.h */
    GPtrArray *startup;  /* of StartupOption */
    char *config_dir;    /* or NULL */
    bool debug_commands;
    bool fd_store; /* at the end, leave what there is with the service manager */
    bool version;  /* print the version and be done */
    QmpJsonLimits limits;
    size_t max_output;
    size_t max_output_total;
    int64_t negotiation_timeout_ns; /* 0: none */
    int64_t stall_threshold_ns;     /* 0: no watch */
    int64_t monitor_poll_max_ns;    /* of the monitor thread; 0: it does not poll */
} Options;

/* Parse the command line. False and @errp, which names the option. --help prints and exits. */
bool options_parse(Options *options, int argc, char **argv, GError **errp);
void options_cleanup(Options *options);

/* Split @text at its commas; two commas stand for one that does not split. */
char **option_split(const char *text);

/*
 * The arguments of object-add that --object's @text stands for: JSON, or TYPE,PROPERTY=VALUE,...
 * with values typed by the type's table, where they fit. The caller owns the reference; NULL and
 * @errp.
 */
json_object *object_option_parse(const char *text, GError **errp);

#endif
