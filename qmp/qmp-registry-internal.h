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

struct QmpRegistry {
    GHashTable *commands; /* name -> QmpRegisteredCommand */
    GHashTable *events;   /* name -> const QmpEvent */
};

#endif
