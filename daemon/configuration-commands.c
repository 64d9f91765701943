/*
 * config-apply and reload.
 */
#include "config.h"
#include "daemon/commands.h"

#include <string.h>

#include "objects/configuration-difference.h"
#include "qmp/qmp-request.h"

static void answer(json_object *difference, const GError *error, void *request)
{
    if (error) {
        qmp_fail(request, g_error_copy(error));
    } else {
        qmp_return(request, json_object_get(difference));
    }
}

static void run_reload(QmpRequest *request, void *args)
{
    configurator_reload(qmp_request_get_opaque(request), NULL, answer, request);
}

/* ---- config-apply ---- */

typedef struct ConfigFile {
    char *name;
    char *text;
} ConfigFile;

static const QmpMember config_file_members[] = {
    { .name = "name",
      .type = &qmp_type_str,
      .offset = offsetof(ConfigFile, name),
      .help = "what errors and the log call it" },
    { .name = "text",
      .type = &qmp_type_str,
      .offset = offsetof(ConfigFile, text),
      .help = "its text: commands, as evloopd.conf(5) has them" },
    { 0 },
};
static const QmpType config_file_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "ConfigFile",
    .members = config_file_members,
    .size = sizeof(ConfigFile),
};
static const QmpType config_file_list_type = {
    .kind = QMP_KIND_ARRAY,
    .element = &config_file_type,
};

typedef struct ConfigApplyArgs {
    json_object *files;
    bool dry_run;
} ConfigApplyArgs;

static const QmpMember config_apply_members[] = {
    { .name = "files",
      .type = &config_file_list_type,
      .offset = offsetof(ConfigApplyArgs, files),
      .help = "what there should be, in place of what the configuration directory has" },
    { .name = "dry-run",
      .type = &qmp_type_bool,
      .flags = QMP_MEMBER_OPTIONAL,
      .offset = offsetof(ConfigApplyArgs, dry_run),
      .help = "true: change nothing, only tell what would be done" },
    { 0 },
};
static const QmpType config_apply_args = {
    .kind = QMP_KIND_OBJECT,
    .name = "ConfigApplyArgs",
    .members = config_apply_members,
    .size = sizeof(ConfigApplyArgs),
};

static Configuration *read_files(const ConfigFormat *format, json_object *files, GError **errp)
{
    g_autoptr(Configuration) configuration = configuration_new();

    for (size_t i = 0; i < json_object_array_length(files); i++) {
        json_object *file = json_object_array_get_idx(files, i);
        const char *name = json_object_get_string(json_object_object_get(file, "name"));
        const char *text = json_object_get_string(json_object_object_get(file, "text"));

        if (!config_text_read(format, name, text, strlen(text), configuration, errp)) {
            return NULL;
        }
    }
    return g_steal_pointer(&configuration);
}

static void run_config_apply(QmpRequest *request, void *data)
{
    const ConfigApplyArgs *args = data;
    Configurator *configurator = qmp_request_get_opaque(request);
    GError *error = NULL;
    Configuration *configuration =
        read_files(configurator_get_format(configurator), args->files, &error);

    if (configuration) {
        configurator_apply(configurator, configuration, args->dry_run, answer, request);
    } else {
        qmp_fail(request, error);
    }
}

/* ---- the table ---- */

const QmpCommand configuration_commands[] = {
    { .name = "config-apply",
      .args = &config_apply_args,
      .ret = &difference_type,
      .run = run_config_apply,
      .help =
          "go over to a configuration: objects that one has made are added, deleted and changed "
          "until there are those that this one asks for; all of it is done, or nothing",
      .errors = "GenericError when something is wrong with the configuration, which names the file "
                "and the line, what would go is in use, or a step fails, and then those before it "
                "have been undone" },
    { .name = "reload",
      .args = &qmp_type_empty,
      .ret = &difference_type,
      .run = run_reload,
      .help = "read the configuration directory again and go over to what it asks for, as "
              "config-apply does",
      .errors = "GenericError as config-apply, and when there is no configuration directory" },
    { 0 },
};
