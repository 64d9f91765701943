/*
 * JSON parser: a value that arrives in parts is kept as its bytes, not as a tree, until it is
 * complete, and is reported as if it had come at once.
 */
#include <stdbool.h>
#include <string.h>

#include "tests/unit/json-fixture.h"

/* ---- what the parser calls ---- */

static bool same_hashes;      /* of all names */
static unsigned objects_made; /* since a test reset it */
static unsigned objects_alive;

guint32 __real_g_random_int(void);
guint32 __wrap_g_random_int(void);
json_object *__real_json_object_new_object(void);
json_object *__wrap_json_object_new_object(void);

/* The point at which the polynomials are taken that names are hashed with. */
guint32 __wrap_g_random_int(void)
{
    return same_hashes ? 0 : __real_g_random_int();
}

static void object_freed(json_object *object, void *opaque)
{
    objects_alive--;
}

json_object *__wrap_json_object_new_object(void)
{
    json_object *object = __real_json_object_new_object();

    objects_made++;
    objects_alive++;
    json_object_set_userdata(object, NULL, object_freed);
    return object;
}

/* ---- reports ---- */

static const char *const inputs[] = {
    "{\"a\": 1, \"b\": [true, null], \"c\": {\"a\": {}}} 5",
    "{\"a\": 1, \"a\": 2} {\"b\": 3}",
    "{\"a\": {\"b\": 1}, \"a\": 2} {\"b\": 3}",
    "{\"a\": {\"b\": 1, \"b\": 2}, \"c\": 2} {\"b\": 3}",
    "[{\"b\": 1}, {\"b\": 2}, {\"b\": {\"b\": 3}}] 1",
    "{\"ab\": 1, \"b\": 2, \"cb\": {\"b\": 1, \"db\": 2, 'b': 3}} 7",
    "{\"ab\": {\"cb\": [1]}, \"bb\": {\"cb\": 1, \"db\": 2}} 7",
    "{\"\\u0061\": 1, \"b\": 2, 'a': 3} 1",
    "{\"\": 1, \"\": 2} 1",
    "{\"\xe2\x82\xac\": \"\xf0\x9f\x98\x80\\ud83d\\ude00\\n\", '\\u20ac': 1}",
    "[\"\\ud83d\\ude00\\'\", '\"', \"\\u0000\"] 2",
    "[\"x\\ud83dy\"] 2",
    "[\"x\\qy\"] 2",
    "{\"x\\u0000\": 1} 2",
    "[1e999] 2",
    "[-0, 0.5e-3, 18446744073709551615, 1.0] 2",
    "[1.] 2",
    "[truth] 2",
    "[\"x\xff\"] [1] 2\n3",
    "[\"x\x01\"] [1] 2\n3",
    "{\"a\" 1} 2",
    "{\"a\": } 2",
    "{\"a\": 1, } 2",
    "{\"a\": 1 \"b\"} 2",
    "[1, ] 2",
    "[{\"a\": [1}] 2",
    "[\n{\"a\": \n1,\n 'a': \n2}]\n3",
    "5 {\"a\": [[[{}]]]}[{}]{}{\"a\": 1}",
    "\xff[{\"a\": \n1}] 2",
    "[{\"a\": \"half",
    "[{\"a\": {\"b\"",
};

/* Cut in three, in each two places, it makes the reports that it makes whole. */
static void assert_cuts_in_three(const char *input, const QmpJsonLimits *limits)
{
    size_t len = strlen(input);
    g_autofree char *whole = json_reports_of_cut(input, len, limits, NULL, 0);
    size_t cuts[2];

    for (cuts[0] = 1; cuts[0] < len; cuts[0]++) {
        for (cuts[1] = cuts[0]; cuts[1] < len; cuts[1]++) {
            g_autofree char *reports = json_reports_of_cut(input, len, limits, cuts, 2);

            if (strcmp(reports, whole) != 0) {
                g_test_message("cut at %zu and %zu", cuts[0], cuts[1]);
            }
            g_assert_cmpstr(reports, ==, whole);
        }
    }
    json_assert_reports(input, len, limits, whole);
    g_assert_cmpuint(objects_alive, ==, 0);
}

