/*
 * The inside of the registry, shared with the introspection.
 */
#ifndef QMP_QMP_REGISTRY_INTERNAL_H
#define QMP_QMP_REGISTRY_INTERNAL_H

#include "qmp/qmp-command.h"

typedef struct QmpRegisteredCommand {
    const QmpCommand *command;
    void *opaque;
} QmpRegisteredCommand;

typedef struct QmpSchemaText QmpSchemaText;

struct QmpRegistry {
    GHashTable *commands; /* name -> QmpRegisteredCommand */
    GHashTable *events;   /* name -> const QmpEvent */
    QmpSchemaText *schema_text;
};

/* ---- qmp-schema-text.c ---- */

QmpSchemaText *qmp_schema_text_new(void);
void qmp_schema_text_free(QmpSchemaText *self);

/* A table has been added: the text is made anew when it is next asked for. */
void qmp_schema_text_forget(QmpSchemaText *self);

#endif
