/*
 * --object and --config: requests that come from no session. --config-dir: the first configuration.
 */
#include "config.h"
#include "daemon/startup.h"

#include <string.h>

#include "loop/main-loop.h"
#include "qmp/qmp-error.h"
#include "qmp/qmp-request.h"

typedef struct Answer {
    bool given;
    GError *error; /* NULL: it succeeded */
} Answer;

static void take_answer(QmpRequest *request, json_object *value, const GError *error, void *opaque)
{
    Answer *answer = opaque;

    answer->given = true;
    answer->error = error ? g_error_copy(error) : NULL;
}

/* Run the request @value, which is taken over, and wait for its answer. */
static bool run_request(const QmpRegistry *registry, json_object *value, GError **errp)
{
    Answer answer = { 0 };

    qmp_request_run(qmp_request_new(registry, value, take_answer, &answer));
    while (!answer.given) {
        main_loop_wait(false);
    }
    if (answer.error) {
        g_propagate_error(errp, answer.error);
        return false;
    }
    return true;
}

bool startup_add_object(const QmpRegistry *registry, json_object *arguments, GError **errp)
{
    json_object *request = json_object_new_object();

    json_object_object_add(request, "execute", json_object_new_string("object-add"));
    json_object_object_add(request, "arguments", arguments);
    return run_request(registry, request, errp);
}

static bool run_object(const QmpRegistry *registry, const char *text, GError **errp)
{
    json_object *arguments = object_option_parse(text, errp);

    if (arguments && startup_add_object(registry, arguments, errp)) {
        return true;
    }
    g_prefix_error(errp, "--object %s: ", text);
    return false;
}

typedef struct ConfigRun {
    const QmpRegistry *registry;
    QmpJsonParser *parser;
    const char *file;
    GError *error; /* the first one */
} ConfigRun;

static void run_config_value(json_object *value, GError *error, void *opaque)
{
    ConfigRun *run = opaque;
    unsigned line = qmp_json_parser_get_line(run->parser);

    if (run->error) {
        json_object_put(value);
        g_clear_error(&error);
        return;
    }
    if (error) {
        line = qmp_json_parser_get_current_line(run->parser);
        run->error = error;
    } else {
        run_request(run->registry, value, &run->error);
    }
    if (run->error) {
        g_prefix_error(&run->error, "--config %s: line %u: ", run->file, line);
    }
}

static bool run_config(const QmpRegistry *registry, const Options *options, const char *file,
                       GError **errp)
{
    ConfigRun run = { .registry = registry, .file = file };
    g_autofree char *text = NULL;
    gsize len;

    if (!g_file_get_contents(file, &text, &len, errp)) {
        g_prefix_error(errp, "--config: ");
        return false;
    }
    run.parser = qmp_json_parser_new(&options->limits, run_config_value, &run);
    qmp_json_parser_feed(run.parser, text, len);
    qmp_json_parser_finish(run.parser);
    qmp_json_parser_free(run.parser);
    if (run.error) {
        g_propagate_error(errp, run.error);
        return false;
    }
    return true;
}

static void take_result(json_object *difference, const GError *error, void *opaque)
{
    take_answer(NULL, NULL, error, opaque);
}

static bool run_config_dir(Configurator *configurator, GError **errp)
{
    Answer answer = { 0 };

    configurator_reload(configurator, NULL, take_result, &answer);
    while (!answer.given) {
        main_loop_wait(false);
    }
    if (answer.error) {
        g_propagate_prefixed_error(errp, answer.error, "--config-dir: ");
        return false;
    }
    return true;
}

static bool run_item(const StartupOption *item, const Options *options, const QmpRegistry *registry,
                     Configurator *configurator, GError **errp)
{
    switch (item->kind) {
    case STARTUP_OBJECT:
        return run_object(registry, item->text, errp);
    case STARTUP_CONFIG:
        return run_config(registry, options, item->text, errp);
    case STARTUP_CONFIG_DIR:
        return run_config_dir(configurator, errp);
    }
    g_assert_not_reached();
}

bool startup_run(const Options *options, const QmpRegistry *registry, Configurator *configurator,
                 GError **errp)
{
    for (guint i = 0; i < options->startup->len; i++) {
        if (!run_item(g_ptr_array_index(options->startup, i), options, registry, configurator,
                      errp)) {
            return false;
        }
    }
    return true;
}
