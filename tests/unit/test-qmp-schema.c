/*
 * The typed tables: what they accept, what they say of the rest, binding into structs and back.
 */
#include "config.h"
#include "qmp/qmp-schema.h"

#include <string.h>

#include "qmp/qmp-error.h"
#include "qmp/qmp-json.h"

/* ---- JSON in tests, single-quoted ---- */

typedef struct Parsed {
    json_object *value;
    unsigned count;
} Parsed;

static void take_value(json_object *value, GError *error, void *opaque)
{
    Parsed *parsed = opaque;

    g_assert_no_error(error);
    parsed->value = value;
    parsed->count++;
}

static json_object *parse(const char *text)
{
    g_autoptr(QmpJsonParser) parser = NULL;
    Parsed parsed = { 0 };

    parser = qmp_json_parser_new(NULL, take_value, &parsed);
    qmp_json_parser_feed(parser, text, strlen(text));
    qmp_json_parser_finish(parser);
    g_assert_cmpuint(parsed.count, ==, 1);
    return parsed.value;
}

/* Takes over @value. */
static void assert_json(json_object *value, const char *expected)
{
    g_autoptr(GString) text = g_string_new(NULL);

    qmp_json_write(text, value);
    g_assert_cmpstr(text->str, ==, expected);
    json_object_put(value);
}

/* ---- a type with a member of every kind ---- */

static const char *const color_values[] = { "red", "green", "blue", NULL };
static const QmpType color_type = {
    .kind = QMP_KIND_ENUM,
    .name = "Color",
    .values = color_values,
};

typedef struct Point {
    int64_t x;
    int64_t y;
} Point;

static const QmpMember point_members[] = {
    { .name = "x", .type = &qmp_type_int, .min = -10, .max = 10, .offset = offsetof(Point, x) },
    { .name = "y",
      .type = &qmp_type_int,
      .flags = QMP_MEMBER_OPTIONAL,
      .default_int = 7,
      .offset = offsetof(Point, y) },
    { 0 },
};
static const QmpType point_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "Point",
    .members = point_members,
    .size = sizeof(Point),
};
static const QmpType point_list_type = { .kind = QMP_KIND_ARRAY, .element = &point_type };
static const QmpType color_list_type = { .kind = QMP_KIND_ARRAY, .element = &color_type };

typedef struct Thing {
    bool flag;
    int64_t number;
    char *text;
    int color;
    json_object *any;
    json_object *point;
    json_object *points;
    json_object *colors;
    int64_t serial;
} Thing;

#define OPTIONAL_THING(field_name, field, field_type)                     \
    .name = field_name, .type = field_type, .flags = QMP_MEMBER_OPTIONAL, \
    .offset = offsetof(Thing, field)

static const QmpMember thing_members[] = {
    { OPTIONAL_THING("flag", flag, &qmp_type_bool), .default_int = 1 },
    { OPTIONAL_THING("number", number, &qmp_type_int), .default_int = -3 },
    { OPTIONAL_THING("text", text, &qmp_type_str), .max = 8, .default_str = "none" },
    { OPTIONAL_THING("color", color, &color_type), .default_str = "green" },
    { OPTIONAL_THING("any", any, &qmp_type_any) },
    { OPTIONAL_THING("point", point, &point_type) },
    { OPTIONAL_THING("points", points, &point_list_type) },
    { OPTIONAL_THING("colors", colors, &color_list_type) },
    { .name = "serial",
      .type = &qmp_type_int,
      .flags = QMP_MEMBER_READ_ONLY,
      .offset = offsetof(Thing, serial) },
    { 0 },
};
static const QmpType thing_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "Thing",
    .members = thing_members,
    .size = sizeof(Thing),
};

/* ---- checking ---- */

/* @error NULL: is accepted. */
typedef struct CheckCase {
    const char *text;
    const char *error;
} CheckCase;

