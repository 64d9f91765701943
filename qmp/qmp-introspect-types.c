/*
 * The tables that describe query-qmp-schema's own answer.
 */
#include "config.h"
#include "qmp/qmp-introspect.h"

static const char *const meta_type_values[] = {
    [QMP_META_BUILTIN] = "builtin",     [QMP_META_ENUM] = "enum",
    [QMP_META_ARRAY] = "array",         [QMP_META_OBJECT] = "object",
    [QMP_META_ALTERNATE] = "alternate", [QMP_META_COMMAND] = "command",
    [QMP_META_EVENT] = "event",         NULL,
};
static const QmpType meta_type_enum = {
    .kind = QMP_KIND_ENUM,
    .name = "SchemaMetaType",
    .values = meta_type_values,
};

static const char *const json_type_values[] = {
    [QMP_JSON_STRING] = "string",   [QMP_JSON_NUMBER] = "number", [QMP_JSON_INT] = "int",
    [QMP_JSON_BOOLEAN] = "boolean", [QMP_JSON_NULL] = "null",     [QMP_JSON_OBJECT] = "object",
    [QMP_JSON_ARRAY] = "array",     [QMP_JSON_VALUE] = "value",   NULL,
};
static const QmpType json_type_enum = {
    .kind = QMP_KIND_ENUM,
    .name = "JSONType",
    .values = json_type_values,
};

static const QmpMember schema_info_builtin_members[] = {
    { .name = "json-type",
      .type = &json_type_enum,
      .offset = offsetof(QmpSchemaInfoBuiltin, json_type),
      .help = "the JSON type of such values" },
    { 0 },
};
const QmpType qmp_type_schema_info_builtin = {
    .kind = QMP_KIND_OBJECT,
    .name = "SchemaInfoBuiltin",
    .members = schema_info_builtin_members,
    .size = sizeof(QmpSchemaInfoBuiltin),
};

static const QmpMember schema_info_enum_member_members[] = {
    { .name = "name",
      .type = &qmp_type_str,
      .offset = offsetof(QmpSchemaInfoEnumMember, name),
      .help = "the value" },
    { 0 },
};
const QmpType qmp_type_schema_info_enum_member = {
    .kind = QMP_KIND_OBJECT,
    .name = "SchemaInfoEnumMember",
    .members = schema_info_enum_member_members,
    .size = sizeof(QmpSchemaInfoEnumMember),
};
static const QmpType enum_member_list = { .kind = QMP_KIND_ARRAY,
                                          .element = &qmp_type_schema_info_enum_member };

static const QmpMember schema_info_enum_members[] = {
    { .name = "members",
      .type = &enum_member_list,
      .offset = offsetof(QmpSchemaInfoEnum, members),
      .help = "its values" },
    { .name = "values",
      .type = &qmp_type_str_list,
      .offset = offsetof(QmpSchemaInfoEnum, values),
      .features = QMP_FEATURE_DEPRECATED,
      .help = "the same as plain strings, for older clients" },
    { 0 },
};
const QmpType qmp_type_schema_info_enum = {
    .kind = QMP_KIND_OBJECT,
    .name = "SchemaInfoEnum",
    .members = schema_info_enum_members,
    .size = sizeof(QmpSchemaInfoEnum),
};

static const QmpMember schema_info_array_members[] = {
    { .name = "element-type",
      .type = &qmp_type_str,
      .offset = offsetof(QmpSchemaInfoArray, element_type),
      .help = "the type of its elements" },
    { 0 },
};
const QmpType qmp_type_schema_info_array = {
    .kind = QMP_KIND_OBJECT,
    .name = "SchemaInfoArray",
    .members = schema_info_array_members,
    .size = sizeof(QmpSchemaInfoArray),
};

static const QmpMember schema_info_object_member_members[] = {
    { .name = "name",
      .type = &qmp_type_str,
      .offset = offsetof(QmpSchemaInfoObjectMember, name),
      .help = "its name" },
    { .name = "type",
      .type = &qmp_type_str,
      .offset = offsetof(QmpSchemaInfoObjectMember, type),
      .help = "its type" },
    { .name = "default",
      .type = &qmp_type_any,
      .flags = QMP_MEMBER_MAYBE_ABSENT,
      .offset = offsetof(QmpSchemaInfoObjectMember, default_value),
      .help = "null when the member may be left out" },
    { .name = "features",
      .type = &qmp_type_str_list,
      .flags = QMP_MEMBER_MAYBE_ABSENT,
      .offset = offsetof(QmpSchemaInfoObjectMember, features),
      .help = "as those of a whole entry" },
    { 0 },
};
const QmpType qmp_type_schema_info_object_member = {
    .kind = QMP_KIND_OBJECT,
    .name = "SchemaInfoObjectMember",
    .members = schema_info_object_member_members,
    .size = sizeof(QmpSchemaInfoObjectMember),
};
static const QmpType object_member_list = { .kind = QMP_KIND_ARRAY,
                                            .element = &qmp_type_schema_info_object_member };

static const QmpMember schema_info_object_variant_members[] = {
    { .name = "case",
      .type = &qmp_type_str,
      .offset = offsetof(QmpSchemaInfoObjectVariant, tag_value),
      .help = "a value of the tag" },
    { .name = "type",
      .type = &qmp_type_str,
      .offset = offsetof(QmpSchemaInfoObjectVariant, type),
      .help = "the object type with the members that it adds" },
    { 0 },
};
const QmpType qmp_type_schema_info_object_variant = {
    .kind = QMP_KIND_OBJECT,
    .name = "SchemaInfoObjectVariant",
    .members = schema_info_object_variant_members,
    .size = sizeof(QmpSchemaInfoObjectVariant),
};
static const QmpType object_variant_list = { .kind = QMP_KIND_ARRAY,
                                             .element = &qmp_type_schema_info_object_variant };

