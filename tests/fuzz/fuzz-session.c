/*
 * Fuzz target: whole sessions, bytes in and replies out, on the daemon's own commands and objects.
 *
 * The server is real, but both of its threads are this one: the monitor's context and the main
 * loop's are driven in turn until neither has anything to do, so the same input takes the same way.
 * (The IOThreads that an input adds are threads; nothing waits for what they do but their own end.)
 * Each input has a server of its own, and leaves no session, object or descriptor behind.
 *
 * The input is what a client sends. The byte 0xfe, which JSON can't have, begins an instruction:
 *
 *   0xfe n   let the server do all that there is to do
 *   0xfe s   go on with the other of two sessions
 *   0xfe c   close the connection, and make a new one
 *   0xfe h   send no more, take all answers, and make a new connection
 *   0xfe f   send a descriptor along with what follows
 *   0xfe u   from here on leave unread what the server sends
 *   0xfe r   read it again
 *
 * Every client that is not closed in between sends to its end and must have had one answer to
 * each value.
 */
#include "config.h"
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/commands.h"
#include "iothreads/iothread-internal.h"
#include "loop/main-loop.h"
#include "tests/fuzz/fuzz-client.h"

#define INSTRUCTION 0xfe

/* The server's address, and a socket that listens there. */
static struct sockaddr_un address = { .sun_family = AF_UNIX };
static socklen_t address_len;
static int listening_fd;

/* A monitor without a thread. */
static IOThread monitor;

static const QmpJsonLimits limits = { .max_bytes = 1024, .max_depth = 16, .max_tokens = 200 };

/* What one input runs on. */
typedef struct Session {
    QmpRegistry *registry;
    ObjectTree *objects;
    Configurator *configurator;
    QmpServer *server;
    DaemonControl control;
    Trace *trace;
    FuzzClient clients[2];
    unsigned current;
    bool unread;
} Session;

/* x-debug-block takes no time here. */
bool __real_debug_block(const char *loop, int64_t duration_ns, void (*done)(void *opaque),
                        void *opaque);
bool __wrap_debug_block(const char *loop, int64_t duration_ns, void (*done)(void *opaque),
                        void *opaque);

bool __wrap_debug_block(const char *loop, int64_t duration_ns, void (*done)(void *opaque),
                        void *opaque)
{
    return __real_debug_block(loop, 0, done, opaque);
}

/* ---- the server ---- */

/* A timer that an input has added may always have more to do. Each turn runs all that is queued, so
 * what is left after so many is no command's. */
#define MAX_TURNS 4096

/* Until neither loop has anything to do and no command runs. */
static void drive(Session *self)
{
    bool progress;
    unsigned turns = 0;

    do {
        progress = aio_poll(monitor.ctx, false);
        progress |= aio_poll(qemu_get_aio_context(), false);
        if (!progress && qmp_server_is_busy(self->server)) {
            /* An IOThread is about to end. */
            progress = aio_poll(qemu_get_aio_context(), true);
        }
    } while ((progress && ++turns < MAX_TURNS) || qmp_server_is_busy(self->server));
}

static void start(Session *self)
{
    const QmpServerConfig config = {
        .monitor = &monitor,
        .main_context = qemu_get_aio_context(),
        .registry = self->registry = qmp_registry_new(),
        .version = { 1, 2, 3 },
        .package = "fuzz",
        .limits = limits,
        .max_output = 256 << 10,
        .max_output_total = 384 << 10,
    };
    static const QmpAccess access = { .name = "fuzz" };
    DaemonOffer offer = { .control = &self->control, .debug_commands = true };
    const ConfigFormat format = { .registry = self->registry, .limits = limits };

    offer.trace = self->trace = trace_new();
    offer.objects = self->objects = object_tree_new();
    offer.configurator = self->configurator = configurator_new(self->objects, &format, NULL);
    offer.server = self->server = qmp_server_new(&config);
    object_tree_set_server(self->objects, self->server);
    daemon_register(self->registry, &offer);
    qmp_server_listen(self->server, dup(listening_fd), &access);
}

static void object_is_deleted(void *opaque)
{
}

static void delete_object(Object *object, void *opaque)
{
    if (!object->deleting && object->users->len == 0) {
        object_delete(object, object_is_deleted, NULL, NULL);
    }
}

static void end(Session *self)
{
    if (self->control.shutdown != SHUTDOWN_CAUSE_NONE) {
        ShutdownEvent event = { .reason = (int)self->control.shutdown };

        qmp_server_emit(self->server, &daemon_events[0], &event);
    }
    qmp_server_stop(self->server);
    drive(self);
    while (object_count(self->objects) > 0) {
        object_foreach(self->objects, delete_object, NULL);
        if (object_count(self->objects) > 0) {
            aio_poll(qemu_get_aio_context(), true);
        }
    }
    object_tree_set_server(self->objects, NULL);
    qmp_server_free(self->server);
    trace_free(self->trace);
    while (aio_poll(monitor.ctx, false)) {
        /* What the end has left for the monitor to do; its thread would do it before it ends. */
    }
    configurator_free(self->configurator);
    object_tree_free(self->objects);
    qmp_registry_free(self->registry);
}