static void run_checks(const QmpType *type, const CheckCase *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        json_object *value = parse(cases[i].text);
        g_autoptr(GError) error = NULL;
        bool ok = qmp_check_object(type, value, &error);

        g_test_message("%s", cases[i].text);
        g_assert_cmpstr(error ? error->message : NULL, ==, cases[i].error);
        g_assert_true(ok == !cases[i].error);
        if (error) {
            g_assert_error(error, QMP_ERROR, QMP_ERROR_GENERIC);
            g_assert_false(qmp_check_object(type, value, NULL));
        }
        json_object_put(value);
    }
}

static void test_check_kinds(void)
{
    static const CheckCase cases[] = {
        { "{}", NULL },
        { "[]", "Parameter 'arguments' expects an object" },
        { "null", "Parameter 'arguments' expects an object" },
        { "{'flag': true, 'number': 1, 'text': '', 'color': 'red', 'any': null}", NULL },
        { "{'flag': 1}", "Parameter 'flag' expects true or false" },
        { "{'flag': 'true'}", "Parameter 'flag' expects true or false" },
        { "{'flag': null}", "Parameter 'flag' expects true or false" },
        { "{'text': 1}", "Parameter 'text' expects a string" },
        { "{'text': null}", "Parameter 'text' expects a string" },
        { "{'text': 'a\\u0000b'}", "Parameter 'text' expects a string without the character "
                                   "\\u0000" },
        { "{'text': '12345678'}", NULL },
        { "{'text': '123456789'}", "Parameter 'text' expects a string of at most 8 bytes" },
        { "{'text': '\u00fc\u00fc\u00fc\u00fc'}", NULL },
        { "{'text': '\u00fc\u00fc\u00fc\u00fc1'}",
          "Parameter 'text' expects a string of at most 8 bytes" },
        { "{'any': [1, {'what': 'ever'}]}", NULL },
        { "{'any': 'a\\u0000b'}", NULL },
    };

    run_checks(&thing_type, cases, G_N_ELEMENTS(cases));
}

#define ANY_INT "expects an integer from -9223372036854775808 to 9223372036854775807"

static void test_check_ranges(void)
{
    static const CheckCase numbers[] = {
        { "{'number': 0}", NULL },
        { "{'number': 9223372036854775807}", NULL },
        { "{'number': -9223372036854775808}", NULL },
        { "{'number': 9223372036854775808}", "Parameter 'number' " ANY_INT },
        { "{'number': 18446744073709551615}", "Parameter 'number' " ANY_INT },
        { "{'number': -9223372036854775809}", "Parameter 'number' " ANY_INT },
        { "{'number': 1.0}", "Parameter 'number' " ANY_INT },
        { "{'number': 1e3}", "Parameter 'number' " ANY_INT },
        { "{'number': '1'}", "Parameter 'number' " ANY_INT },
        { "{'number': true}", "Parameter 'number' " ANY_INT },
        { "{'number': null}", "Parameter 'number' " ANY_INT },
    };
    static const CheckCase points[] = {
        { "{'x': 10}", NULL },
        { "{'x': -10}", NULL },
        { "{'x': 11}", "Parameter 'x' expects an integer from -10 to 10" },
        { "{'x': -11}", "Parameter 'x' expects an integer from -10 to 10" },
        { "{'x': 9223372036854775808}", "Parameter 'x' expects an integer from -10 to 10" },
    };

    run_checks(&thing_type, numbers, G_N_ELEMENTS(numbers));
    run_checks(&point_type, points, G_N_ELEMENTS(points));
}

static void test_check_enums(void)
{
    static const CheckCase cases[] = {
        { "{'color': 'blue'}", NULL },
        { "{'color': 'Blue'}", "Parameter 'color' expects one of 'red', 'green', 'blue'" },
        { "{'color': ''}", "Parameter 'color' expects one of 'red', 'green', 'blue'" },
        { "{'color': 0}", "Parameter 'color' expects one of 'red', 'green', 'blue'" },
        { "{'color': null}", "Parameter 'color' expects one of 'red', 'green', 'blue'" },
        { "{'color': 'red\\u0000'}", "Parameter 'color' expects one of 'red', 'green', 'blue'" },
        { "{'colors': []}", NULL },
        { "{'colors': ['red', 'red', 'blue']}", NULL },
        { "{'colors': ['red', 'pink']}",
          "Parameter 'colors[1]' expects one of 'red', 'green', 'blue'" },
    };

    run_checks(&thing_type, cases, G_N_ELEMENTS(cases));
    g_assert_cmpint(qmp_enum_parse(&color_type, "red"), ==, 0);
    g_assert_cmpint(qmp_enum_parse(&color_type, "blue"), ==, 2);
    g_assert_cmpint(qmp_enum_parse(&color_type, "pink"), ==, -1);
}

