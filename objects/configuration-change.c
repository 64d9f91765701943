/*
 * Going over to a configuration: doing what is planned, and undoing it.
 */
#include "config.h"
#include "objects/configuration-change.h"

#include "loop/main-loop.h"
#include "objects/configuration-plan.h"
#include "qmp/qmp-error.h"
#include "qmp/qmp-json.h"
#include "qmp/qmp-log.h"

typedef struct ConfigurationChange ConfigurationChange;

struct ConfigurationChange {
    ObjectTree *tree;
    const Difference *difference;
    Phase phase;
    GQueue steps[PHASE_END]; /* of Step: to be done */
    GQueue deferred;         /* of Step: what could not be added before something has gone */
    GQueue done_steps;       /* of Step: the last one first */
    GHashTable *referred;    /* the ids that others are to refer to */
    guint refused;           /* steps of a phase in a row */
    Step *step;              /* that waits for its object */
    bool scheduled;          /* go_on() will be called */
    GError *error;           /* why it is undone; NULL: it is not */
    void (*done)(const GError *error, void *opaque);
    void *opaque;
};

static void go_on(void *opaque);

/* Let the main loop have its turn, then take the next step. */
static void schedule(ConfigurationChange *self)
{
    if (!self->scheduled) {
        self->scheduled = true;
        aio_bh_schedule_oneshot(qemu_get_aio_context(), go_on, self);
    }
}

static void step_is_settled(void *opaque)
{
    schedule(opaque);
}

/* ---- references ---- */

static void note_reference(const QmpMember *property, const char *id, void *referred)
{
    g_hash_table_add(referred, (char *)id);
}

/* All ids that objects are to refer to. */
static GHashTable *find_referred(const Difference *difference)
{
    GHashTable *referred = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint i = 0; i < difference->entries->len; i++) {
        const DifferenceEntry *entry = g_ptr_array_index(difference->entries, i);

        if (entry->type) {
            object_values_foreach_reference(entry->type, entry->wants, NULL, note_reference,
                                            referred);
        }
    }
    return referred;
}

/* ---- the log ---- */

static char *show(json_object *value)
{
    g_autoptr(GString) text = g_string_new(NULL);

    qmp_json_write(text, value);
    return g_strdup(text->str);
}

static QmpLogFields log_fields(const DifferenceEntry *entry, const ObjectType *type)
{
    return (QmpLogFields){ .object = entry->id, .type = type->name };
}

static void log_set(const PropertyChange *change, bool undone)
{
    g_autofree char *from = show(undone ? change->to : change->from);
    g_autofree char *to = show(undone ? change->from : change->to);
    QmpLogMessage message = change->for_now ? QMP_LOG_PROPERTY_SET_FOR_NOW : QMP_LOG_PROPERTY_SET;
    QmpLogFields fields = log_fields(change->entry, change->entry->type);

    fields.property = change->property->name;
    qmp_log(message, &fields, "configuration: %s%s '%s': '%s' set from %s to %s",
            undone ? "undone: " : "", fields.type, fields.object, fields.property, from, to);
}

static void log_step(const Step *step)
{
    const DifferenceEntry *entry = step->entry;
    QmpLogFields fields;

    if (step->change) {
        log_set(step->change, false);
    } else if (step->phase != PHASE_DELETE) {
        fields = log_fields(entry, entry->type);
        qmp_log(QMP_LOG_OBJECT_ADDED, &fields, "configuration: %s '%s' added", fields.type,
                fields.object);
    } else if (entry->kind == DIFFERENCE_REPLACE) {
        fields = log_fields(entry, entry->former);
        fields.property = entry->property ? entry->property->name : NULL;
        qmp_log(QMP_LOG_OBJECT_DELETED, &fields,
                "configuration: %s '%s' deleted, to be added anew: its %s differs", fields.type,
                fields.object, entry->property ? entry->property->name : "type");
    } else {
        fields = log_fields(entry, entry->former);
        qmp_log(QMP_LOG_OBJECT_DELETED, &fields, "configuration: %s '%s' deleted", fields.type,
                fields.object);
    }
}

static void step_is_done(Step *step)
{
    ConfigurationChange *self = step->owner;

    log_step(step);
    self->refused = 0;
    g_queue_push_head(&self->done_steps, step);
}

/* ---- steps ---- */

static void fail(ConfigurationChange *self, const DifferenceEntry *entry, GError *error)
{
    if (entry->where) {
        g_prefix_error(&error, "%s: ", entry->where);
    }
    self->error = error;
    schedule(self);
}

static Object *add(ConfigurationChange *self, const ObjectType *type, const char *id,
                   json_object *values, GError **errp)
{
    Object *object = object_create(self->tree, type, id, values, NULL, errp);

    if (object) {
        object->configured = true;
    }
    return object;
}

