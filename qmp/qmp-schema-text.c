/*
 * query-qmp-schema's answer as text: made at the first query of it, kept for all further ones. It
 * depends on nothing but the registry's tables, and is forgotten when a table is added.
 */
#include "config.h"
#include "qmp/qmp-introspect.h"
#include "qmp/qmp-json.h"
#include "qmp/qmp-registry-internal.h"

#include <pthread.h>

struct QmpSchemaText {
    pthread_mutex_t lock; /* guards the text, until it is there */
    GString *text;        /* NULL: not made yet */
};

QmpSchemaText *qmp_schema_text_new(void)
{
    QmpSchemaText *self = g_new0(QmpSchemaText, 1);

    pthread_mutex_init(&self->lock, NULL);
    return self;
}

void qmp_schema_text_forget(QmpSchemaText *self)
{
    if (self->text) {
        g_string_free(self->text, TRUE);
        self->text = NULL;
    }
}

void qmp_schema_text_free(QmpSchemaText *self)
{
    qmp_schema_text_forget(self);
    pthread_mutex_destroy(&self->lock);
    g_free(self);
}

/* As long as it is, and no longer: it stays. */
static GString *make_text(const QmpRegistry *registry)
{
    g_autoptr(json_object) schema = qmp_registry_introspect(registry);
    g_autoptr(GString) text = g_string_new(NULL);

    qmp_json_write(text, schema);
    return g_string_new_len(text->str, (gssize)text->len);
}

const char *qmp_registry_schema_text(const QmpRegistry *registry, size_t *len)
{
    QmpSchemaText *self = registry->schema_text;
    const GString *text;

    pthread_mutex_lock(&self->lock);
    if (!self->text) {
        self->text = make_text(registry);
    }
    text = self->text;
    pthread_mutex_unlock(&self->lock);
    *len = text->len;
    return text->str;
}