static void test_check_nested(void)
{
    static const CheckCase cases[] = {
        { "{'point': {'x': 1}}", NULL },
        { "{'point': [1]}", "Parameter 'point' expects an object" },
        { "{'point': {}}", "Parameter 'point.x' is missing" },
        { "{'point': {'x': 'a'}}", "Parameter 'point.x' expects an integer from -10 to 10" },
        { "{'point': {'x': 1, 'z': 1}}", "Parameter 'point.z' is unexpected" },
        { "{'points': []}", NULL },
        { "{'points': [{'x': 1}, {'x': 2, 'y': 99}]}", NULL },
        { "{'points': {}}", "Parameter 'points' expects an array" },
        { "{'points': [{'x': 1}, 2]}", "Parameter 'points[1]' expects an object" },
        { "{'points': [null]}", "Parameter 'points[0]' expects an object" },
        { "{'points': [{'x': 1}, {'y': 1}]}", "Parameter 'points[1].x' is missing" },
        { "{'points': [{'x': 11}]}", "Parameter 'points[0].x' expects an integer from -10 to 10" },
    };

    run_checks(&thing_type, cases, G_N_ELEMENTS(cases));
}

static void test_check_members(void)
{
    static const CheckCase things[] = {
        { "{'other': 1}", "Parameter 'other' is unexpected" },
        { "{'': 1}", "Parameter '' is unexpected" },
        { "{'Flag': true}", "Parameter 'Flag' is unexpected" },
        { "{'serial': 1}", "Parameter 'serial' is read-only" },
        { "{'serial': 'wrong type'}", "Parameter 'serial' is read-only" },
    };
    static const CheckCase points[] = {
        { "{'y': 1}", "Parameter 'x' is missing" },
        { "{'x': null}", "Parameter 'x' expects an integer from -10 to 10" },
    };
    static const CheckCase nothing[] = {
        { "{}", NULL },
        { "{'x': 1}", "Parameter 'x' is unexpected" },
    };

    run_checks(&thing_type, things, G_N_ELEMENTS(things));
    run_checks(&point_type, points, G_N_ELEMENTS(points));
    run_checks(&qmp_type_empty, nothing, G_N_ELEMENTS(nothing));
}

static void test_check_one_member(void)
{
    const QmpMember *x = qmp_type_find_member(&point_type, "x");
    json_object *good = parse("10");
    json_object *bad = parse("11");
    g_autoptr(GError) error = NULL;

    g_assert_true(qmp_check_member(x, good, &error));
    g_assert_no_error(error);
    g_assert_false(qmp_check_member(x, bad, &error));
    g_assert_cmpstr(error->message, ==, "Parameter 'x' expects an integer from -10 to 10");
    json_object_put(good);
    json_object_put(bad);
}

/* ---- base ---- */

typedef struct Named {
    Point point;
    char *name;
} Named;

static const QmpMember named_members[] = {
    { .name = "name", .type = &qmp_type_str, .offset = offsetof(Named, name) },
    { 0 },
};
static const QmpType named_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "Named",
    .base = &point_type,
    .members = named_members,
    .size = sizeof(Named),
};
static const QmpType named_result_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "NamedResult",
    .base = &point_type,
    .is_result = true,
    .members = named_members,
    .size = sizeof(Named),
};

