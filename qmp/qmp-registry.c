/*
 * The registry of commands and events.
 */
#include "config.h"
#include "qmp/qmp-registry-internal.h"

#include <string.h>

QmpRegistry *qmp_registry_new(void)
{
    QmpRegistry *registry = g_new0(QmpRegistry, 1);

    registry->commands = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);
    registry->events = g_hash_table_new(g_str_hash, g_str_equal);
    registry->schema_text = qmp_schema_text_new();
    return registry;
}

void qmp_registry_free(QmpRegistry *registry)
{
    g_hash_table_unref(registry->commands);
    g_hash_table_unref(registry->events);
    qmp_schema_text_free(registry->schema_text);
    g_free(registry);
}

void qmp_registry_add_commands(QmpRegistry *registry, const QmpCommand *commands, void *opaque)
{
    qmp_schema_text_forget(registry->schema_text);
    for (const QmpCommand *command = commands; command->name; command++) {
        QmpRegisteredCommand *entry = g_new(QmpRegisteredCommand, 1);

        *entry = (QmpRegisteredCommand){ .command = command, .opaque = opaque };
        if (!g_hash_table_insert(registry->commands, (gpointer)command->name, entry)) {
            g_error("command '%s' is registered twice", command->name);
        }
    }
}

void qmp_registry_add_events(QmpRegistry *registry, const QmpEvent *events)
{
    qmp_schema_text_forget(registry->schema_text);
    for (const QmpEvent *event = events; event->name; event++) {
        if (!g_hash_table_insert(registry->events, (gpointer)event->name, (gpointer)event)) {
            g_error("event '%s' is registered twice", event->name);
        }
    }
}

const QmpCommand *qmp_registry_find_command(const QmpRegistry *registry, const char *name,
                                            void **opaque)
{
    QmpRegisteredCommand *entry = g_hash_table_lookup(registry->commands, name);

    if (!entry) {
        return NULL;
    }
    if (opaque) {
        *opaque = entry->opaque;
    }
    return entry->command;
}

static gint compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(a, b);
}

void qmp_registry_foreach_command(const QmpRegistry *registry,
                                  void (*func)(const QmpCommand *command, void *data), void *data)
{
    g_autoptr(GList) names = g_list_sort(g_hash_table_get_keys(registry->commands), compare_names);

    for (GList *name = names; name; name = name->next) {
        func(qmp_registry_find_command(registry, name->data, NULL), data);
    }
}

void qmp_registry_foreach_event(const QmpRegistry *registry,
                                void (*func)(const QmpEvent *event, void *data), void *data)
{
    g_autoptr(GList) names = g_list_sort(g_hash_table_get_keys(registry->events), compare_names);

    for (GList *name = names; name; name = name->next) {
        func(g_hash_table_lookup(registry->events, name->data), data);
    }
}
