/*
 * Reloading on SIGHUP, and what the service manager is told of it.
 */
#include "config.h"
#include "daemon/reload-signal.h"

#include "daemon/systemd.h"

static void reload_begins(void *opaque)
{
    ReloadSignal *self = opaque;

    self->wanted = false;
    systemd_notify_reloading();
}

/* With the old configuration, if not with the new one, the daemon is up again. */
static void reload_ends(json_object *difference, const GError *error, void *opaque)
{
    ReloadSignal *self = opaque;
    g_autofree char *status = NULL;

    if (!self->configurator) {
        return;
    }
    if (error) {
        status = g_strdup_printf("%s; the configuration was not reloaded: %s", self->status,
                                 error->message);
    }
    systemd_notify_ready(status ? status : self->status);
}

static void begin(ReloadSignal *self)
{
    configurator_reload(self->configurator, reload_begins, reload_ends, self);
}

void reload_signal_arrived(ReloadSignal *self)
{
    if (!self->wanted) {
        self->wanted = true;
        if (self->configurator) {
            begin(self);
        }
    }
}

void reload_signal_start(ReloadSignal *self, Configurator *configurator, const char *status)
{
    self->configurator = configurator;
    self->status = g_strdup(status);
    if (self->wanted) {
        begin(self);
    }
}

void reload_signal_stop(ReloadSignal *self)
{
    self->configurator = NULL;
}

void reload_signal_cleanup(ReloadSignal *self)
{
    g_clear_pointer(&self->status, g_free);
}
