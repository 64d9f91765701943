/*
 * evloopd: main().
 *
 * Start: options, main loop, monitor thread, sockets, --object and --config, READY. Whatever fails
 * on the way is one line on stderr and exit status 1, with all that was made so far undone. End:
 * the sockets are removed, no new command is started, those that run answer, objects go, and output
 * is flushed.
 */
#include "config.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "daemon/commands.h"
#include "daemon/log.h"
#include "daemon/options.h"
#include "daemon/signals.h"
#include "daemon/startup.h"
#include "daemon/systemd.h"
#include "daemon/unix-socket.h"
#include "loop/main-loop.h"
#include "objects/object-types.h"
#include "qmp/qmp-server.h"

/* How long the end waits for clients to take what they have been sent. */
static const int64_t flush_timeout_ns = 1000 * SCALE_MS;

typedef struct Daemon {
    Options options;
    DaemonControl control;
    IOThread *monitor;
    ObjectTree *objects;
    QmpRegistry *registry;
    QmpServer *server;
    GPtrArray *sockets; /* of UnixSocket: those that the daemon made */
    GArray *listen_fds; /* of int: of these and of socket activation, not yet the server's */
} Daemon;

/* ---- start ---- */

static bool open_sockets(Daemon *self, GError **errp)
{
    for (guint i = 0; i < self->options.monitors->len; i++) {
        const MonitorOption *option = g_ptr_array_index(self->options.monitors, i);
        UnixSocket *socket;
        int fd;

        /* So the same command line serves with the manager's socket and without. */
        if (systemd_has_socket(option->path)) {
            continue;
        }
        socket = unix_socket_listen(option->path, option->mode, option->group, errp);
        if (!socket) {
            g_prefix_error(errp, "--qmp: ");
            return false;
        }
        g_ptr_array_add(self->sockets, socket);
        fd = unix_socket_take_fd(socket);
        g_array_append_val(self->listen_fds, fd);
    }
    if (self->listen_fds->len == 0) {
        g_set_error(errp, AIO_ERROR, AIO_ERROR_INVALID,
                    "there is no control socket: give --qmp unix:PATH");
        return false;
    }
    return true;
}

static void start_server(Daemon *self)
{
    const QmpServerConfig config = {
        .monitor = self->monitor,
        .main_context = qemu_get_aio_context(),
        .registry = self->registry,
        .version = { EVLOOPD_VERSION_MAJOR, EVLOOPD_VERSION_MINOR, EVLOOPD_VERSION_MICRO },
        .package = PACKAGE_STRING,
        .limits = self->options.limits,
        .max_output = self->options.max_output,
    };

    self->server = qmp_server_new(&config);
    object_tree_set_server(self->objects, self->server);
    qmp_registry_add_commands(self->registry, qmp_protocol_commands, self->server);
    object_types_register(self->registry, self->objects);
    qmp_registry_add_commands(self->registry, daemon_commands, &self->control);
    qmp_registry_add_commands(self->registry, loop_commands, NULL);
    if (self->options.debug_commands) {
        qmp_registry_add_commands(self->registry, debug_commands, NULL);
    }
    qmp_registry_add_events(self->registry, daemon_events);
}

static void signal_arrived(void *opaque)
{
    Daemon *self = opaque;

    daemon_request_shutdown(&self->control, SHUTDOWN_CAUSE_HOST_SIGNAL);
}

/* Deadlines to the nanosecond are no use when the kernel may round them by 50 us. */
static void ask_for_exact_timers(void)
{
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
}

static bool start(Daemon *self, GError **errp)
{
    ask_for_exact_timers();
    /* First of all: a wrong LISTEN_FDS must not cover descriptors of the daemon's own. */
    if (!systemd_take_sockets(self->listen_fds, errp)) {
        return false;
    }
    if (!qemu_init_main_loop(errp) || !signals_init(signal_arrived, self, errp) ||
        !open_sockets(self, errp)) {
        return false;
    }
    self->monitor = iothread_create("mon_iothread", errp);
    if (!self->monitor) {
        return false;
    }
    self->objects = object_tree_new();
    self->registry = qmp_registry_new();
    start_server(self);
    return startup_run(&self->options, self->registry, errp);
}

