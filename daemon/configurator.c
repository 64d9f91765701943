/*
 * Applying configurations, one at a time.
 */
#include "config.h"
#include "daemon/configurator.h"

#include "loop/main-loop.h"
#include "objects/configuration-change.h"
#include "qmp/qmp-error.h"
#include "qmp/qmp-log.h"

/* One configuration, to be applied. */
typedef struct Job {
    Configurator *owner;
    Configuration *configuration; /* NULL: the directory's */
    bool dry_run;
    void (*begun)(void *opaque);
    ConfiguratorFunc *done;
    void *opaque;
    Difference *difference;
    json_object *result;
} Job;

struct Configurator {
    ObjectTree *tree;
    ConfigFormat format;
    const char *directory;
    GQueue jobs; /* of Job; the first is under way */
    bool stopped;
};

static void begin(void *opaque);

/* ---- the log ---- */

static size_t count(const Job *job, const char *member)
{
    return json_object_array_length(json_object_object_get(job->result, member));
}

static void log_result(const Job *job, const GError *error)
{
    size_t added, removed, replaced, changed, adopted;

    if (error) {
        qmp_log(QMP_LOG_CONFIGURATION_REFUSED, &(QmpLogFields){ .reason = error->message },
                "configuration: not applied: %s", error->message);
        return;
    }
    added = count(job, "added");
    removed = count(job, "removed");
    replaced = count(job, "replaced");
    changed = count(job, "changed");
    adopted = count(job, "adopted");
    if (added + removed + replaced + changed + adopted == 0) {
        qmp_log(QMP_LOG_CONFIGURATION_APPLIED, NULL, "configuration: nothing to change");
    } else {
        qmp_log(QMP_LOG_CONFIGURATION_APPLIED, NULL,
                "configuration: applied: objects %zu added, %zu deleted, %zu replaced, %zu "
                "adopted; %zu properties set",
                added, removed, replaced, adopted, changed);
    }
}

/* ---- jobs ---- */

static void job_free(Job *job)
{
    g_clear_pointer(&job->configuration, configuration_free);
    g_clear_pointer(&job->difference, difference_free);
    json_object_put(job->result);
    g_free(job);
}

static void finish(const GError *error, void *opaque)
{
    Job *job = opaque;
    Configurator *self = job->owner;

    if (!job->dry_run) {
        log_result(job, error);
    }
    job->done(error ? NULL : job->result, error, job->opaque);
    g_queue_pop_head(&self->jobs);
    job_free(job);
    if (!g_queue_is_empty(&self->jobs)) {
        aio_bh_schedule_oneshot(qemu_get_aio_context(), begin, self);
    }
}

static bool prepare(Job *job, GError **errp)
{
    const Configurator *self = job->owner;

    if (self->stopped) {
        return qmp_error_set(errp, "The daemon is about to end");
    }
    if (!job->configuration) {
        if (!self->directory) {
            return qmp_error_set(errp, "There is no configuration directory, for the daemon was "
                                       "started without --config-dir");
        }
        job->configuration = config_directory_read(&self->format, self->directory, errp);
    }
    job->difference =
        job->configuration ? difference_new(self->tree, job->configuration, errp) : NULL;
    if (job->difference) {
        job->result = difference_to_json(job->difference);
    }
    return job->difference != NULL;
}

static void begin(void *opaque)
{
    Configurator *self = opaque;
    Job *job = g_queue_peek_head(&self->jobs);
    g_autoptr(GError) error = NULL;

    if (job->begun && !self->stopped) {
        job->begun(job->opaque);
    }
    if (!prepare(job, &error) || job->dry_run) {
        finish(error, job);
    } else {
        configuration_change(self->tree, job->difference, finish, job);
    }
}

static void add_job(Configurator *self, Job job)
{
    job.owner = self;
    g_queue_push_tail(&self->jobs, g_memdup2(&job, sizeof(job)));
    if (self->jobs.length == 1) {
        aio_bh_schedule_oneshot(qemu_get_aio_context(), begin, self);
    }
}

void configurator_reload(Configurator *self, void (*begun)(void *opaque), ConfiguratorFunc *done,
                         void *opaque)
{
    add_job(self, (Job){ .begun = begun, .done = done, .opaque = opaque });
}

void configurator_apply(Configurator *self, Configuration *configuration, bool dry_run,
                        ConfiguratorFunc *done, void *opaque)
{
    add_job(self, (Job){
                      .configuration = configuration,
                      .dry_run = dry_run,
                      .done = done,
                      .opaque = opaque,
                  });
}

void configurator_stop(Configurator *self)
{
    self->stopped = true;
}

bool configurator_is_busy(const Configurator *self)
{
    return self->jobs.length > 0;
}

const ConfigFormat *configurator_get_format(const Configurator *self)
{
    return &self->format;
}

Configurator *configurator_new(ObjectTree *tree, const ConfigFormat *format, const char *directory)
{
    Configurator *self = g_new0(Configurator, 1);

    self->tree = tree;
    self->format = *format;
    self->directory = directory;
    g_queue_init(&self->jobs);
    return self;
}

void configurator_free(Configurator *self)
{
    g_assert(!configurator_is_busy(self));
    g_free(self);
}
