/*
 * evloopd: main().
 *
 * Start: options, main loop, monitor thread, sockets, objects that options ask for, READY. What
 * fails on the way is one line on stderr and exit status 1, with all that was made so far undone,
 * and what the daemon before had left handed back.
 * End: the sockets are removed, no new command is started, those that run answer, objects go, and
 * output is flushed. A signal while it ends makes objects go without waiting. With --fd-store they
 * are left to the next daemon instead, daemon/keeping.h.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "daemon/backtrace.h"
#include "daemon/commands.h"
#include "daemon/control-sockets.h"
#include "daemon/keeping.h"
#include "daemon/log.h"
#include "daemon/loops.h"
#include "daemon/options.h"
#include "daemon/reload-signal.h"
#include "daemon/restoring.h"
#include "daemon/signals.h"
#include "daemon/stall-watch.h"
#include "daemon/startup.h"
#include "daemon/systemd.h"
#include "loop/main-loop.h"
#include "objects/keep-store.h"
#include "objects/object-types.h"
#include "qmp/qmp-log.h"
#include "qmp/qmp-server.h"

/* How long the end waits for clients to take what they have been sent. */
static const int64_t flush_timeout_ns = 1000 * SCALE_MS;

typedef struct Daemon {
    Options options;
    DaemonControl control;
    bool hurried; /* a signal came while it ended */
    IOThread *monitor;
    ObjectTree *objects;
    QmpRegistry *registry;
    QmpServer *server;
    ControlSockets *sockets;
    StallWatch *stall_watch; /* NULL: off, or not yet */
    bool watchdog_starves;
    PassedFds *passed; /* for the objects */
    Configurator *configurator;
    Kept *kept; /* what the daemon before has left, until the start is over */
    ReloadSignal reload_signal;
    Trace *trace;
} Daemon;

/* ---- signals ---- */

static void end_arrived(void *opaque)
{
    Daemon *self = opaque;

    if (self->control.shutdown != SHUTDOWN_CAUSE_NONE && self->objects) {
        qmp_log(QMP_LOG_ENDING, NULL, "ending at once, whatever connections there are");
        object_tree_hurry(self->objects);
        self->hurried = true;
    }
    daemon_request_shutdown(&self->control, SHUTDOWN_CAUSE_HOST_SIGNAL);
}

static void reload_arrived(void *opaque)
{
    Daemon *self = opaque;

    reload_signal_arrived(&self->reload_signal);
}

/* ---- start ---- */

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
        .max_output_total = self->options.max_output_total,
        .negotiation_timeout_ns = self->options.negotiation_timeout_ns,
    };
    DaemonOffer offer = {
        .objects = self->objects,
        .configurator = self->configurator,
        .control = &self->control,
        .stall_threshold_ns = &self->options.stall_threshold_ns,
        .trace = self->trace,
        .debug_commands = self->options.debug_commands,
    };

    self->server = qmp_server_new(&config);
    offer.server = self->server;
    object_tree_set_server(self->objects, self->server);
    daemon_register(self->registry, &offer);
}

/* Deadlines to the nanosecond are no use when the kernel may round them by 50 us. */
static void ask_for_exact_timers(void)
{
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
}

/* The soft limit is low for the sake of programs that use select(2), as nothing here does; the hard
 * one is what the administrator allows. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    rlim_t before;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) {
        return;
    }
    before = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) == 0) {
        g_debug("limit of descriptors raised from %ju to %ju", (uintmax_t)before,
                (uintmax_t)limit.rlim_max);
    } else {
        g_info("limit of descriptors left at %ju: %s", (uintmax_t)before, g_strerror(errno));
    }
}

static bool set_monitor_polling(Daemon *self, GError **errp)
{
    return aio_context_set_poll_params(iothread_get_aio_context(self->monitor),
                                       self->options.monitor_poll_max_ns, 0, 0, errp);
}

static void start_objects(Daemon *self)
{
    ConfigFormat format;

    self->objects = object_tree_new();
    object_tree_set_passed_fds(self->objects, self->passed);
    self->registry = qmp_registry_new();
    format = (ConfigFormat){ .registry = self->registry, .limits = self->options.limits };
    self->configurator = configurator_new(self->objects, &format, self->options.config_dir);
}

/* --object, --config and --config-dir, then what else the daemon before had. */
static bool fill(Daemon *self, GError **errp)
{
    self->kept = restoring_begin(self->passed, self->objects);
    if (!startup_run(&self->options, self->registry, self->configurator, errp)) {
        return false;
    }
    if (self->kept) {
        restoring_end(g_steal_pointer(&self->kept), self->objects, self->registry,
                      self->options.config_dir != NULL);
    }
    return true;
}

