/*
 * Reading configuration files.
 */
#include "config.h"
#include "daemon/config-files.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "qmp/qmp-error.h"
#include "qmp/qmp-request.h"

/* ---- commands ---- */

static bool add_object(Configuration *configuration, json_object *arguments, const char *where,
                       GError **errp)
{
    return configuration_add_object(configuration, arguments, where, errp);
}

static bool set_property(Configuration *configuration, json_object *arguments, const char *where,
                         GError **errp)
{
    const char *path = json_object_get_string(json_object_object_get(arguments, "path"));
    const char *property = json_object_get_string(json_object_object_get(arguments, "property"));

    return configuration_set_property(configuration, path, property,
                                      json_object_object_get(arguments, "value"), errp);
}

/* The commands that say what there should be. */
static const struct {
    const char *name;
    bool (*take)(Configuration *configuration, json_object *arguments, const char *where,
                 GError **errp);
} takers[] = {
    { "object-add", add_object },
    { "qom-set", set_property },
};

static bool take_request(Configuration *configuration, QmpRequest *request, const char *where,
                         GError **errp)
{
    const GError *error = qmp_request_get_error(request);
    const char *name = qmp_request_get_command_name(request);

    if (error) {
        if (errp) {
            *errp = g_error_copy(error);
        }
        return false;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(takers); i++) {
        if (strcmp(takers[i].name, name) == 0) {
            return takers[i].take(configuration, qmp_request_get_arguments(request), where, errp);
        }
    }
    return qmp_error_set(errp,
                         "The command %s says nothing about what there should be, as object-add "
                         "and qom-set do",
                         name);
}

/* ---- text ---- */

typedef struct Reading {
    const ConfigFormat *format;
    const char *name;
    Configuration *configuration;
    QmpJsonParser *parser;
    GError *error; /* the first one */
} Reading;

static void unexpected_answer(QmpRequest *request, json_object *value, const GError *error,
                              void *opaque)
{
    g_assert_not_reached();
}

static void take_value(json_object *value, GError *error, void *opaque)
{
    Reading *reading = opaque;
    unsigned line = error ? qmp_json_parser_get_current_line(reading->parser)
                          : qmp_json_parser_get_line(reading->parser);
    g_autofree char *where = g_strdup_printf("%s: line %u", reading->name, line);

    if (reading->error) {
        json_object_put(value);
        g_clear_error(&error);
        return;
    }
    reading->error = error;
    if (!error) {
        QmpRequest *request =
            qmp_request_new(reading->format->registry, value, unexpected_answer, NULL);

        take_request(reading->configuration, request, where, &reading->error);
        qmp_request_free(request);
    }
    if (reading->error) {
        g_prefix_error(&reading->error, "%s: ", where);
    }
}

bool config_text_read(const ConfigFormat *format, const char *name, const char *text, size_t len,
                      Configuration *configuration, GError **errp)
{
    Reading reading = {
        .format = format,
        .name = name,
        .configuration = configuration,
    };

    reading.parser = qmp_json_parser_new(&format->limits, take_value, &reading);
    qmp_json_parser_feed(reading.parser, text, len);
    qmp_json_parser_finish(reading.parser);
    qmp_json_parser_free(reading.parser);
    if (reading.error) {
        g_propagate_error(errp, reading.error);
        return false;
    }
    return true;
}

/* ---- files ---- */

static bool read_file(const ConfigFormat *format, const char *path, Configuration *configuration,
                      GError **errp)
{
    g_autofree char *text = NULL;
    struct stat st;
    gsize len;

    if (stat(path, &st) != 0) {
        return qmp_error_set(errp, "%s: %s", path, g_strerror(errno));
    }
    /* A pipe would hold the main loop. */
    if (!S_ISREG(st.st_mode)) {
        return qmp_error_set(errp, "%s: it is no regular file", path);
    }
    return g_file_get_contents(path, &text, &len, errp) &&
           config_text_read(format, path, text, len, configuration, errp);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted; NULL and @errp. */
static GPtrArray *list_files(const char *directory, GError **errp)
{
    GDir *dir = g_dir_open(directory, 0, errp);
    GPtrArray *names;
    const char *name;

    if (!dir) {
        return NULL;
    }
    names = g_ptr_array_new_with_free_func(g_free);
    while ((name = g_dir_read_name(dir))) {
        if (name[0] != '.' && g_str_has_suffix(name, ".json")) {
            g_ptr_array_add(names, g_strdup(name));
        }
    }
    g_dir_close(dir);
    g_ptr_array_sort(names, compare_names);
    return names;
}

Configuration *config_directory_read(const ConfigFormat *format, const char *directory,
                                     GError **errp)
{
    g_autoptr(Configuration) configuration = configuration_new();
    g_autoptr(GPtrArray) names = list_files(directory, errp);

    if (!names) {
        return NULL;
    }
    for (guint i = 0; i < names->len; i++) {
        g_autofree char *path = g_build_filename(directory, g_ptr_array_index(names, i), NULL);

        if (!read_file(format, path, configuration, errp)) {
            return NULL;
        }
    }
    return g_steal_pointer(&configuration);
}
