/*
 * The registry of object types: adding one is a line here.
 */
#include "config.h"
#include "objects/object-types.h"

#include <string.h>

const ObjectType *const object_types[] = {
    &iothread_type,
    NULL,
};

/* The names of the types above, filled in before main() begins. */
static const char *type_names[G_N_ELEMENTS(object_types)];

__attribute__((constructor)) static void collect_names(void)
{
    for (size_t i = 0; object_types[i]; i++) {
        type_names[i] = object_types[i]->name;
    }
}

const QmpType object_type_enum = {
    .kind = QMP_KIND_ENUM,
    .name = "ObjectType",
    .values = type_names,
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