static void test_base(void)
{
    static const CheckCase cases[] = {
        { "{'x': 1, 'name': 'a'}", NULL },
        { "{'name': 'a'}", "Parameter 'x' is missing" },
        { "{'x': 1}", "Parameter 'name' is missing" },
        { "{'x': 1, 'name': 'a', 'z': 1}", "Parameter 'z' is unexpected" },
    };
    json_object *value = parse("{'name': 'a', 'x': 1}");
    Named named = { 0 };

    run_checks(&named_type, cases, G_N_ELEMENTS(cases));
    g_assert_true(qmp_type_find_member(&named_type, "y") == &point_members[1]);
    g_assert_true(qmp_type_find_member(&named_type, "name") == &named_members[0]);
    g_assert_null(qmp_type_find_member(&named_type, "z"));
    qmp_bind(&named_type, value, &named);
    json_object_put(value);
    g_assert_cmpint(named.point.x, ==, 1);
    g_assert_cmpint(named.point.y, ==, 7);
    g_assert_cmpstr(named.name, ==, "a");
    assert_json(qmp_marshal(&named_type, &named), "{\"x\": 1, \"y\": 7, \"name\": \"a\"}");
    qmp_unbind(&named_type, &named);
    g_assert_null(named.name);
}

static void test_what_may_be_left_out(void)
{
    const QmpMember *y = qmp_type_find_member(&point_type, "y");

    g_assert_true(qmp_member_is_optional(&point_type, y));
    g_assert_true(qmp_member_is_optional(&named_type, y));
    g_assert_false(qmp_member_is_optional(&named_result_type, y));
    g_assert_false(qmp_member_is_optional(&point_type, qmp_type_find_member(&point_type, "x")));
}

/* ---- variants ---- */

typedef struct Shape {
    int color;
} Shape;

/* red has a point's members, green a name and a point's, blue nothing. */
static const QmpType *shape_variant(int index)
{
    static const QmpType *const types[] = { &point_type, &named_type, NULL };

    return types[index];
}

static const QmpVariants shape_variants = { .tag = "color", .get = shape_variant };
static const QmpMember shape_members[] = {
    { .name = "color", .type = &color_type, .offset = offsetof(Shape, color) },
    { 0 },
};
static const QmpType shape_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "Shape",
    .members = shape_members,
    .variants = &shape_variants,
    .size = sizeof(Shape),
};

static void test_variants(void)
{
    static const CheckCase cases[] = {
        { "{'color': 'blue'}", NULL },
        { "{'color': 'blue', 'x': 1}", "Parameter 'x' is unexpected" },
        { "{'color': 'red', 'x': 1}", NULL },
        { "{'x': 1, 'y': 2, 'color': 'red'}", NULL },
        { "{'color': 'red'}", "Parameter 'x' is missing" },
        { "{'color': 'red', 'x': 99}", "Parameter 'x' expects an integer from -10 to 10" },
        { "{'color': 'red', 'x': 1, 'name': 'a'}", "Parameter 'name' is unexpected" },
        { "{'color': 'green', 'x': 1, 'name': 'a'}", NULL },
        { "{'color': 'green', 'x': 1}", "Parameter 'name' is missing" },
        { "{'x': 1}", "Parameter 'color' is missing" },
        { "{'color': 'pink', 'x': 1}", "Parameter 'color' expects one of 'red', 'green', 'blue'" },
    };
    json_object *value = parse("{'color': 'green', 'x': 1, 'name': 'a'}");
    Shape shape = { 0 };

    run_checks(&shape_type, cases, G_N_ELEMENTS(cases));
    qmp_bind(&shape_type, value, &shape);
    g_assert_cmpint(shape.color, ==, 1);
    json_object_put(value);
}

/* ---- binding ---- */

