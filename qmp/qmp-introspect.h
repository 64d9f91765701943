/*
 * query-qmp-schema: the registry's tables in the introspection format of QEMU's QAPI
 * (in QEMU's documentation: docs/devel/qapi-code-gen, "Client introspection").
 */
#ifndef QMP_QMP_INTROSPECT_H
#define QMP_QMP_INTROSPECT_H

#include "qmp/qmp-command.h"

/* The type of the answer: ['SchemaInfo']. */
extern const QmpType qmp_type_schema_info_list;

/* The answer: every command, event and type in @registry. The caller owns the reference. Any
 * thread. */
json_object *qmp_registry_introspect(const QmpRegistry *registry);

/* The same as text, of *@len bytes; the registry's own, until a table is added. Any thread. */
const char *qmp_registry_schema_text(const QmpRegistry *registry, size_t *len);

/* ---- the tables of the answer, and the structs that they bind (qmp-introspect-types.c) ---- */

/* In the order of the values of the enum SchemaMetaType. */
typedef enum {
    QMP_META_BUILTIN,
    QMP_META_ENUM,
    QMP_META_ARRAY,
    QMP_META_OBJECT,
    QMP_META_ALTERNATE,
    QMP_META_COMMAND,
    QMP_META_EVENT,
} QmpMetaType;

/* In the order of the values of the enum JSONType. */
typedef enum {
    QMP_JSON_STRING,
    QMP_JSON_NUMBER,
    QMP_JSON_INT,
    QMP_JSON_BOOLEAN,
    QMP_JSON_NULL,
    QMP_JSON_OBJECT,
    QMP_JSON_ARRAY,
    QMP_JSON_VALUE,
} QmpJsonType;

typedef struct QmpSchemaInfo {
    char *name;
    int meta_type;
    json_object *features;
} QmpSchemaInfo;

typedef struct QmpSchemaInfoBuiltin {
    int json_type;
} QmpSchemaInfoBuiltin;

typedef struct QmpSchemaInfoEnum {
    json_object *members;
    json_object *values;
} QmpSchemaInfoEnum;

typedef struct QmpSchemaInfoEnumMember {
    char *name;
} QmpSchemaInfoEnumMember;

typedef struct QmpSchemaInfoArray {
    char *element_type;
} QmpSchemaInfoArray;

typedef struct QmpSchemaInfoObject {
    json_object *members;
    char *tag;
    json_object *variants;
} QmpSchemaInfoObject;

typedef struct QmpSchemaInfoObjectMember {
    char *name;
    char *type;
    json_object *default_value;
    json_object *features;
} QmpSchemaInfoObjectMember;

typedef struct QmpSchemaInfoObjectVariant {
    char *tag_value;
    char *type;
} QmpSchemaInfoObjectVariant;

typedef struct QmpSchemaInfoAlternate {
    json_object *members;
} QmpSchemaInfoAlternate;

typedef struct QmpSchemaInfoAlternateMember {
    char *type;
} QmpSchemaInfoAlternateMember;

typedef struct QmpSchemaInfoCommand {
    char *arg_type;
    char *ret_type;
    bool allow_oob;
} QmpSchemaInfoCommand;

typedef struct QmpSchemaInfoEvent {
    char *arg_type;
} QmpSchemaInfoEvent;

extern const QmpType qmp_type_schema_info;
extern const QmpType qmp_type_schema_info_builtin;
extern const QmpType qmp_type_schema_info_enum;
extern const QmpType qmp_type_schema_info_enum_member;
extern const QmpType qmp_type_schema_info_array;
extern const QmpType qmp_type_schema_info_object;
extern const QmpType qmp_type_schema_info_object_member;
extern const QmpType qmp_type_schema_info_object_variant;
extern const QmpType qmp_type_schema_info_alternate;
extern const QmpType qmp_type_schema_info_alternate_member;
extern const QmpType qmp_type_schema_info_command;
extern const QmpType qmp_type_schema_info_event;

#endif
