/*
 * Names of sources: one for each callback and id, for good, and not without end.
 */
#include "config.h"

#include <glib.h>
#include <string.h>

#include "objects/source-name.h"

static void test_a_name_tells_the_callback_and_the_id(void)
{
    g_assert_cmpstr(source_name("timer_expired", "t0"), ==, "timer_expired(t0)");
    g_assert_cmpstr(source_name("timer_expired", "t1"), ==, "timer_expired(t1)");
    g_assert_cmpstr(source_name("timer_expired", NULL), ==, "timer_expired");
}

static void test_the_id_is_found_in_the_name(void)
{
    g_autofree char *id = source_name_get_id(source_name("timer_expired", "a-1.b_2"));

    g_assert_cmpstr(id, ==, "a-1.b_2");
    g_assert_null(source_name_get_id("qmp_dispatch"));
    g_assert_null(source_name_get_id("()"));
    g_assert_null(source_name_get_id(""));
}

static void test_there_is_one_of_each(void)
{
    const char *name = source_name("relay_ready", "r");

    g_assert_true(source_name("relay_ready", "r") == name);
    g_assert_true(source_name("relay_accept", "r") != name);
}

static void test_a_long_one_is_the_callback(void)
{
    static const char callback[] = "timer_expired";
    size_t longest = SOURCE_NAME_LENGTH - strlen("timer_expired()");
    g_autofree char *fits = g_strnfill(longest, 'x');
    g_autofree char *too_long = g_strnfill(longest + 1, 'x');

    g_assert_cmpuint(strlen(source_name(callback, fits)), ==, SOURCE_NAME_LENGTH);
    g_assert_true(source_name(callback, too_long) == callback);
}

/* The last test: there is no room for more then. */
static void test_there_are_only_so_many(void)
{
    static const char callback[] = "timer_expired";
    const char *known = source_name(callback, "t0");
    int made = 0;

    for (int i = 0; i < 2 * SOURCE_NAMES_MAX; i++) {
        g_autofree char *id = g_strdup_printf("id%d", i);
        const char *name = source_name(callback, id);

        if (name != callback) {
            g_assert_true(g_str_has_suffix(name, ")"));
            made++;
        }
    }
    g_assert_cmpint(made, >, SOURCE_NAMES_MAX / 2);
    g_assert_cmpint(made, <, SOURCE_NAMES_MAX);
    g_assert_true(source_name(callback, "new") == callback);
    g_assert_true(source_name(callback, "t0") == known);
    g_assert_cmpstr(source_name(callback, "id1"), ==, "timer_expired(id1)");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/source-name/callback-and-id", test_a_name_tells_the_callback_and_the_id);
    g_test_add_func("/source-name/id-in-a-name", test_the_id_is_found_in_the_name);
    g_test_add_func("/source-name/one-of-each", test_there_is_one_of_each);
    g_test_add_func("/source-name/long", test_a_long_one_is_the_callback);
    g_test_add_func("/source-name/only-so-many", test_there_are_only_so_many);
    return g_test_run();
}