static const QmpMember schema_info_object_members[] = {
    { .name = "members",
      .type = &object_member_list,
      .offset = offsetof(QmpSchemaInfoObject, members),
      .help = "its members" },
    { .name = "tag",
      .type = &qmp_type_str,
      .flags = QMP_MEMBER_MAYBE_ABSENT,
      .offset = offsetof(QmpSchemaInfoObject, tag),
      .help = "the member whose value selects a variant" },
    { .name = "variants",
      .type = &object_variant_list,
      .flags = QMP_MEMBER_MAYBE_ABSENT,
      .offset = offsetof(QmpSchemaInfoObject, variants),
      .help = "what each value of the tag adds" },
    { 0 },
};
const QmpType qmp_type_schema_info_object = {
    .kind = QMP_KIND_OBJECT,
    .name = "SchemaInfoObject",
    .members = schema_info_object_members,
    .size = sizeof(QmpSchemaInfoObject),
};

static const QmpMember schema_info_alternate_member_members[] = {
    { .name = "type",
      .type = &qmp_type_str,
      .offset = offsetof(QmpSchemaInfoAlternateMember, type),
      .help = "a type that a value may be of" },
    { 0 },
};
const QmpType qmp_type_schema_info_alternate_member = {
    .kind = QMP_KIND_OBJECT,
    .name = "SchemaInfoAlternateMember",
    .members = schema_info_alternate_member_members,
    .size = sizeof(QmpSchemaInfoAlternateMember),
};
static const QmpType alternate_member_list = { .kind = QMP_KIND_ARRAY,
                                               .element = &qmp_type_schema_info_alternate_member };

static const QmpMember schema_info_alternate_members[] = {
    { .name = "members",
      .type = &alternate_member_list,
      .offset = offsetof(QmpSchemaInfoAlternate, members),
      .help = "the types that a value may be of" },
    { 0 },
};
const QmpType qmp_type_schema_info_alternate = {
    .kind = QMP_KIND_OBJECT,
    .name = "SchemaInfoAlternate",
    .members = schema_info_alternate_members,
    .size = sizeof(QmpSchemaInfoAlternate),
};

static const QmpMember schema_info_command_members[] = {
    { .name = "arg-type",
      .type = &qmp_type_str,
      .offset = offsetof(QmpSchemaInfoCommand, arg_type),
      .help = "the object type of its arguments" },
    { .name = "ret-type",
      .type = &qmp_type_str,
      .offset = offsetof(QmpSchemaInfoCommand, ret_type),
      .help = "the type of its result" },
    { .name = "allow-oob",
      .type = &qmp_type_bool,
      .offset = offsetof(QmpSchemaInfoCommand, allow_oob),
      .help = "whether it may be run out-of-band" },
    { 0 },
};
const QmpType qmp_type_schema_info_command = {
    .kind = QMP_KIND_OBJECT,
    .name = "SchemaInfoCommand",
    .members = schema_info_command_members,
    .size = sizeof(QmpSchemaInfoCommand),
};

static const QmpMember schema_info_event_members[] = {
    { .name = "arg-type",
      .type = &qmp_type_str,
      .offset = offsetof(QmpSchemaInfoEvent, arg_type),
      .help = "the object type of its data" },
    { 0 },
};
const QmpType qmp_type_schema_info_event = {
    .kind = QMP_KIND_OBJECT,
    .name = "SchemaInfoEvent",
    .members = schema_info_event_members,
    .size = sizeof(QmpSchemaInfoEvent),
};

static const QmpType *schema_info_variant(int meta)
{
    static const QmpType *const variants[] = {
        [QMP_META_BUILTIN] = &qmp_type_schema_info_builtin,
        [QMP_META_ENUM] = &qmp_type_schema_info_enum,
        [QMP_META_ARRAY] = &qmp_type_schema_info_array,
        [QMP_META_OBJECT] = &qmp_type_schema_info_object,
        [QMP_META_ALTERNATE] = &qmp_type_schema_info_alternate,
        [QMP_META_COMMAND] = &qmp_type_schema_info_command,
        [QMP_META_EVENT] = &qmp_type_schema_info_event,
    };

    return variants[meta];
}

static const QmpVariants schema_info_variants = {
    .tag = "meta-type",
    .get = schema_info_variant,
};

static const QmpMember schema_info_members[] = {
    { .name = "name",
      .type = &qmp_type_str,
      .offset = offsetof(QmpSchemaInfo, name),
      .help = "its name" },
    { .name = "meta-type",
      .type = &meta_type_enum,
      .offset = offsetof(QmpSchemaInfo, meta_type),
      .help = "what it is" },
    { .name = "features",
      .type = &qmp_type_str_list,
      .flags = QMP_MEMBER_MAYBE_ABSENT,
      .offset = offsetof(QmpSchemaInfo, features),
      .help = "what to know before relying on it: 'deprecated', 'unstable'" },
    { 0 },
};
const QmpType qmp_type_schema_info = {
    .kind = QMP_KIND_OBJECT,
    .name = "SchemaInfo",
    .members = schema_info_members,
    .variants = &schema_info_variants,
    .size = sizeof(QmpSchemaInfo),
};

const QmpType qmp_type_schema_info_list = {
    .kind = QMP_KIND_ARRAY,
    .element = &qmp_type_schema_info,
};
