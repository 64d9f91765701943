/*
 * query-qmp-schema: the registry's tables as a list of SchemaInfo.
 *
 * Commands and events refer to types by name, and each type that is reached that way is described
 * once. The order is that of the names for commands and events, and that of the first reference for
 * types, so it is the same each time. Names of types are not part of the interface: QEMU makes
 * numbers of them so that no client goes by them; here they stay readable.
 */
#include "config.h"
#include "qmp/qmp-introspect.h"

typedef struct Introspection {
    json_object *list;
    GHashTable *names; /* of the types that are described or about to be; owns the strings */
    GQueue todo;       /* of const QmpType: named, not yet described */
} Introspection;

/* The name of @type in the schema; the caller frees it. */
static char *type_name(const QmpType *type)
{
    if (type->kind == QMP_KIND_ARRAY) {
        g_autofree char *element = type_name(type->element);

        return g_strdup_printf("[%s]", element);
    }
    return g_strdup(type->name);
}

/* Refer to @type by its name, which is returned, and see to it that it is described. */
static char *refer(Introspection *self, const QmpType *type)
{
    char *name = type_name(type);
    gpointer known = NULL;

    if (g_hash_table_lookup_extended(self->names, name, &known, NULL)) {
        g_free(name);
        return known;
    }
    g_hash_table_add(self->names, name);
    g_queue_push_tail(&self->todo, (gpointer)type);
    return name;
}

/* The names of @features, a new reference; NULL when there are none. */
static json_object *describe_features(unsigned features)
{
    static const struct {
        unsigned feature;
        const char *name;
    } names[] = {
        { QMP_FEATURE_DEPRECATED, "deprecated" },
        { QMP_FEATURE_UNSTABLE, "unstable" },
    };
    json_object *list = features ? json_object_new_array() : NULL;

    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        if (features & names[i].feature) {
            json_object_array_add(list, json_object_new_string(names[i].name));
        }
    }
    return list;
}

/* Append an entry: the members common to all, and those of @type out of @data. */
static void append(Introspection *self, const char *name, QmpMetaType meta, unsigned features,
                   const QmpType *type, const void *data)
{
    QmpSchemaInfo info = {
        .name = (char *)name,
        .meta_type = (int)meta,
        .features = describe_features(features),
    };
    json_object *entry = qmp_marshal(&qmp_type_schema_info, &info);

    json_object_put(info.features);
    qmp_marshal_into(type, data, entry);
    json_object_array_add(self->list, entry);
}

static void describe_builtin(Introspection *self, const QmpType *type, const char *name)
{
    static const QmpJsonType json_types[] = {
        [QMP_KIND_ANY] = QMP_JSON_VALUE, [QMP_KIND_BOOL] = QMP_JSON_BOOLEAN,
        [QMP_KIND_INT] = QMP_JSON_INT,   [QMP_KIND_STR] = QMP_JSON_STRING,
        [QMP_KIND_NULL] = QMP_JSON_NULL,
    };
    QmpSchemaInfoBuiltin info = { .json_type = (int)json_types[type->kind] };

    append(self, name, QMP_META_BUILTIN, type->features, &qmp_type_schema_info_builtin, &info);
}

static void describe_enum(Introspection *self, const QmpType *type, const char *name)
{
    QmpSchemaInfoEnum info = {
        .members = json_object_new_array(),
        .values = json_object_new_array(),
    };

    for (int i = 0; type->values[i]; i++) {
        QmpSchemaInfoEnumMember member = { .name = (char *)type->values[i] };

        json_object_array_add(info.members,
                              qmp_marshal(&qmp_type_schema_info_enum_member, &member));
        json_object_array_add(info.values, json_object_new_string(type->values[i]));
    }
    append(self, name, QMP_META_ENUM, type->features, &qmp_type_schema_info_enum, &info);
    qmp_unbind(&qmp_type_schema_info_enum, &info);
}

static void describe_str_or_null(Introspection *self, const char *name)
{
    static const QmpType *const types[] = { &qmp_type_str, &qmp_type_null };
    QmpSchemaInfoAlternate info = { .members = json_object_new_array() };

    for (size_t i = 0; i < G_N_ELEMENTS(types); i++) {
        QmpSchemaInfoAlternateMember member = { .type = refer(self, types[i]) };

        json_object_array_add(info.members,
                              qmp_marshal(&qmp_type_schema_info_alternate_member, &member));
    }
    append(self, name, QMP_META_ALTERNATE, 0, &qmp_type_schema_info_alternate, &info);
    json_object_put(info.members);
}