static void test_bind(void)
{
    json_object *value = parse("{'flag': false, 'number': 5, 'text': 'hi', 'color': 'blue', "
                               "'any': [1], 'point': {'x': 1}, 'points': [], 'colors': ['red']}");
    Thing thing = { 0 };

    qmp_bind(&thing_type, value, &thing);
    json_object_put(value); /* the struct has references and copies of its own */
    g_assert_false(thing.flag);
    g_assert_cmpint(thing.number, ==, 5);
    g_assert_cmpstr(thing.text, ==, "hi");
    g_assert_cmpint(thing.color, ==, 2);
    assert_json(json_object_get(thing.any), "[1]");
    assert_json(json_object_get(thing.point), "{\"x\": 1}");
    assert_json(json_object_get(thing.points), "[]");
    assert_json(json_object_get(thing.colors), "[\"red\"]");
    qmp_unbind(&thing_type, &thing);
    g_assert_null(thing.text);
    g_assert_null(thing.any);
    g_assert_null(thing.colors);
}

static void test_bind_defaults(void)
{
    json_object *empty = parse("{}");
    json_object *const values[] = { empty, NULL };

    for (size_t i = 0; i < G_N_ELEMENTS(values); i++) {
        Thing thing = { .serial = 11 };

        qmp_bind(&thing_type, values[i], &thing);
        g_assert_true(thing.flag);
        g_assert_cmpint(thing.number, ==, -3);
        g_assert_cmpstr(thing.text, ==, "none");
        g_assert_cmpint(thing.color, ==, 1);
        g_assert_null(thing.any);
        g_assert_null(thing.points);
        g_assert_cmpint(thing.serial, ==, 11); /* read-only: nobody touches it */
        qmp_unbind(&thing_type, &thing);
    }
    json_object_put(empty);
}

static void test_defaults_as_json(void)
{
    static const struct {
        const char *member;
        const char *expected;
    } cases[] = {
        { "flag", "true" },       { "number", "-3" }, { "text", "\"none\"" },
        { "color", "\"green\"" }, { "any", "null" },  { "serial", "null" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        const QmpMember *member = qmp_type_find_member(&thing_type, cases[i].member);

        assert_json(qmp_member_default(member), cases[i].expected);
    }
}

/* An enum that is left out and has no default is -1. */
static void test_bind_enum_without_default(void)
{
    static const QmpMember members[] = {
        { .name = "color",
          .type = &color_type,
          .flags = QMP_MEMBER_OPTIONAL,
          .offset = offsetof(Shape, color) },
        { 0 },
    };
    static const QmpType type = {
        .kind = QMP_KIND_OBJECT,
        .name = "MaybeColor",
        .members = members,
        .size = sizeof(Shape),
    };
    Shape shape = { 0 };

    qmp_bind(&type, NULL, &shape);
    g_assert_cmpint(shape.color, ==, -1);
}

static void bind_text(Thing *thing, const char *member, const char *text)
{
    json_object *value = parse(text);

    qmp_bind_member(qmp_type_find_member(&thing_type, member), value, thing);
    json_object_put(value);
}

static void test_bind_member_frees_the_old_value(void)
{
    Thing thing = { 0 };

    qmp_bind(&thing_type, NULL, &thing);
    bind_text(&thing, "text", "'new'");
    bind_text(&thing, "any", "[1]");
    bind_text(&thing, "any", "{'a': 2}");
    bind_text(&thing, "number", "4");
    g_assert_cmpstr(thing.text, ==, "new");
    g_assert_cmpint(thing.number, ==, 4);
    assert_json(json_object_get(thing.any), "{\"a\": 2}");
    bind_text(&thing, "any", "null");
    g_assert_null(thing.any);
    qmp_unbind(&thing_type, &thing);
}

static void test_copy_is_independent(void)
{
    json_object *value = parse("{'text': 'hi', 'any': [1]}");
    Thing thing = { 0 };
    Thing copy;

    qmp_bind(&thing_type, value, &thing);
    json_object_put(value);
    qmp_bind_copy(&thing_type, &thing, &copy);
    g_assert_true(copy.text != thing.text);
    bind_text(&copy, "text", "'other'");
    bind_text(&copy, "any", "2");
    g_assert_cmpstr(thing.text, ==, "hi");
    assert_json(json_object_get(thing.any), "[1]");
    qmp_unbind(&thing_type, &thing);
    g_assert_cmpstr(copy.text, ==, "other");
    assert_json(json_object_get(copy.any), "2");
    qmp_unbind(&thing_type, &copy);
}

/* ---- and back ---- */

static void test_marshal(void)
{
    Thing thing = { 0 };

    qmp_bind(&thing_type, NULL, &thing);
    thing.serial = 9;
    bind_text(&thing, "point", "{'x': 1}");
    assert_json(qmp_marshal(&thing_type, &thing),
                "{\"flag\": true, \"number\": -3, \"text\": \"none\", \"color\": \"green\", "
                "\"any\": null, \"point\": {\"x\": 1}, \"points\": null, \"colors\": null, "
                "\"serial\": 9}");
    assert_json(qmp_marshal_member(qmp_type_find_member(&thing_type, "color"), &thing),
                "\"green\"");
    qmp_unbind(&thing_type, &thing);
    assert_json(qmp_marshal(&qmp_type_empty, NULL), "{}");
}

#define MAYBE_THING(field_name, field, field_type)                            \
    .name = field_name, .type = field_type, .flags = QMP_MEMBER_MAYBE_ABSENT, \
    .offset = offsetof(Thing, field)

static const QmpMember sparse_members[] = {
    { MAYBE_THING("flag", flag, &qmp_type_bool) },
    { MAYBE_THING("number", number, &qmp_type_int), .default_int = -1 },
    { MAYBE_THING("text", text, &qmp_type_str) },
    { MAYBE_THING("color", color, &color_type) },
    { MAYBE_THING("any", any, &qmp_type_any) },
    { MAYBE_THING("points", points, &point_list_type) },
    { 0 },
};
static const QmpType sparse_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "Sparse",
    .members = sparse_members,
    .size = sizeof(Thing),
};

