/*
 * The built-in types, and looking things up in the tables. What is done by the tables is in
 * qmp-check.c and qmp-bind.c.
 */
#include "config.h"
#include "qmp/qmp-schema.h"

#include <string.h>

const QmpType qmp_type_any = { .kind = QMP_KIND_ANY, .name = "any" };
const QmpType qmp_type_bool = { .kind = QMP_KIND_BOOL, .name = "bool" };
const QmpType qmp_type_int = { .kind = QMP_KIND_INT, .name = "int" };
const QmpType qmp_type_str = { .kind = QMP_KIND_STR, .name = "str" };
const QmpType qmp_type_null = { .kind = QMP_KIND_NULL, .name = "null" };
const QmpType qmp_type_str_or_null = { .kind = QMP_KIND_STR_OR_NULL, .name = "StrOrNull" };
const QmpType qmp_type_str_list = { .kind = QMP_KIND_ARRAY, .element = &qmp_type_str };
const QmpType qmp_type_empty = { .kind = QMP_KIND_OBJECT, .name = "Empty" };

const QmpMember *qmp_type_find_member(const QmpType *type, const char *name)
{
    for (const QmpMember *member = type->members; member && member->name; member++) {
        if (strcmp(member->name, name) == 0) {
            return member;
        }
    }
    return type->base ? qmp_type_find_member(type->base, name) : NULL;
}

bool qmp_member_is_optional(const QmpType *type, const QmpMember *member)
{
    return (member->flags & QMP_MEMBER_MAYBE_ABSENT) ||
           ((member->flags & QMP_MEMBER_OPTIONAL) && !type->is_result);
}

int qmp_enum_parse(const QmpType *type, const char *value)
{
    for (int i = 0; type->values[i]; i++) {
        if (strcmp(type->values[i], value) == 0) {
            return i;
        }
    }
    return -1;
}