/* Whether what was refused now may work when others of its type have gone. */
static bool may_be_deferred(ConfigurationChange *self, const Step *step)
{
    bool others_go = false;

    if (step->phase != PHASE_ADD || g_hash_table_contains(self->referred, step->entry->id)) {
        return false;
    }
    for (GList *l = self->steps[PHASE_DELETE].head; l; l = l->next) {
        others_go = others_go || ((Step *)l->data)->entry->former == step->entry->type;
    }
    return others_go;
}

static void step_add(ConfigurationChange *self, Step *step)
{
    const DifferenceEntry *entry = step->entry;
    GError *error = NULL;
    Object *object = add(self, entry->type, entry->id, entry->wants, &error);

    if (object) {
        step_is_done(step);
        object_when_settled(object, step_is_settled, self);
    } else if (may_be_deferred(self, step)) {
        g_error_free(error);
        step->phase = PHASE_ADD_LATE;
        g_queue_push_tail(&self->deferred, step);
        schedule(self);
    } else {
        step_free(step);
        fail(self, entry, error);
    }
}

static bool set(ConfigurationChange *self, const PropertyChange *change, bool undo, GError **errp)
{
    const QmpMember *property = change->property;
    json_object *value = undo ? change->from : change->to;

    return object_set_property(object_find(self->tree, change->entry->id), property->name, value,
                               errp);
}

static void set_settled(void *opaque)
{
    ConfigurationChange *self = opaque;
    Step *step = g_steal_pointer(&self->step);
    const DifferenceEntry *entry = step->entry;
    GQueue *queue = &self->steps[step->phase];
    GError *error = NULL;

    if (set(self, step->change, false, &error)) {
        step_is_done(step);
        object_when_settled(object_find(self->tree, entry->id), step_is_settled, self);
        return;
    }
    /* What another property of it, or of another object, has to make room for. */
    g_queue_push_tail(queue, step);
    self->refused++;
    if (self->refused < queue->length) {
        g_error_free(error);
        schedule(self);
    } else {
        fail(self, entry, error);
    }
}

static void step_set(ConfigurationChange *self, Step *step)
{
    self->step = step;
    object_when_settled(object_find(self->tree, step->entry->id), set_settled, self);
}

static void object_is_gone(void *opaque)
{
    Step *step = opaque;
    ConfigurationChange *self = step->owner;

    g_queue_remove(&self->steps[PHASE_DELETE], step);
    step_is_done(step);
    schedule(self);
}

/* What is to be deleted is still used: by what has been moved away from it, but has not got there
 * yet. */
static void wait_for_users(ConfigurationChange *self, Step *step)
{
    Object *object = object_find(self->tree, step->entry->id);
    GError *error = NULL;

    for (guint i = 0; i < object->users->len; i++) {
        Object *user = g_ptr_array_index(object->users, i);

        if (!object_is_settled(user)) {
            object_when_settled(user, step_is_settled, self);
            return;
        }
    }
    object_delete(object, step_is_settled, self, &error);
    fail(self, step->entry, error);
}

/* Begin to delete all that nothing needs. Those that drain do so together. */
static void delete_unused(ConfigurationChange *self)
{
    g_autoptr(GPtrArray) unused = g_ptr_array_new();
    bool begun = false;

    for (GList *l = self->steps[PHASE_DELETE].head; l; l = l->next) {
        Step *step = l->data;

        begun = begun || step->begun;
        if (!step->begun && object_find(self->tree, step->entry->id)->users->len == 0) {
            g_ptr_array_add(unused, step);
        }
    }
    if (!begun && unused->len == 0) {
        wait_for_users(self, g_queue_peek_head(&self->steps[PHASE_DELETE]));
    }
    for (guint i = 0; i < unused->len; i++) {
        Step *step = g_ptr_array_index(unused, i);

        step->begun = true;
        object_delete(object_find(self->tree, step->entry->id), object_is_gone, step, NULL);
    }
}

/* ---- undoing ---- */

static void warn_not_undone(const Step *step, const char *what, GError *error)
{
    const DifferenceEntry *entry = step->entry;
    QmpLogFields fields = log_fields(entry, entry->type ? entry->type : entry->former);

    fields.property = step->change ? step->change->property->name : NULL;
    fields.reason = error->message;
    qmp_log(QMP_LOG_CONFIGURATION_NOT_UNDONE, &fields, "configuration: '%s'%s%s can't be %s: %s",
            fields.object, step->change ? ": " : "", step->change ? fields.property : "", what,
            fields.reason);
    g_error_free(error);
}

static void undo_set_settled(void *opaque)
{
    ConfigurationChange *self = opaque;
    Step *step = g_steal_pointer(&self->step);
    Object *object = object_find(self->tree, step->entry->id);
    GError *error = NULL;

    if (set(self, step->change, true, &error)) {
        log_set(step->change, true);
    } else {
        warn_not_undone(step, "set back", error);
    }
    step_free(step);
    object_when_settled(object, step_is_settled, self);
}

