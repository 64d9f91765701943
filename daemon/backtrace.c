/*
 * Where another thread is: it is sent a signal, whose handler takes its backtrace.
 *
 * One request at a time, and one buffer, which belongs to whoever the state says. The handler takes
 * it from the asker by one compare-and-exchange, and the asker takes it back in the same way when
 * nobody came for it. So a thread that answers too late answers nobody; one that is interrupted
 * while it answers keeps the buffer until it has, and nobody asks meanwhile.
 *
 * In the handler nothing is called but backtrace(3), which needs no memory once it has been called,
 * and sem_post(3). Names are looked up by the asker (daemon/symbols.h).
 */
#include "config.h"
#include "daemon/backtrace.h"

#include <errno.h>
#include <execinfo.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>
#include <glib.h>

#include "daemon/symbols.h"
#include "iothreads/iothread.h"

/* Not among the first, which libraries use. */
#define BACKTRACE_SIGNAL (SIGRTMIN + 7)

#define MAX_FRAMES 64

/* What the state is beside the id of the thread that is asked. */
#define STATE_FREE   0
#define STATE_TAKEN  (-1) /* by the handler */
#define STATE_FILLED (-2)

static struct {
    _Atomic pid_t state;
    sem_t filled;
    /* Of whom the state says: release by who gives them on, acquire by who takes them. */
    void *frames[MAX_FRAMES];
    int n_frames;
    void *interrupted_at; /* NULL: not known on this processor */
} request;

#if defined(__x86_64__)
static void *program_counter(const ucontext_t *context)
{
    return (void *)context->uc_mcontext.gregs[REG_RIP];
}
#elif defined(__aarch64__)
static void *program_counter(const ucontext_t *context)
{
    return (void *)context->uc_mcontext.pc;
}
#else
static void *program_counter(const ucontext_t *context)
{
    return NULL;
}
#endif

static void answer(int signo, siginfo_t *info, void *context)
{
    int saved_errno = errno;
    pid_t self = (pid_t)syscall(SYS_gettid);

    if (atomic_compare_exchange_strong(&request.state, &self, STATE_TAKEN)) {
        request.n_frames = backtrace(request.frames, MAX_FRAMES);
        request.interrupted_at = program_counter(context);
        atomic_store(&request.state, STATE_FILLED);
        sem_post(&request.filled);
    }
    errno = saved_errno;
}

void backtrace_init(void)
{
    struct sigaction action = { .sa_sigaction = answer, .sa_flags = SA_SIGINFO | SA_RESTART };
    sigset_t set;
    void *frame;

    /* The first call loads a library, which no handler may. */
    backtrace(&frame, 1);
    symbols_init();
    sem_init(&request.filled, 0, 0);
    sigemptyset(&action.sa_mask);
    sigaction(BACKTRACE_SIGNAL, &action, NULL);
    /* The parent may have blocked it. */
    sigemptyset(&set);
    sigaddset(&set, BACKTRACE_SIGNAL);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    iothread_unblock_signal(BACKTRACE_SIGNAL);
}

static bool wait_until_filled(int64_t timeout_ns)
{
    struct timespec end;

    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_nsec += timeout_ns % 1000000000;
    end.tv_sec += timeout_ns / 1000000000 + end.tv_nsec / 1000000000;
    end.tv_nsec %= 1000000000;
    /* What was posted may be of a request that had been given up. */
    while (atomic_load(&request.state) != STATE_FILLED) {
        if (sem_clockwait(&request.filled, CLOCK_MONOTONIC, &end) != 0 && errno != EINTR) {
            return false;
        }
    }
    return true;
}

/* Ask @thread_id. False when it has not answered; then the buffer is free, or still in its hands.
 */
static bool ask(pid_t thread_id, int64_t timeout_ns)
{
    pid_t expected = STATE_FILLED;

    /* One that answered when nobody waited any more. */
    atomic_compare_exchange_strong(&request.state, &expected, STATE_FREE);
    expected = STATE_FREE;
    if (!atomic_compare_exchange_strong(&request.state, &expected, thread_id)) {
        return false;
    }
    if (syscall(SYS_tgkill, getpid(), thread_id, BACKTRACE_SIGNAL) == 0 &&
        wait_until_filled(timeout_ns)) {
        return true;
    }
    expected = thread_id;
    atomic_compare_exchange_strong(&request.state, &expected, STATE_FREE);
    return false;
}

/* What was found is behind the frames of the handler, where these can be told from it. */
static int first_frame(void)
{
    for (int i = 0; request.interrupted_at && i < request.n_frames; i++) {
        if (request.frames[i] == request.interrupted_at) {
            return i;
        }
    }
    return 0;
}

json_object *backtrace_of_thread(pid_t thread_id, int64_t timeout_ns)
{
    json_object *list;
    int first;

    if (!ask(thread_id, timeout_ns)) {
        return NULL;
    }
    list = json_object_new_array();
    first = first_frame();
    for (int i = first; i < request.n_frames; i++) {
        g_autofree char *text = symbols_describe(request.frames[i], i > first);

        json_object_array_add(list, json_object_new_string(text));
    }
    atomic_store(&request.state, STATE_FREE);
    return list;
}