/* ---- the clients ---- */

static void connect_client(FuzzClient *client)
{
    fuzz_client_connect(client, &address, address_len, &limits);
}

/* Send to the end, and read to the end. */
static void finish_client(Session *self, FuzzClient *client)
{
    fuzz_client_shutdown(client);
    while (!client->at_end) {
        drive(self);
        /* It has nothing to do, so it waits for nothing but its client to read. */
        fuzz_assert(fuzz_client_read(client));
    }
    fuzz_client_check_answers(client);
    fuzz_client_close(client);
}

static void drive_and_read(Session *self)
{
    drive(self);
    for (size_t i = 0; i < G_N_ELEMENTS(self->clients) && !self->unread; i++) {
        while (fuzz_client_read(&self->clients[i])) {
            drive(self);
        }
    }
}

static void instruct(Session *self, uint8_t what)
{
    FuzzClient *client = &self->clients[self->current];

    switch (what) {
    case 'n':
        drive_and_read(self);
        break;
    case 's':
        self->current ^= 1;
        break;
    case 'c':
        fuzz_client_close(client);
        connect_client(client);
        break;
    case 'h':
        finish_client(self, client);
        connect_client(client);
        break;
    case 'f':
        client->send_fd = true;
        break;
    case 'u':
    case 'r':
        self->unread = what == 'u';
        for (size_t i = 0; i < G_N_ELEMENTS(self->clients); i++) {
            self->clients[i].may_be_dropped |= self->unread;
        }
        break;
    }
}

/* The answers to what a client sends may be more than is kept of its output: it does not read in
 * between. Only that to query-qmp-schema is so long that few of them are, and an escape may stand
 * for any letter of that. */
static void expect_much(FuzzClient *client, const uint8_t *data, size_t len)
{
    static const char *const hints[] = { "qmp-schema", "\\u" };

    for (size_t i = 0; i < G_N_ELEMENTS(hints); i++) {
        const uint8_t *from = data;

        while ((from = memmem(from, (size_t)(data + len - from), hints[i], strlen(hints[i])))) {
            client->long_answers++;
            from++;
        }
    }
    client->may_be_dropped |= client->long_answers > 1;
}

static void run(Session *self, const uint8_t *data, size_t size)
{
    while (size > 0) {
        const uint8_t *next = memchr(data, INSTRUCTION, size);
        size_t len = next ? (size_t)(next - data) : size;

        expect_much(&self->clients[self->current], data, len);
        fuzz_client_send(&self->clients[self->current], data, len);
        data += len;
        size -= len;
        if (size >= 2) {
            instruct(self, data[1]);
        }
        data += MIN(size, 2);
        size -= MIN(size, 2);
    }
}

/* ---- what is left behind ---- */

static unsigned count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned count = 0;

    fuzz_assert(dir);
    while (readdir(dir)) {
        count++;
    }
    closedir(dir);
    return count;
}

static void found_iothread(IOThread *iothread, void *opaque)
{
    fuzz_fail("the IOThread %s is left", iothread_get_id(iothread));
}

/* ---- libFuzzer's functions ---- */

static void listen_somewhere(void)
{
    socklen_t len = offsetof(struct sockaddr_un, sun_path);

    listening_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    fuzz_assert(listening_fd >= 0);
    /* Without a path it is the kernel that chooses an address, an abstract one. */
    fuzz_assert(bind(listening_fd, (struct sockaddr *)&address, len) == 0);
    /* An input may make more connections than the server is let accept. */
    fuzz_assert(listen(listening_fd, SOMAXCONN) == 0);
    address_len = sizeof(address);
    fuzz_assert(getsockname(listening_fd, (struct sockaddr *)&address, &address_len) == 0);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    g_autoptr(GError) error = NULL;

    fuzz_log_init();
    /* Whose readiness is there at once. */
    g_setenv("EVLOOP_FDMON", "epoll", TRUE);
    if (!qemu_init_main_loop(&error)) {
        fuzz_fail("%s", error->message);
    }
    monitor.ctx = aio_context_new(&error);
    if (!monitor.ctx) {
        fuzz_fail("%s", error->message);
    }
    /* Whoever drives a context is at home there. */
    aio_poll(monitor.ctx, false);
    listen_somewhere();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Session self = { 0 };
    unsigned fds = count_fds();

    start(&self);
    for (size_t i = 0; i < G_N_ELEMENTS(self.clients); i++) {
        connect_client(&self.clients[i]);
    }
    run(&self, data, size);
    for (size_t i = 0; i < G_N_ELEMENTS(self.clients); i++) {
        finish_client(&self, &self.clients[i]);
    }
    end(&self);
    iothread_foreach(found_iothread, NULL);
    fuzz_assert(count_fds() == fds);
    return 0;
}