/* Only now, so that no client sees a daemon that is half configured. */
static void serve(Daemon *self)
{
    g_autofree char *status = g_strdup_printf("Serving %u control socket%s", self->listen_fds->len,
                                              self->listen_fds->len == 1 ? "" : "s");

    for (guint i = 0; i < self->listen_fds->len; i++) {
        qmp_server_listen(self->server, g_array_index(self->listen_fds, int, i));
    }
    /* They are the server's now. */
    g_array_set_clear_func(self->listen_fds, NULL);
    systemd_watchdog_start();
    systemd_notify_ready(status);
    while (self->control.shutdown == SHUTDOWN_CAUSE_NONE) {
        main_loop_wait(false);
    }
}

/* ---- end ---- */

static void object_is_deleted(void *opaque)
{
}

static void delete_unused(Object *object, void *opaque)
{
    if (!object->deleting && object->users->len == 0) {
        object_delete(object, object_is_deleted, NULL, NULL);
    }
}

static void delete_objects(ObjectTree *objects)
{
    unsigned count;

    while ((count = object_count(objects)) > 0) {
        object_foreach(objects, delete_unused, NULL);
        /* One that has gone at once may have been the last user of another. */
        main_loop_wait(object_count(objects) < count);
    }
}

static void flush_time_is_over(void *opaque)
{
    bool *over = opaque;

    *over = true;
}

/* The server notifies the main loop when a session has no more output. */
static void flush_output(QmpServer *server)
{
    bool over = false;
    QEMUTimer *timer = aio_timer_new(qemu_get_aio_context(), QEMU_CLOCK_REALTIME, SCALE_NS,
                                     flush_time_is_over, &over);

    timer_mod_ns(timer, qemu_clock_get_ns(QEMU_CLOCK_REALTIME) + flush_timeout_ns);
    while (!over && qmp_server_has_output(server)) {
        main_loop_wait(false);
    }
    timer_free(timer);
}

static void end_server(Daemon *self)
{
    if (self->control.shutdown != SHUTDOWN_CAUSE_NONE) {
        ShutdownEvent event = { .guest = false, .reason = (int)self->control.shutdown };

        systemd_notify_stopping();
        qmp_server_emit(self->server, &daemon_events[0], &event);
    }
    qmp_server_stop(self->server);
    while (qmp_server_is_busy(self->server)) {
        main_loop_wait(false);
    }
    delete_objects(self->objects);
    flush_output(self->server);
    object_tree_set_server(self->objects, NULL);
    g_clear_pointer(&self->server, qmp_server_free);
}

static void close_fd(gpointer fd)
{
    close(*(int *)fd);
}

static void end(Daemon *self)
{
    /* While they are listened on: once they were not, another daemon could replace one, by a file
     * that may well get the same inode, and this would remove that. */
    g_ptr_array_unref(self->sockets);
    if (self->server) {
        end_server(self);
    }
    g_clear_pointer(&self->objects, object_tree_free);
    g_clear_pointer(&self->registry, qmp_registry_free);
    g_clear_pointer(&self->monitor, iothread_destroy);
    systemd_watchdog_stop();
    g_array_unref(self->listen_fds);
    signals_cleanup();
    qemu_cleanup_main_loop();
}

static int fail(GError *error)
{
    log_failure(error->message);
    g_error_free(error);
    return EXIT_FAILURE;
}

/* Whoever starts with them closed would get them as sockets, with log lines written into them. */
static void open_standard_streams(void)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0) {
        close(fd);
    }
}

int main(int argc, char **argv)
{
    Daemon self = { 0 };
    GError *error = NULL;

    open_standard_streams();
    log_init();
    if (!options_parse(&self.options, argc, argv, &error)) {
        options_cleanup(&self.options);
        return fail(error);
    }
    if (self.options.version) {
        printf("%s\n", PACKAGE_STRING);
        options_cleanup(&self.options);
        return EXIT_SUCCESS;
    }
    self.sockets = g_ptr_array_new_with_free_func((GDestroyNotify)unix_socket_remove);
    self.listen_fds = g_array_new(FALSE, FALSE, sizeof(int));
    g_array_set_clear_func(self.listen_fds, close_fd);
    if (start(&self, &error)) {
        serve(&self);
    }
    end(&self);
    options_cleanup(&self.options);
    return error ? fail(error) : EXIT_SUCCESS;
}
