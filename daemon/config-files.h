/*
 * Configuration files: the commands in them, read without running any.
 */
#ifndef DAEMON_CONFIG_FILES_H
#define DAEMON_CONFIG_FILES_H

#include <stdbool.h>
#include <glib.h>

#include "objects/configuration.h"
#include "qmp/qmp-command.h"
#include "qmp/qmp-json.h"

/* What commands are read with. */
typedef struct ConfigFormat {
    const QmpRegistry *registry;
    QmpJsonLimits limits; /* of one command */
} ConfigFormat;

/* Add what the commands in @text, of @len bytes, ask for. False and @errp, which begins with @name
 * and the line, as soon as something is wrong. */
bool config_text_read(const ConfigFormat *format, const char *name, const char *text, size_t len,
                      Configuration *configuration, GError **errp);

/* What all the files *.json in @directory ask for, hidden ones left out, in the order of the bytes
 * of their names. NULL and @errp, which begins with the path. */
Configuration *config_directory_read(const ConfigFormat *format, const char *directory,
                                     GError **errp);

#endif
