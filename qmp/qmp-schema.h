/*
 * The typed description of everything that crosses the socket.
 *
 * A command's arguments and result, an object type's properties and an event's data are each
 * described once, by static tables of these types. From them come validation, binding into a plain
 * C struct and back, query-qmp-schema and the documentation. Tables are constant, so any thread
 * may use all functions here.
 */
#ifndef QMP_QMP_SCHEMA_H
#define QMP_QMP_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <glib.h>
#include <json-c/json.h>

typedef struct QmpType QmpType;
typedef struct QmpMember QmpMember;
typedef struct QmpVariants QmpVariants;

/* In brackets: the C type of a struct's field that such a member is bound to. */
typedef enum {
    QMP_KIND_ANY,         /* any JSON value [json_object *, a reference; NULL is null] */
    QMP_KIND_BOOL,        /* [bool] */
    QMP_KIND_INT,         /* [int64_t] */
    QMP_KIND_STR,         /* [char *, owned] */
    QMP_KIND_NULL,        /* null; in the schema only */
    QMP_KIND_STR_OR_NULL, /* [char *, owned; NULL is null] */
    QMP_KIND_ENUM,        /* a string out of a list [int, the index in it] */
    QMP_KIND_OBJECT,      /* [json_object *, a reference to what has been checked] */
    QMP_KIND_ARRAY,       /* [json_object *, likewise] */
} QmpKind;

/* What a client should know of a command, an event, a type or a member before it relies on it. */
typedef enum {
    QMP_FEATURE_DEPRECATED = 1 << 0, /* it will go */
    QMP_FEATURE_UNSTABLE = 1 << 1,   /* it may change or go without notice */
} QmpFeatures;

struct QmpType {
    QmpKind kind;
    const char *name;          /* "int" and the like; CamelCase for enums and objects */
    const char *const *values; /* of an enum: ended by NULL */
    const QmpType *base;       /* of an object: one whose members it has too, first; its C struct
                                * begins with the base's */
    bool is_result;            /* of an object with a base: it is a result, where read-only members
                                * are shown and none has a default */
    const QmpMember *members;  /* of an object: ended by one without a name; NULL: none */
    const QmpVariants *variants; /* of an object: further members by the value of one, or NULL */
    const QmpType *element;      /* of an array */
    size_t size;                 /* of an object that is bound: of the C struct */
    unsigned features;           /* QmpFeatures */
};

/* Which members there are beside the common ones depends on the value of the enum member @tag. */
struct QmpVariants {
    const char *tag;
    /* The object type whose members the tag's value @index (in its enum) adds; NULL: none. */
    const QmpType *(*get)(int index);
};

typedef enum {
    QMP_MEMBER_OPTIONAL = 1 << 0,     /* of arguments: may be left out, and then has its default */
    QMP_MEMBER_MAYBE_ABSENT = 1 << 1, /* of results: left out when it has its default */
    QMP_MEMBER_READ_ONLY = 1 << 2,    /* of properties: can't be given, only read */
    QMP_MEMBER_CREATE_ONLY = 1 << 3,  /* of properties: can be given at creation only */
    QMP_MEMBER_SET_LATE = 1 << 4,     /* of properties: can be set during deletion too */
    QMP_MEMBER_NAMES_OBJECT = 1 << 5, /* of arguments: the id or the path of an object, which the
                                       * command is about; for the log */
} QmpMemberFlags;

struct QmpMember {
    const char *name;
    const QmpType *type;
    unsigned flags;
    int64_t min, max;        /* of an int; both 0: any that fits. Of a string the most bytes that it
                              * may have, 0: any number */
    int64_t default_int;     /* of an int or bool */
    const char *default_str; /* of a string or enum; NULL: none */
    size_t offset;           /* offsetof the field in the C struct */
    unsigned features;       /* QmpFeatures */
    const char *refers_to; /* of a property, or NULL: its strings are ids of objects of this type */
    const char *help;      /* one line, without a full stop at its end */
};

/* The built-in types. */
extern const QmpType qmp_type_any;
extern const QmpType qmp_type_bool;
extern const QmpType qmp_type_int;
extern const QmpType qmp_type_str;
extern const QmpType qmp_type_null;
extern const QmpType qmp_type_str_or_null;
extern const QmpType qmp_type_str_list;
extern const QmpType qmp_type_empty; /* an object without members */

/* The member of @type called @name, not looking into variants; or NULL. */
const QmpMember *qmp_type_find_member(const QmpType *type, const char *name);

/* The index of @value among the values of the enum @type, or -1. */
int qmp_enum_parse(const QmpType *type, const char *value);

/*
 * Check @value against object @type, the members of its variant included: each member known,
 * writable, of its type and in its range, none missing. False and @errp, which names the member
 * and what was expected.
 */
bool qmp_check_object(const QmpType *type, json_object *value, GError **errp);

/* Whether @member of @type may be left out of a JSON object. */
bool qmp_member_is_optional(const QmpType *type, const QmpMember *member);

/* Check one value against the type and range of @member. */
bool qmp_check_member(const QmpMember *member, json_object *value, GError **errp);

/*
 * Bind the members of @type, not those of its variant, from @value, which has been checked, into
 * @data, a zeroed struct; members left out get their defaults. The caller undoes it with
 * qmp_unbind(). @value may be NULL for an empty object.
 */
void qmp_bind(const QmpType *type, json_object *value, void *data);

/* Bind one member of @data anew from a checked @value, freeing what it held. */
void qmp_bind_member(const QmpMember *member, json_object *value, void *data);

/* Free what the members of @data hold. */
void qmp_unbind(const QmpType *type, void *data);

/* Make @copy, uninitialised, a bound struct like @data. */
void qmp_bind_copy(const QmpType *type, const void *data, void *copy);

/* The JSON object of a bound struct; the caller owns the reference. */
json_object *qmp_marshal(const QmpType *type, const void *data);

/* As qmp_marshal(), adding the members to @object. */
void qmp_marshal_into(const QmpType *type, const void *data, json_object *object);

/* The JSON value of one member of a bound struct; the caller owns the reference. NULL is null. */
json_object *qmp_marshal_member(const QmpMember *member, const void *data);

/* The JSON value of a member's default; the caller owns the reference. NULL when it has none. */
json_object *qmp_member_default(const QmpMember *member);

#endif