/* Append to @list the members that @type has, as part of @whole. */
static void describe_members(Introspection *self, const QmpType *type, const QmpType *whole,
                             json_object *list)
{
    static const char *const default_name = "default";

    if (type->base) {
        describe_members(self, type->base, whole, list);
    }
    for (const QmpMember *member = type->members; member && member->name; member++) {
        QmpSchemaInfoObjectMember info = { .name = (char *)member->name };
        json_object *entry;

        if ((member->flags & QMP_MEMBER_READ_ONLY) && !whole->is_result) {
            continue;
        }
        info.type = refer(self, member->type);
        info.features = describe_features(member->features);
        entry = qmp_marshal(&qmp_type_schema_info_object_member, &info);
        json_object_put(info.features);
        if (qmp_member_is_optional(whole, member)) {
            /* The format knows only that there is a default: null, whatever its value. */
            json_object_object_add(entry, default_name, NULL);
        }
        json_object_array_add(list, entry);
    }
}

static json_object *describe_variants(Introspection *self, const QmpType *type)
{
    const QmpType *tag = qmp_type_find_member(type, type->variants->tag)->type;
    json_object *list = json_object_new_array();

    for (int i = 0; tag->values[i]; i++) {
        const QmpType *variant = type->variants->get(i);
        QmpSchemaInfoObjectVariant info = {
            .tag_value = (char *)tag->values[i],
            .type = refer(self, variant ? variant : &qmp_type_empty),
        };

        json_object_array_add(list, qmp_marshal(&qmp_type_schema_info_object_variant, &info));
    }
    return list;
}

static void describe_object(Introspection *self, const QmpType *type, const char *name)
{
    QmpSchemaInfoObject info = { .members = json_object_new_array() };

    describe_members(self, type, type, info.members);
    if (type->variants) {
        info.tag = (char *)type->variants->tag;
        info.variants = describe_variants(self, type);
    }
    append(self, name, QMP_META_OBJECT, type->features, &qmp_type_schema_info_object, &info);
    json_object_put(info.members);
    json_object_put(info.variants);
}

static void describe_type(Introspection *self, const QmpType *type)
{
    g_autofree char *name = type_name(type);

    switch (type->kind) {
    case QMP_KIND_ANY:
    case QMP_KIND_BOOL:
    case QMP_KIND_INT:
    case QMP_KIND_STR:
    case QMP_KIND_NULL:
        describe_builtin(self, type, name);
        break;
    case QMP_KIND_STR_OR_NULL:
        describe_str_or_null(self, name);
        break;
    case QMP_KIND_ENUM:
        describe_enum(self, type, name);
        break;
    case QMP_KIND_ARRAY: {
        QmpSchemaInfoArray info = { .element_type = refer(self, type->element) };

        append(self, name, QMP_META_ARRAY, type->features, &qmp_type_schema_info_array, &info);
        break;
    }
    case QMP_KIND_OBJECT:
        describe_object(self, type, name);
        break;
    }
}

static void describe_command(const QmpCommand *command, void *data)
{
    Introspection *self = data;
    QmpSchemaInfoCommand info = {
        .arg_type = refer(self, command->args),
        .ret_type = refer(self, command->ret),
        .allow_oob = command->flags & QMP_COMMAND_ALLOW_OOB,
    };

    append(self, command->name, QMP_META_COMMAND, command->features, &qmp_type_schema_info_command,
           &info);
}

static void describe_event(const QmpEvent *event, void *data)
{
    Introspection *self = data;
    QmpSchemaInfoEvent info = { .arg_type = refer(self, event->data) };

    append(self, event->name, QMP_META_EVENT, event->features, &qmp_type_schema_info_event, &info);
}

json_object *qmp_registry_introspect(const QmpRegistry *registry)
{
    Introspection self = {
        .list = json_object_new_array(),
        .names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
        .todo = G_QUEUE_INIT,
    };
    const QmpType *type;

    qmp_registry_foreach_command(registry, describe_command, &self);
    qmp_registry_foreach_event(registry, describe_event, &self);
    while ((type = g_queue_pop_head(&self.todo))) {
        describe_type(&self, type);
    }
    g_hash_table_unref(self.names);
    return self.list;
}