static bool start(Daemon *self, GError **errp)
{
    ask_for_exact_timers();
    raise_descriptor_limit();
    /* First of all: a wrong LISTEN_FDS, or fd:NUMBER, must not cover descriptors of the daemon's
     * own. */
    if (!control_sockets_inherit(self->sockets, self->passed, errp)) {
        return false;
    }
    log_open();
    if (self->options.fd_store && !systemd_is_there()) {
        const QmpLogFields fields = { .reason = "there is no service manager" };

        qmp_log(QMP_LOG_RESTART_NOT_KEPT, &fields,
                "--fd-store does nothing, for there is no service manager");
    }
    if (!qemu_init_main_loop(errp) || !signals_init(end_arrived, reload_arrived, self, errp) ||
        !control_sockets_open(self->sockets, errp)) {
        return false;
    }
    if (self->options.stall_threshold_ns > 0) {
        backtrace_init();
    }
    self->monitor = iothread_create("mon_iothread", errp);
    if (!self->monitor) {
        return false;
    }
    if (!set_monitor_polling(self, errp)) {
        return false;
    }
    start_objects(self);
    self->trace = trace_new();
    start_server(self);
    return fill(self, errp);
}

typedef struct HeldSearch {
    int64_t limit_ns;
    int64_t now_ns;
    char *found; /* the first loop that is held for longer, for people to read */
    char *loop;
    const char *source; /* what holds it, or NULL */
} HeldSearch;

static void search_held(const char *id, pid_t thread_id, AioContext *ctx, AioContext *second,
                        void *opaque)
{
    HeldSearch *search = opaque;
    AioActivity activity;

    aio_context_get_activity(ctx, &activity);
    if (!search->found && loop_held_ns(&activity, search->now_ns) > search->limit_ns) {
        g_autofree char *holder = loop_describe_holder(activity.source);

        search->found = g_strdup_printf("loop '%s' is held, in %s", id, holder);
        search->loop = g_strdup(id);
        search->source = activity.source;
    }
}

/* The monitor thread can't tell of itself, so the log has to. */
static bool loops_are_well(int64_t limit_ns, void *opaque)
{
    Daemon *self = opaque;
    HeldSearch search = {
        .limit_ns = MAX(limit_ns, self->options.stall_threshold_ns),
        .now_ns = qemu_clock_get_ns(QEMU_CLOCK_REALTIME),
    };

    if (self->options.stall_threshold_ns == 0) {
        return true;
    }
    loops_foreach(search_held, &search);
    if (search.found && !self->watchdog_starves) {
        const QmpLogFields fields = { .loop = search.loop, .source = search.source };

        qmp_log(QMP_LOG_WATCHDOG_STARVES, &fields, "the service manager's watchdog is not fed: %s",
                search.found);
    } else if (!search.found && self->watchdog_starves) {
        qmp_log(QMP_LOG_WATCHDOG_FED, NULL, "the service manager's watchdog is fed again");
    }
    self->watchdog_starves = search.found != NULL;
    g_free(search.found);
    g_free(search.loop);
    return !self->watchdog_starves;
}

static void start_watching(Daemon *self)
{
    if (self->options.stall_threshold_ns > 0) {
        self->stall_watch = stall_watch_new(iothread_get_aio_context(self->monitor), self->server,
                                            self->options.stall_threshold_ns);
    }
    systemd_watchdog_start(loops_are_well, self);
}

/* Only now, so that no client sees a daemon that is half configured. */
static void serve(Daemon *self)
{
    unsigned count = control_sockets_count(self->sockets);
    g_autofree char *status =
        g_strdup_printf("Serving %u control socket%s", count, count == 1 ? "" : "s");

    control_sockets_serve(self->sockets, self->server);
    start_watching(self);
    systemd_notify_ready(status);
    qmp_log(QMP_LOG_READY, NULL, "ready: %s", status);
    reload_signal_start(&self->reload_signal, self->configurator, status);
    while (self->control.shutdown == SHUTDOWN_CAUSE_NONE) {
        main_loop_wait(false);
    }
}

