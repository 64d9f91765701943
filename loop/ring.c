/*
 * The io_uring of a context: setting it up, submitting, waiting, handing out completions.
 */
#include "config.h"
#include "loop/ring.h"

#include <errno.h>

/* What the queues of a ring hold at first. One page for each of its two mappings: an idle loop is
 * to cost little. A full submission queue is submitted, a full completion queue overflows into the
 * kernel's memory (IORING_FEAT_NODROP), so neither is a limit. */
#define SQ_ENTRIES 64
#define CQ_ENTRIES 128

/* Without these (Linux 5.13) polls could not wait for more than one event, sleep no time in ns, or
 * lose completions. */
#define NEEDED_FEATURES (IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG | IORING_FEAT_RSRC_TAGS)

/*
 * Flags that pay, and that older kernels refuse with EINVAL; the best first.
 * IORING_SETUP_COOP_TASKRUN: no interrupt for the home thread when something completes, which waits
 * until it enters the kernel for any reason; IORING_SETUP_TASKRUN_FLAG shows it that it should.
 * IORING_SETUP_SUBMIT_ALL: a request that fails does not hold up those behind it.
 *
 * Not IORING_SETUP_DEFER_TASKRUN with IORING_SETUP_SINGLE_ISSUER, nor a registered ring: measured
 * with poll requests they gain nothing that shows, and they tie a ring to the thread that first
 * used it, while a context may be driven, and is freed, by another; and poll(2) on such a ring's
 * descriptor, which is how GLib waits for it, was seen to sleep through completions (Linux 6.18).
 */
static const unsigned setup_flags[] = {
    IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL,
    0,
};

/* A new ring may get the memory of one that went, of whose going only the kernel knows. Release,
 * and acquire below: what other threads did with that memory came before. */
static _Atomic unsigned rings_closed;

static void discard(struct io_uring *uring)
{
    atomic_fetch_add_explicit(&rings_closed, 1, memory_order_release);
    io_uring_queue_exit(uring);
}

static int setup(struct io_uring *uring, unsigned cq_entries)
{
    /* Which of setup_flags this kernel takes, as far as is known. Relaxed: only a hint. */
    static _Atomic size_t first_flags;
    struct io_uring_params params;
    size_t i = atomic_load_explicit(&first_flags, memory_order_relaxed);
    int ret;

    do {
        params = (struct io_uring_params){
            .flags = setup_flags[i] | IORING_SETUP_CQSIZE,
            .cq_entries = cq_entries,
        };
        ret = io_uring_queue_init_params(SQ_ENTRIES, uring, &params);
    } while (ret == -EINVAL && ++i < G_N_ELEMENTS(setup_flags));

    if (ret == 0 && (params.features & NEEDED_FEATURES) != NEEDED_FEATURES) {
        discard(uring);
        ret = -ENOSYS;
    }
    if (ret == 0) {
        atomic_load_explicit(&rings_closed, memory_order_acquire);
        atomic_store_explicit(&first_flags, i, memory_order_relaxed);
    }
    return ret;
}

bool ring_open(AioContext *ctx, GError **errp)
{
    AioRing *ring = g_new0(AioRing, 1);
    int ret = setup(&ring->uring, CQ_ENTRIES);

    if (ret != 0) {
        g_free(ring);
        fdmon_set_error(errp, "io_uring_setup", -ret);
        return false;
    }
    ring->cq_entries = ring->crowded_at = CQ_ENTRIES;
    ctx->ring = ring;
    return true;
}

bool ring_grow(AioContext *ctx, unsigned n_wanted)
{
    AioRing *ring = ctx->ring;
    unsigned cq_entries = ring->cq_entries;
    struct io_uring uring;

    while (cq_entries < n_wanted) {
        cq_entries *= 4;
    }
    if (setup(&uring, cq_entries) != 0) {
        return false;
    }
    ring_cancel_all(ctx);
    discard(&ring->uring);
    ring->uring = uring;
    ring->cq_entries = ring->crowded_at = cq_entries;
    return true;
}

void ring_close(AioContext *ctx)
{
    AioRing *ring = ctx->ring;

    /* The kernel would do that too, but some time after the ring was closed, and until then the
     * polls keep files open that their users have closed. */
    ring_cancel_all(ctx);
    discard(&ring->uring);
    g_free(ring->completions);
    g_free(ring->look);
    g_free(ring->look_fds);
    g_free(ring);
    ctx->ring = NULL;
}

