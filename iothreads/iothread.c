/*
 * IOThread: its life, its thread and the registry of all of them.
 */
#include "config.h"
#include "iothreads/iothread-internal.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "loop/main-loop.h"
#include "loop/run-delay.h"
#include "loop/thread-pool.h"

/* Guards the list, and each IOThread's main context. Held while a thread starts, so that nobody
 * finds it before, and during iothread_foreach(), whose function may look for others: recursive. */
static pthread_mutex_t registry_lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static GPtrArray *registry;  /* NULL while there is none */
static int unblocked_signal; /* 0: none; under the lock */

/* Who is told of each that comes or goes; guarded by registry_lock. */
static IOThreadWatchFunc *watch;
static void *watch_opaque;

/* ---- the registry ---- */

static IOThread *find_locked(const char *id)
{
    for (guint i = 0; registry && i < registry->len; i++) {
        IOThread *iothread = g_ptr_array_index(registry, i);

        if (strcmp(iothread->id, id) == 0) {
            return iothread;
        }
    }
    return NULL;
}

static void unregister_iothread(IOThread *iothread)
{
    pthread_mutex_lock(&registry_lock);
    if (watch) {
        watch(iothread, false, watch_opaque);
    }
    g_ptr_array_remove(registry, iothread);
    if (registry->len == 0) {
        g_clear_pointer(&registry, g_ptr_array_unref);
    }
    pthread_mutex_unlock(&registry_lock);
}

IOThread *iothread_by_id(const char *id)
{
    IOThread *iothread;

    pthread_mutex_lock(&registry_lock);
    iothread = find_locked(id);
    pthread_mutex_unlock(&registry_lock);
    return iothread;
}

void iothread_foreach(void (*func)(IOThread *iothread, void *opaque), void *opaque)
{
    pthread_mutex_lock(&registry_lock);
    for (guint i = 0; registry && i < registry->len; i++) {
        func(g_ptr_array_index(registry, i), opaque);
    }
    pthread_mutex_unlock(&registry_lock);
}

void iothread_watch(IOThreadWatchFunc *func, void *opaque)
{
    pthread_mutex_lock(&registry_lock);
    watch = func;
    watch_opaque = opaque;
    pthread_mutex_unlock(&registry_lock);
}

/* ---- the thread ---- */

static void run_main_loop(IOThread *iothread)
{
    g_main_context_push_thread_default(iothread->main_context);
    aio_run_g_main_loop(iothread->ctx, iothread->main_loop);
    g_main_context_pop_thread_default(iothread->main_context);
}

static void join_and_free(IOThread *iothread)
{
    pthread_join(iothread->thread, NULL);
    unregister_iothread(iothread);
    g_clear_pointer(&iothread->main_loop, g_main_loop_unref);
    aio_context_unref(iothread->ctx);
    g_clear_pointer(&iothread->main_context, g_main_context_unref);
    sem_destroy(&iothread->started);
    g_free(iothread->id);
    g_free(iothread);
}

/* In done_ctx: the thread is about to return, so joining it takes no time. */
static void finish_destroy(void *opaque)
{
    IOThread *iothread = opaque;
    AioContext *done_ctx = iothread->done_ctx;
    QEMUBHFunc *done = iothread->done;
    void *done_opaque = iothread->done_opaque;

    join_and_free(iothread);
    done(done_opaque);
    aio_context_unref(done_ctx);
}

/* A thread names itself by one system call; for another one there is only a file in /proc. */
static void set_own_name(const char *id)
{
    char name[16]; /* all that Linux keeps */

    g_strlcpy(name, id, sizeof(name));
    pthread_setname_np(pthread_self(), name);
}

static void *iothread_main(void *opaque)
{
    IOThread *iothread = opaque;

    set_own_name(iothread->id);
    qemu_set_current_aio_context(iothread->ctx);
    iothread->thread_id = gettid();
    aio_watch_run_delay(iothread->ctx);
    sem_post(&iothread->started);
    while (!iothread->stopping) {
        if (atomic_load_explicit(&iothread->run_main_loop, memory_order_acquire)) {
            run_main_loop(iothread);
        } else {
            aio_poll(iothread->ctx, true);
        }
    }
    /* Here, for it may take long: whoever drops the last reference would have to wait. */
    thread_pool_stop(iothread->ctx);
    aio_unwatch_run_delay(iothread->ctx);
    qemu_set_current_aio_context(NULL);
    if (iothread->done_ctx) {
        aio_bh_schedule_oneshot(iothread->done_ctx, finish_destroy, iothread);
    }
    return NULL;
}

/* ---- life ---- */

