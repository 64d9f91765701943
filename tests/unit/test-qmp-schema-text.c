/*
 * The schema as text: what introspection says, made once, and anew after a table was added.
 */
#include "config.h"

#include <pthread.h>
#include <string.h>
#include <glib.h>

#include "qmp/qmp-introspect.h"
#include "qmp/qmp-json.h"

static const QmpCommand commands[] = {
    { .name = "first-command", .args = &qmp_type_empty, .ret = &qmp_type_empty },
    { 0 },
};
static const QmpCommand more_commands[] = {
    { .name = "second-command", .args = &qmp_type_empty, .ret = &qmp_type_str },
    { 0 },
};
static const QmpEvent events[] = {
    { .name = "THE_EVENT", .data = &qmp_type_empty },
    { 0 },
};

/* The text, which must be what introspection says now. */
static const char *get_text(const QmpRegistry *registry)
{
    g_autoptr(GString) expected = g_string_new(NULL);
    json_object *schema = qmp_registry_introspect(registry);
    size_t len;
    const char *text = qmp_registry_schema_text(registry, &len);

    qmp_json_write(expected, schema);
    json_object_put(schema);
    g_assert_cmpstr(text, ==, expected->str);
    g_assert_cmpuint(len, ==, expected->len);
    return text;
}

static void test_text_is_what_introspection_says(void)
{
    g_autoptr(QmpRegistry) registry = qmp_registry_new();

    qmp_registry_add_commands(registry, commands, NULL);
    g_assert_nonnull(strstr(get_text(registry), "first-command"));
}

static void test_text_is_made_once(void)
{
    g_autoptr(QmpRegistry) registry = qmp_registry_new();
    const char *text;

    qmp_registry_add_commands(registry, commands, NULL);
    text = get_text(registry);
    g_assert_true(get_text(registry) == text);
}

static void test_a_table_that_is_added_is_in_it(void)
{
    g_autoptr(QmpRegistry) registry = qmp_registry_new();

    qmp_registry_add_commands(registry, commands, NULL);
    g_assert_null(strstr(get_text(registry), "second-command"));
    qmp_registry_add_commands(registry, more_commands, NULL);
    g_assert_nonnull(strstr(get_text(registry), "second-command"));
    g_assert_null(strstr(get_text(registry), "THE_EVENT"));
    qmp_registry_add_events(registry, events);
    g_assert_nonnull(strstr(get_text(registry), "THE_EVENT"));
}

static void *get_text_in_thread(void *registry)
{
    size_t len;

    return (void *)qmp_registry_schema_text(registry, &len);
}

static void test_threads_that_ask_at_once_get_the_same(void)
{
    for (int round = 0; round < 100; round++) {
        g_autoptr(QmpRegistry) registry = qmp_registry_new();
        pthread_t threads[4];
        void *first = NULL;

        qmp_registry_add_commands(registry, commands, NULL);
        for (int i = 0; i < 4; i++) {
            g_assert_cmpint(pthread_create(&threads[i], NULL, get_text_in_thread, registry), ==, 0);
        }
        for (int i = 0; i < 4; i++) {
            void *text;

            pthread_join(threads[i], &text);
            g_assert_true(i == 0 || text == first);
            first = text;
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/qmp-schema-text/is what introspection says",
                    test_text_is_what_introspection_says);
    g_test_add_func("/qmp-schema-text/is made once", test_text_is_made_once);
    g_test_add_func("/qmp-schema-text/a table that is added is in it",
                    test_a_table_that_is_added_is_in_it);
    g_test_add_func("/qmp-schema-text/threads that ask at once get the same",
                    test_threads_that_ask_at_once_get_the_same);
    return g_test_run();
}
