/*
 * What the relays' connections on a context share: one buffer to read into, and a few empty pipes.
 */
#include "config.h"
#include "objects/relay/relay-internal.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

/* As many idle pipes are kept; more are closed when they are given back. */
#define MAX_PIPES 16

#define PIPE_SIZE 262144

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static GHashTable *registry; /* AioContext -> RelayLoop; guarded by registry_lock */

RelayLoop *relay_loop_get(AioContext *ctx)
{
    RelayLoop *loop;

    pthread_mutex_lock(&registry_lock);
    if (!registry) {
        registry = g_hash_table_new(NULL, NULL);
    }
    loop = g_hash_table_lookup(registry, ctx);
    if (!loop) {
        /* The buffer's pages are there when they are first used. */
        loop = g_malloc(sizeof(*loop));
        loop->ctx = ctx;
        loop->refs = 0;
        loop->pipes = NULL;
        loop->n_pipes = 0;
        loop->send_buffer_asked = 0;
        loop->send_buffer_allowed = 0;
        aio_context_ref(ctx);
        g_hash_table_insert(registry, ctx, loop);
    }
    loop->refs++;
    pthread_mutex_unlock(&registry_lock);
    return loop;
}

void relay_loop_put(RelayLoop *loop)
{
    bool last;

    pthread_mutex_lock(&registry_lock);
    last = --loop->refs == 0;
    if (last) {
        g_hash_table_remove(registry, loop->ctx);
        if (g_hash_table_size(registry) == 0) {
            g_clear_pointer(&registry, g_hash_table_unref);
        }
    }
    pthread_mutex_unlock(&registry_lock);
    if (!last) {
        return;
    }
    while (loop->pipes) {
        RelayPipe *pipe = loop->pipes;

        loop->pipes = pipe->next;
        relay_pipe_close(pipe);
    }
    aio_context_unref(loop->ctx);
    g_free(loop);
}

RelayPipe *relay_loop_take_pipe(RelayLoop *loop)
{
    RelayPipe *pipe = loop->pipes;
    int fds[2];

    if (pipe) {
        loop->pipes = pipe->next;
        loop->n_pipes--;
        return pipe;
    }
    if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) != 0) {
        return NULL;
    }
    /* More than 64 KiB in a turn are fewer turns; where the system refuses, it works as it is. */
    fcntl(fds[1], F_SETPIPE_SZ, PIPE_SIZE);
    pipe = g_new0(RelayPipe, 1);
    pipe->out = fds[0];
    pipe->in = fds[1];
    return pipe;
}

void relay_loop_give_pipe(RelayLoop *loop, RelayPipe *pipe)
{
    if (loop->n_pipes == MAX_PIPES) {
        relay_pipe_close(pipe);
        return;
    }
    pipe->next = loop->pipes;
    loop->pipes = pipe;
    loop->n_pipes++;
}

void relay_pipe_close(RelayPipe *pipe)
{
    close(pipe->out);
    close(pipe->in);
    g_free(pipe);
}

/* net.core.wmem_max is the limit, which may be less than what each has by default, and a sandbox
 * may hide it. So a socket is asked. */
static int ask_for_send_buffer(size_t size)
{
    int half = (int)size / 2; /* the kernel doubles it */
    socklen_t length = sizeof(int);
    int allowed = 0;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return 0;
    }
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &half, sizeof(half)) != 0 ||
        getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &allowed, &length) != 0) {
        allowed = 0;
    }
    close(fd);
    return allowed;
}

int relay_loop_send_buffer(RelayLoop *loop, size_t size)
{
    if (loop->send_buffer_asked != size) {
        loop->send_buffer_allowed = ask_for_send_buffer(size);
        loop->send_buffer_asked = loop->send_buffer_allowed > 0 ? size : 0;
    }
    return loop->send_buffer_allowed;
}