void ring_cancel_all(AioContext *ctx)
{
    ring_cancel_requests(ctx->ring);
    ring_disarm_polls(ctx);
    ring_enter(ctx->ring, 0);
    ring_reap(ctx);
}

struct io_uring_sqe *ring_get_sqe(AioRing *ring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);

    if (!sqe) {
        ring_enter(ring, 0);
        sqe = io_uring_get_sqe(&ring->uring);
    }
    if (sqe) {
        *sqe = (struct io_uring_sqe){ 0 };
    }
    return sqe;
}

/* Relaxed: a flag that is seen late is seen at the next look. */
static bool has_sq_flags(AioRing *ring, unsigned flags)
{
    return __atomic_load_n(ring->uring.sq.kflags, __ATOMIC_RELAXED) & flags;
}

/* The loop can't do without, and a second time would tell nothing more. */
static void warn_once(int error)
{
    static atomic_bool warned;

    if (!atomic_exchange(&warned, true)) {
        g_warning("io_uring_enter: %s", g_strerror(-error));
    }
}

void ring_enter(AioRing *ring, int64_t timeout_ns)
{
    struct __kernel_timespec ts = {
        .tv_sec = timeout_ns / 1000000000,
        .tv_nsec = timeout_ns % 1000000000,
    };
    struct io_uring_cqe *cqe;
    int ret;

    ring->n_queued = 0;
    /* Whatever the error (EINTR, ETIME; EAGAIN, EBUSY: out of memory for requests or completions),
     * what was not submitted stays in the queue, and the loop takes one more turn. */
    if (timeout_ns == 0) {
        ret = io_uring_submit(&ring->uring);
    } else if (timeout_ns < 0) {
        /* Unlike the one below without a time, it does not wait again after a signal. */
        ret = io_uring_submit_and_wait(&ring->uring, 1);
    } else {
        ret = io_uring_submit_and_wait_timeout(&ring->uring, &cqe, 1, &ts, NULL);
    }
    if (ret < 0 && ret != -EINTR && ret != -ETIME && ret != -EAGAIN && ret != -EBUSY) {
        warn_once(ret);
    }
    /* Entering the kernel does what this flag asks for, for this thread. What has outlived that is
     * about a former home thread, and stays for good when that has ended: to mind it would keep the
     * loop awake. New work of this thread, which it could hide, is done when it goes to sleep. */
    ring->taskrun_is_stale = has_sq_flags(ring, IORING_SQ_TASKRUN);
}

bool ring_has_completions(AioRing *ring)
{
    return io_uring_cq_ready(&ring->uring) > 0 || has_sq_flags(ring, IORING_SQ_CQ_OVERFLOW) ||
           (!ring->taskrun_is_stale && has_sq_flags(ring, IORING_SQ_TASKRUN));
}

static void complete(AioContext *ctx, const struct io_uring_cqe *cqe)
{
    void *data = (void *)(uintptr_t)(cqe->user_data & ~(uint64_t)RING_TAG_MASK);

    switch (cqe->user_data & RING_TAG_MASK) {
    case RING_TAG_REQUEST:
        ring_request_completed(ctx->ring, data, cqe->res, cqe->flags);
        break;
    case RING_TAG_POLL:
        ring_poll_completed(ctx, data, cqe->res, cqe->flags);
        break;
    default:
        break;
    }
}

void ring_reap(AioContext *ctx)
{
    AioRing *ring = ctx->ring;
    unsigned n;

    while ((n = io_uring_cq_ready(&ring->uring)) > 0) {
        struct io_uring_cqe *cqe;
        unsigned head;
        unsigned i = 0;

        io_uring_for_each_cqe(&ring->uring, head, cqe)
        {
            if (i++ == n) {
                break;
            }
            complete(ctx, cqe);
        }
        io_uring_cq_advance(&ring->uring, n);
        if (!has_sq_flags(ring, IORING_SQ_CQ_OVERFLOW)) {
            break;
        }
        /* Those that had no room in the queue now have. */
        io_uring_get_events(&ring->uring);
    }
}