static void assert_all_cuts(void)
{
    static const QmpJsonLimits limits[] = {
        { 0 },
        { .max_bytes = 17 },
        { .max_depth = 2 },
        { .max_tokens = 7 },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(inputs); i++) {
        for (size_t k = 0; k < G_N_ELEMENTS(limits); k++) {
            assert_cuts_in_three(inputs[i], &limits[k]);
        }
    }
}

static void test_any_cuts(void)
{
    assert_all_cuts();
}

/* The tree has the last word on whether a name is there. */
static void test_same_hashes(void)
{
    same_hashes = true;
    assert_all_cuts();
    same_hashes = false;
}

/* ---- names ---- */

#define NAMES 5000

static void test_many_names(void)
{
    g_autoptr(GString) input = g_string_new("[{\"7\": 1}, {");
    JsonLog log;

    for (unsigned i = 0; i < NAMES; i++) {
        g_string_append_printf(input, "\"%u\": {\"7\": 0}, ", i);
    }
    json_log_begin(&log, NULL);
    objects_made = 0;
    json_log_feed_pieces(&log, input->str, input->len, 1);
    g_assert_cmpuint(log.reports, ==, 0);
    /* None was taken for another. */
    g_assert_cmpuint(objects_made, ==, 0);
    json_log_feed(&log, "\"7\"");
    g_assert_cmpstr(log.text->str, ==, JSON_SYNTAX "duplicate member name \"7\"\n");
    json_log_end(&log);
}

/* ---- cost ---- */

#define OBJECTS 10000

/* An array of that many objects, without its end. */
static GString *half_an_array(void)
{
    GString *input = g_string_new("[{}");

    for (unsigned i = 1; i < OBJECTS; i++) {
        g_string_append(input, ",{}");
    }
    return input;
}

static void test_half_has_no_tree(void)
{
    g_autoptr(GString) input = half_an_array();
    JsonLog log;

    json_log_begin(&log, NULL);
    json_log_feed_pieces(&log, input->str, input->len, input->len / 2);
    g_assert_cmpuint(objects_alive, ==, 0);
    json_log_feed(&log, "]");
    g_assert_cmpuint(log.reports, ==, 1);
    g_assert_cmpint(*log.text->str, ==, '[');
    json_log_end(&log);
}

/* However many parts there are, nothing is built more often than twice: in the part in which the
 * value begins, and in the end. */
static void test_built_once(void)
{
    g_autoptr(GString) input = half_an_array();
    size_t pieces[] = { 1, 7, 1000, input->len };

    g_string_append_c(input, ']');
    for (size_t i = 0; i < G_N_ELEMENTS(pieces); i++) {
        JsonLog log;

        json_log_begin(&log, NULL);
        objects_made = 0;
        json_log_feed_pieces(&log, input->str, input->len, pieces[i]);
        g_assert_cmpuint(log.reports, ==, 1);
        g_assert_cmpuint(objects_made, >=, OBJECTS);
        g_assert_cmpuint(objects_made, <=, OBJECTS + pieces[i] / 3 + 1);
        json_log_end(&log);
    }
}

static void test_at_once_built_once(void)
{
    g_autoptr(GString) input = half_an_array();
    JsonLog log;

    g_string_append_c(input, ']');
    json_log_begin(&log, NULL);
    objects_made = 0;
    json_log_feed(&log, input->str);
    g_assert_cmpuint(objects_made, ==, OBJECTS);
    json_log_end(&log);
}

#define ADD(name, function) g_test_add_func("/qmp/json-held/" name, function)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("any cuts make the same reports", test_any_cuts);
    ADD("names of the same hash are told apart", test_same_hashes);
    ADD("a name is found among many", test_many_names);
    ADD("half a value has no tree", test_half_has_no_tree);
    ADD("a value in parts is built in the end", test_built_once);
    ADD("a value at once is built once", test_at_once_built_once);
    return g_test_run();
}
