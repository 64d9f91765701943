/*
 * What the daemon offers: every table of commands and events, in one place.
 */
#include "config.h"
#include "daemon/commands.h"

void daemon_register(QmpRegistry *registry, const DaemonOffer *offer)
{
    qmp_registry_add_commands(registry, qmp_protocol_commands, offer->server);
    qmp_registry_add_commands(registry, qmp_client_commands, offer->server);
    qmp_registry_add_commands(registry, qmp_fd_commands, offer->server);
    object_types_register(registry, offer->objects);
    qmp_registry_add_commands(registry, daemon_commands, offer->control);
    qmp_registry_add_commands(registry, configuration_commands, offer->configurator);
    qmp_registry_add_commands(registry, loop_commands, (void *)offer->stall_threshold_ns);
    qmp_registry_add_commands(registry, trace_commands, offer->trace);
    if (offer->debug_commands) {
        qmp_registry_add_commands(registry, debug_commands, offer->server);
        qmp_registry_add_events(registry, debug_events);
    }
    qmp_registry_add_events(registry, qmp_protocol_events);
    qmp_registry_add_events(registry, daemon_events);
    qmp_registry_add_events(registry, stall_events);
}
