/*
 * The registry of object types: what is made of the table.
 */
#include "config.h"
#include "objects/object-types.h"

const QmpType object_type_enum = {
    .kind = QMP_KIND_ENUM,
    .name = "ObjectType",
    .values = object_type_names,
};

static const QmpType *properties_of(int index)
{
    return object_types[index]->properties;
}

const QmpVariants object_type_variants = {
    .tag = "qom-type",
    .get = properties_of,
};

const ObjectType *object_type_find(const char *name)
{
    int index = qmp_enum_parse(&object_type_enum, name);

    return index >= 0 ? object_types[index] : NULL;
}

void object_types_register(QmpRegistry *registry, ObjectTree *tree)
{
    qmp_registry_add_commands(registry, object_commands, tree);
    qmp_registry_add_commands(registry, qom_commands, tree);
    qmp_registry_add_events(registry, object_events);
    for (size_t i = 0; object_types[i]; i++) {
        if (object_types[i]->commands) {
            qmp_registry_add_commands(registry, object_types[i]->commands, tree);
        }
        if (object_types[i]->events) {
            qmp_registry_add_events(registry, object_types[i]->events);
        }
    }
}