static void test_marshal_leaves_out_what_has_its_default(void)
{
    Thing nothing = { .number = -1, .color = -1 };
    Thing all = {
        .flag = true,
        .text = (char *)"",
        .any = json_object_new_int(0),
        .points = json_object_new_array(),
    };

    assert_json(qmp_marshal(&sparse_type, &nothing), "{}");
    assert_json(qmp_marshal(&sparse_type, &all),
                "{\"flag\": true, \"number\": 0, \"text\": \"\", \"color\": \"red\", "
                "\"any\": 0, \"points\": []}");
    json_object_put(all.any);
    json_object_put(all.points);
}

static void test_marshal_into_adds_to_what_is_there(void)
{
    json_object *object = parse("{'first': 0}");
    Point point = { .x = 1, .y = 2 };

    qmp_marshal_into(&point_type, &point, object);
    assert_json(object, "{\"first\": 0, \"x\": 1, \"y\": 2}");
}

#define ADD(name, function) g_test_add_func("/qmp/schema/" name, function)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("a value must be of its member's kind", test_check_kinds);
    ADD("an integer must be in its range", test_check_ranges);
    ADD("an enum must be one of its values", test_check_enums);
    ADD("an error in an object or array names the way to it", test_check_nested);
    ADD("members must be known, present and writable", test_check_members);
    ADD("one member can be checked alone", test_check_one_member);
    ADD("a base's members come first and count as its own", test_base);
    ADD("what may be left out of arguments may not be of results", test_what_may_be_left_out);
    ADD("the tag says which members a variant adds", test_variants);
    ADD("binding fills the struct with values of its own", test_bind);
    ADD("members left out are bound to their defaults", test_bind_defaults);
    ADD("defaults as JSON", test_defaults_as_json);
    ADD("an enum without a default is bound to -1", test_bind_enum_without_default);
    ADD("binding a member anew frees what it held", test_bind_member_frees_the_old_value);
    ADD("a copy is independent of its original", test_copy_is_independent);
    ADD("marshalling keeps the members' order", test_marshal);
    ADD("marshalling leaves out what has its default",
        test_marshal_leaves_out_what_has_its_default);
    ADD("marshalling into an object adds to it", test_marshal_into_adds_to_what_is_there);
    return g_test_run();
}