static void undo_set(ConfigurationChange *self, Step *step)
{
    Object *object = object_find(self->tree, step->entry->id);

    if (object) {
        self->step = step;
        object_when_settled(object, undo_set_settled, self);
    } else {
        step_free(step);
        schedule(self);
    }
}

static void undo_delete(ConfigurationChange *self, Step *step)
{
    const DifferenceEntry *entry = step->entry;
    GError *error = NULL;
    Object *object = add(self, entry->former, entry->id, entry->has, &error);

    if (object) {
        QmpLogFields fields = log_fields(entry, entry->former);

        qmp_log(QMP_LOG_OBJECT_ADDED, &fields, "configuration: undone: %s '%s' added anew",
                fields.type, fields.object);
        object_when_settled(object, step_is_settled, self);
    } else {
        warn_not_undone(step, "brought back", error);
        schedule(self);
    }
    step_free(step);
}

static void undo_add(ConfigurationChange *self, Step *step)
{
    Object *object = object_find(self->tree, step->entry->id);
    GError *error = NULL;

    if (object && object_delete(object, step_is_settled, self, &error)) {
        QmpLogFields fields = log_fields(step->entry, step->entry->type);

        qmp_log(QMP_LOG_OBJECT_DELETED, &fields, "configuration: undone: %s '%s' deleted",
                fields.type, fields.object);
    } else {
        if (error) {
            warn_not_undone(step, "deleted", error);
        }
        schedule(self);
    }
    step_free(step);
}

static void undo(ConfigurationChange *self, Step *step)
{
    if (step->change) {
        undo_set(self, step);
    } else if (step->phase == PHASE_DELETE) {
        undo_delete(self, step);
    } else {
        undo_add(self, step);
    }
}

/* ---- the way ---- */

static void mark_configured(const ConfigurationChange *self)
{
    for (guint i = 0; i < self->difference->entries->len; i++) {
        const DifferenceEntry *entry = g_ptr_array_index(self->difference->entries, i);

        if (entry->type) {
            object_find(self->tree, entry->id)->configured = true;
        }
    }
}

static void finish(ConfigurationChange *self)
{
    if (!self->error) {
        mark_configured(self);
    }
    object_tree_release(self->tree);
    self->done(self->error, self->opaque);
    for (int phase = 0; phase < PHASE_END; phase++) {
        g_queue_clear_full(&self->steps[phase], (GDestroyNotify)step_free);
    }
    g_queue_clear_full(&self->deferred, (GDestroyNotify)step_free);
    g_queue_clear_full(&self->done_steps, (GDestroyNotify)step_free);
    g_hash_table_unref(self->referred);
    g_clear_error(&self->error);
    g_free(self);
}

static void next_phase(ConfigurationChange *self)
{
    Step *step;

    self->phase++;
    self->refused = 0;
    /* They keep their order, and nothing among the late ones was to come before them. */
    while (self->phase == PHASE_ADD_LATE && (step = g_queue_pop_tail(&self->deferred))) {
        g_queue_push_head(&self->steps[PHASE_ADD_LATE], step);
    }
}

static void do_next(ConfigurationChange *self)
{
    while (self->phase < PHASE_END && g_queue_is_empty(&self->steps[self->phase])) {
        next_phase(self);
    }
    switch (self->phase) {
    case PHASE_ADD:
    case PHASE_ADD_LATE:
        step_add(self, g_queue_pop_head(&self->steps[self->phase]));
        break;
    case PHASE_SET:
    case PHASE_SET_LATE:
        step_set(self, g_queue_pop_head(&self->steps[self->phase]));
        break;
    case PHASE_DELETE:
        delete_unused(self);
        break;
    case PHASE_END:
        finish(self);
        break;
    }
}

static void go_on(void *opaque)
{
    ConfigurationChange *self = opaque;

    self->scheduled = false;
    if (!self->error) {
        do_next(self);
    } else if (g_queue_is_empty(&self->done_steps) || object_tree_goes_on(self->tree)) {
        /* A start that fails is undone by its end, which keeps what was kept. */
        finish(self);
    } else {
        undo(self, g_queue_pop_head(&self->done_steps));
    }
}

void configuration_change(ObjectTree *tree, const Difference *difference,
                          void (*done)(const GError *error, void *opaque), void *opaque)
{
    ConfigurationChange *self = g_new0(ConfigurationChange, 1);

    self->tree = tree;
    self->difference = difference;
    self->done = done;
    self->opaque = opaque;
    self->referred = find_referred(difference);
    for (int phase = 0; phase < PHASE_END; phase++) {
        g_queue_init(&self->steps[phase]);
    }
    g_queue_init(&self->deferred);
    g_queue_init(&self->done_steps);
    object_tree_reserve(tree);
    configuration_plan(difference, self->steps, self);
    schedule(self);
}
