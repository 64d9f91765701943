/*
 * One direction of a connection: from what can be read on one socket to what another one takes.
 *
 * It begins with recv() and send() through the context's shared buffer. When that was filled at
 * once there is more to come, and the flow goes over to splice(2), until a transfer is small again.
 */
#include "config.h"
#include "objects/relay/relay-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A splice of less than this ends the bulk transfer. */
#define BULK_MIN 16384

/* As many turns are taken before others get theirs. */
#define MAX_TURNS 8

typedef enum {
    STEP_AGAIN, /* there may be more */
    STEP_EMPTY, /* wait until the source has something, or the sink has room for what is held */
    STEP_SOURCE_FAILED,
    STEP_SINK_FAILED,
} Step;

static bool would_block(void)
{
    return errno == EAGAIN || errno == EINTR;
}

/* ---- through memory ---- */

/* Send @length bytes at @data; what does not fit is kept. */
static Step send_or_keep(RelayFlow *flow, int sink, const char *data, size_t length)
{
    ssize_t sent = send(sink, data, length, MSG_NOSIGNAL);

    if (sent < 0) {
        if (!would_block()) {
            return STEP_SINK_FAILED;
        }
        sent = 0;
    }
    if ((size_t)sent < length) {
        flow->held = (uint32_t)(length - (size_t)sent);
        flow->rest = g_memdup2(data + sent, flow->held);
        flow->rest_offset = 0;
        return STEP_EMPTY;
    }
    return STEP_AGAIN;
}

/*
 * Give @sink, when it is a unix socket, a send buffer of @limit bytes, or as many as the system
 * allows; that counts what the kernel needs beside the bytes.
 *
 * By default it has 208 KiB, and who found them full is woken only when three quarters are free
 * again (Linux, unix_writable()): little is left for the receiver to go on with until the sender
 * has run. TCP makes its buffers larger by itself, and no more when it was told a size.
 */