/* ---- end ---- */

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

/* Whether the next daemon is to go on with the objects. A command to end is not meant so. */
static bool keeps(const Daemon *self)
{
    return self->options.fd_store && systemd_is_there() && !self->hurried &&
           self->control.shutdown == SHUTDOWN_CAUSE_HOST_SIGNAL;
}

/* The start has failed, before anybody was served: the next one is to find all as this one has. */
static void end_start(Daemon *self)
{
    object_tree_set_kept(self->objects, NULL);
    if (self->options.fd_store && systemd_is_there()) {
        keeping_keep_again(self->objects, self->kept, &self->hurried);
    } else {
        qmp_log(QMP_LOG_RESTART_NOT_KEPT, &(QmpLogFields){ 0 },
                "restart: what the daemon before has left ends with this one, for there is no "
                "--fd-store, or no service manager");
        keeping_delete_all(self->objects);
    }
    g_clear_pointer(&self->kept, kept_free);
}

/* Returns whether clients have been waited for. After it no thread emits events but this one and
 * the monitor: what an object did on its loop's thread was over when that thread stopped it, which
 * the main loop has then heard from it; and the IOThreads, being objects too, have been joined. */
static bool end_objects(Daemon *self)
{
    if (self->kept) {
        end_start(self);
        return false;
    }
    while (qmp_server_is_busy(self->server) || configurator_is_busy(self->configurator)) {
        if (keeps(self)) {
            object_tree_hurry_deleted(self->objects);
        }
        main_loop_wait(false);
    }
    if (keeps(self)) {
        /* Connections do not wait for clients that are slow. */
        flush_output(self->server);
        keeping_keep_all(self->objects, &self->hurried);
        return true;
    }
    keeping_delete_all(self->objects);
    return false;
}

static void end_server(Daemon *self)
{
    bool flushed;

    reload_signal_stop(&self->reload_signal);
    configurator_stop(self->configurator);
    if (self->control.shutdown != SHUTDOWN_CAUSE_NONE) {
        ShutdownEvent event = { .guest = false, .reason = (int)self->control.shutdown };

        systemd_notify_stopping();
        qmp_server_emit(self->server, &daemon_events[0], &event);
    }
    qmp_server_stop(self->server);
    flushed = end_objects(self);
    if (self->stall_watch) {
        stall_watch_stop(self->stall_watch);
    }
    if (!flushed) {
        flush_output(self->server);
    }
    object_tree_set_server(self->objects, NULL);
    g_clear_pointer(&self->server, qmp_server_free);
}

static void end(Daemon *self)
{
    /* While they are listened on: once they were not, another daemon could replace one, by a file
     * that may well get the same inode, and this would remove that. */
    control_sockets_remove_files(self->sockets);
    if (self->server) {
        end_server(self);
    }
    g_clear_pointer(&self->configurator, configurator_free);
    g_clear_pointer(&self->objects, object_tree_free);
    g_clear_pointer(&self->registry, qmp_registry_free);
    g_clear_pointer(&self->trace, trace_free);
    g_clear_pointer(&self->monitor, iothread_destroy);
    g_clear_pointer(&self->stall_watch, stall_watch_free);
    systemd_watchdog_stop();
    control_sockets_free(self->sockets);
    passed_fds_free(self->passed);
    reload_signal_cleanup(&self->reload_signal);
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

static int run(int argc, char **argv)
{
    Daemon self = { 0 };
    GError *error = NULL;

    if (!options_parse(&self.options, argc, argv, &error)) {
        options_cleanup(&self.options);
        return fail(error);
    }
    if (self.options.version) {
        printf("%s\n", PACKAGE_STRING);
        options_cleanup(&self.options);
        return EXIT_SUCCESS;
    }
    self.sockets = control_sockets_new(self.options.monitors);
    self.passed = passed_fds_new();
    if (start(&self, &error)) {
        serve(&self);
    }
    end(&self);
    options_cleanup(&self.options);
    return error ? fail(error) : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    int status;

    open_standard_streams();
    log_init();
    status = run(argc, argv);
    log_finish();
    return status;
}