/* Start the thread with all signals blocked but one: they are for the main thread. */
static bool start_thread(IOThread *iothread, GError **errp)
{
    sigset_t all;
    sigset_t saved;
    int err;

    sigfillset(&all);
    if (unblocked_signal != 0) {
        sigdelset(&all, unblocked_signal);
    }
    pthread_sigmask(SIG_SETMASK, &all, &saved);
    err = pthread_create(&iothread->thread, NULL, iothread_main, iothread);
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
    if (err != 0) {
        g_set_error(errp, AIO_ERROR, AIO_ERROR_SYSTEM, "IOThread '%s': can't create a thread: %s",
                    iothread->id, g_strerror(err));
        return false;
    }
    while (sem_wait(&iothread->started) != 0) {
        /* Interrupted by a signal. */
    }
    return true;
}

static bool start_locked(IOThread *iothread, GError **errp)
{
    if (strcmp(iothread->id, MAIN_LOOP_NAME) == 0 || find_locked(iothread->id)) {
        g_set_error(errp, AIO_ERROR, AIO_ERROR_INVALID, "there is a loop '%s' already",
                    iothread->id);
        return false;
    }
    if (!start_thread(iothread, errp)) {
        return false;
    }
    if (!registry) {
        registry = g_ptr_array_new();
    }
    g_ptr_array_add(registry, iothread);
    if (watch) {
        watch(iothread, true, watch_opaque);
    }
    return true;
}

static bool start(IOThread *iothread, GError **errp)
{
    bool ok;

    pthread_mutex_lock(&registry_lock);
    ok = start_locked(iothread, errp);
    pthread_mutex_unlock(&registry_lock);
    return ok;
}

IOThread *iothread_create_with_fdmon(const char *id, AioFdMon fdmon, GError **errp)
{
    IOThread *iothread = g_new0(IOThread, 1);

    iothread->id = g_strdup(id);
    sem_init(&iothread->started, 0, 0);
    iothread->ctx = aio_context_new_with_fdmon(fdmon, errp);
    if (!iothread->ctx || !start(iothread, errp)) {
        g_clear_pointer(&iothread->ctx, aio_context_unref);
        sem_destroy(&iothread->started);
        g_free(iothread->id);
        g_free(iothread);
        return NULL;
    }
    return iothread;
}

IOThread *iothread_create(const char *id, GError **errp)
{
    return iothread_create_with_fdmon(id, AIO_FDMON_AUTO, errp);
}

/* The last bottom half of the thread. */
static void iothread_stop(void *opaque)
{
    IOThread *iothread = opaque;

    iothread->stopping = true;
    if (atomic_load_explicit(&iothread->run_main_loop, memory_order_acquire)) {
        g_main_loop_quit(iothread->main_loop);
    }
}

void iothread_destroy(IOThread *iothread)
{
    g_assert(!in_aio_context_home_thread(iothread->ctx));
    aio_bh_schedule_oneshot(iothread->ctx, iothread_stop, iothread);
    join_and_free(iothread);
}

void iothread_destroy_async(IOThread *iothread, AioContext *done_ctx, QEMUBHFunc *done,
                            void *opaque)
{
    /* All may be over, and freed, before aio_bh_schedule_oneshot() has returned. */
    g_autoptr(AioContext) ctx = iothread->ctx;

    g_assert(done_ctx != ctx);
    aio_context_ref(ctx);
    aio_context_ref(done_ctx);
    iothread->done_ctx = done_ctx;
    iothread->done = done;
    iothread->done_opaque = opaque;
    aio_bh_schedule_oneshot(ctx, iothread_stop, iothread);
}

/* ---- what others ask for ---- */

void iothread_unblock_signal(int signo)
{
    pthread_mutex_lock(&registry_lock);
    unblocked_signal = signo;
    pthread_mutex_unlock(&registry_lock);
}

AioContext *iothread_get_aio_context(IOThread *iothread)
{
    return iothread->ctx;
}

GMainContext *iothread_get_g_main_context(IOThread *iothread)
{
    pthread_mutex_lock(&registry_lock);
    if (!iothread->main_context) {
        g_autoptr(GSource) source = aio_get_g_source(iothread->ctx);

        iothread->main_context = g_main_context_new();
        iothread->main_loop = g_main_loop_new(iothread->main_context, FALSE);
        g_source_attach(source, iothread->main_context);
        atomic_store_explicit(&iothread->run_main_loop, true, memory_order_release);
        aio_notify(iothread->ctx);
    }
    pthread_mutex_unlock(&registry_lock);
    return iothread->main_context;
}

const char *iothread_get_id(IOThread *iothread)
{
    return iothread->id;
}

pid_t iothread_get_thread_id(IOThread *iothread)
{
    return iothread->thread_id;
}