static void enlarge_send_buffer(RelayLoop *loop, int sink, size_t limit)
{
    int half = (int)limit / 2; /* the kernel doubles it */
    socklen_t length = sizeof(int);
    int domain;
    int size;

    if (getsockopt(sink, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 && domain == AF_UNIX &&
        getsockopt(sink, SOL_SOCKET, SO_SNDBUF, &size, &length) == 0 &&
        size < relay_loop_send_buffer(loop, limit)) {
        /* Where it is refused, it works as it is. */
        setsockopt(sink, SOL_SOCKET, SO_SNDBUF, &half, sizeof(half));
    }
}

static void begin_bulk(RelayFlow *flow, RelayLoop *loop, int sink, size_t limit)
{
    if (flow->no_splice) {
        return;
    }
    flow->bulk = true;
    if (!flow->enlarged) {
        flow->enlarged = true;
        enlarge_send_buffer(loop, sink, limit);
    }
}

static Step copy(RelayFlow *flow, RelayLoop *loop, int source, int sink, size_t limit)
{
    size_t room = MIN(limit, sizeof(loop->buffer));
    ssize_t length = recv(source, loop->buffer, room, 0);
    Step step;

    if (length < 0) {
        return would_block() ? STEP_EMPTY : STEP_SOURCE_FAILED;
    }
    if (length == 0) {
        flow->eof = true;
        return STEP_EMPTY;
    }
    flow->bytes += (uint64_t)length;
    step = send_or_keep(flow, sink, loop->buffer, (size_t)length);
    if ((size_t)length == room) {
        begin_bulk(flow, loop, sink, limit);
        return step;
    }
    /* What has come meanwhile is announced again. */
    return step == STEP_AGAIN ? STEP_EMPTY : step;
}

/* Send what is kept in memory. */
static Step send_rest(RelayFlow *flow, int sink)
{
    ssize_t sent = send(sink, flow->rest + flow->rest_offset, flow->held, MSG_NOSIGNAL);

    if (sent < 0) {
        return would_block() ? STEP_EMPTY : STEP_SINK_FAILED;
    }
    flow->held -= (uint32_t)sent;
    flow->rest_offset += (uint32_t)sent;
    if (flow->held > 0) {
        return STEP_EMPTY;
    }
    g_clear_pointer(&flow->rest, g_free);
    return STEP_AGAIN;
}

/* ---- through a pipe ---- */

/* Send what the pipe holds, and give it back when it is empty. */
static Step empty_pipe(RelayFlow *flow, RelayLoop *loop, int sink)
{
    uint32_t held = flow->held;

    while (flow->held > 0) {
        ssize_t sent = splice(flow->pipe->out, NULL, sink, NULL, flow->held,
                              SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

        if (sent < 0 && would_block()) {
            break;
        }
        if (sent <= 0) {
            return STEP_SINK_FAILED;
        }
        flow->held -= (uint32_t)sent;
    }
    if (flow->held < held) {
        flow->full = false;
    }
    if (flow->held == 0) {
        relay_loop_give_pipe(loop, g_steal_pointer(&flow->pipe));
    }
    return flow->held < held ? STEP_AGAIN : STEP_EMPTY;
}

/* It has a number of slots, of which a fragment takes one, however small it is. */
static bool pipe_is_full(const RelayPipe *pipe)
{
    struct pollfd in = { .fd = pipe->in, .events = POLLOUT };

    return poll(&in, 1, 0) == 0;
}

/* What splice() into the pipe failed for. */
static Step filling_failed(RelayFlow *flow)
{
    if (would_block()) {
        flow->full = flow->held > 0 && pipe_is_full(flow->pipe);
        return STEP_EMPTY;
    }
    if (errno == EINVAL && flow->held == 0) {
        flow->no_splice = true;
        flow->bulk = false;
        return STEP_AGAIN;
    }
    flow->broken = true;
    return STEP_EMPTY;
}

/* Read into the pipe, which may hold something, up to @limit in all. */
static Step fill_pipe(RelayFlow *flow, RelayLoop *loop, int source, size_t limit)
{
    size_t room = limit - flow->held;
    Step step = STEP_AGAIN;
    ssize_t length;

    if (!flow->pipe) {
        flow->pipe = relay_loop_take_pipe(loop);
    }
    if (!flow->pipe) {
        flow->bulk = false;
        return STEP_AGAIN;
    }
    length = splice(source, NULL, flow->pipe->in, NULL, room, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (length > 0) {
        flow->bytes += (uint64_t)length;
        flow->held += (uint32_t)length;
        flow->bulk = (size_t)length >= MIN(room, BULK_MIN);
    } else if (length == 0) {
        flow->eof = true;
        step = STEP_EMPTY;
    } else {
        step = filling_failed(flow);
    }
    if (flow->held == 0) {
        relay_loop_give_pipe(loop, g_steal_pointer(&flow->pipe));
    }
    return step;
}

/* The source fills the pipe while the sink empties it: neither waits for the other as long as the
 * pipe is neither full nor empty. */
static Step splice_through(RelayFlow *flow, RelayLoop *loop, int source, int sink, size_t limit)
{
    bool small = false;
    Step in = STEP_EMPTY;
    Step out = STEP_EMPTY;

    if (flow->bulk && relay_flow_wants(flow, limit)) {
        in = fill_pipe(flow, loop, source, limit);
        small = !flow->bulk && !flow->no_splice && flow->pipe;
    }
    if (flow->held > 0) {
        out = empty_pipe(flow, loop, sink);
    }
    if (out == STEP_SINK_FAILED) {
        return out;
    }
    if (small && flow->held == 0) {
        /* What has come meanwhile is announced again. */
        return STEP_EMPTY;
    }
    return in == STEP_AGAIN ? in : out;
}

/* ---- both ---- */

bool relay_flow_wants(const RelayFlow *flow, size_t limit)
{
    if (flow->eof || flow->broken) {
        return false;
    }
    return flow->held == 0 || (flow->pipe && flow->bulk && !flow->full && flow->held < limit);
}

static Step take_step(RelayFlow *flow, RelayLoop *loop, int source, int sink, size_t limit)
{
    if (flow->rest) {
        return send_rest(flow, sink);
    }
    if (flow->pipe || (flow->bulk && !flow->eof)) {
        return splice_through(flow, loop, source, sink, limit);
    }
    return flow->eof || flow->broken ? STEP_EMPTY : copy(flow, loop, source, sink, limit);
}

FlowResult relay_flow_pump(RelayFlow *flow, RelayLoop *loop, int source, int sink, size_t limit)
{
    uint64_t bytes = flow->bytes;
    uint32_t held = flow->held;
    Step step = STEP_AGAIN;

    for (int i = 0; i < MAX_TURNS && step == STEP_AGAIN; i++) {
        step = take_step(flow, loop, source, sink, limit);
    }
    if (flow->bytes == bytes && flow->held == held) {
        /* Ready, and yet nothing moved: splice() stops at an urgent byte, which recv() skips. */
        flow->bulk = false;
    }
    if (flow->broken && flow->held == 0 && step != STEP_SINK_FAILED) {
        step = STEP_SOURCE_FAILED;
    }
    switch (step) {
    case STEP_SOURCE_FAILED:
        return FLOW_SOURCE_FAILED;
    case STEP_SINK_FAILED:
        return FLOW_SINK_FAILED;
    default:
        return FLOW_GOES_ON;
    }
}

static bool read_pipe(int pipe, char *bytes, size_t length)
{
    size_t done = 0;

    while (done < length) {
        ssize_t n = read(pipe, bytes + done, length - done);

        if (n <= 0 && (n == 0 || errno != EINTR)) {
            return false;
        }
        done += n > 0 ? (size_t)n : 0;
    }
    return true;
}

bool relay_flow_take_held(RelayFlow *flow, char **held)
{
    g_autofree char *bytes = NULL;

    *held = NULL;
    if (flow->held == 0) {
        return true;
    }
    /* There may be many connections that hold much, so a shortage is theirs. */
    bytes = g_try_malloc(flow->held);
    if (!bytes) {
        return false;
    }
    if (flow->rest) {
        memcpy(bytes, flow->rest + flow->rest_offset, flow->held);
    } else if (!read_pipe(flow->pipe->out, bytes, flow->held)) {
        return false;
    }
    relay_flow_drop(flow);
    *held = g_steal_pointer(&bytes);
    return true;
}

void relay_flow_drop(RelayFlow *flow)
{
    if (flow->pipe) {
        /* It is not empty, so nobody else can have it. */
        relay_pipe_close(g_steal_pointer(&flow->pipe));
    }
    g_clear_pointer(&flow->rest, g_free);
    flow->held = 0;
}
