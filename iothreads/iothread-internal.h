/*
 * The inside of an IOThread, shared by the files of this folder.
 */
#ifndef IOTHREADS_IOTHREAD_INTERNAL_H
#define IOTHREADS_IOTHREAD_INTERNAL_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "iothreads/iothread.h"

struct IOThread {
    char *id;
    AioContext *ctx;
    pthread_t thread;
    pid_t thread_id; /* set before iothread_create() returns */
    sem_t started;   /* posted by the thread when it runs */

    GMainContext *main_context; /* NULL until asked for; guarded by the registry's lock */
    GMainLoop *main_loop;       /* guarded by the registry's lock; set before run_main_loop is */
    atomic_bool run_main_loop;  /* release by who made the two above, acquire by the thread */
    bool stopping;              /* the thread's own */

    AioContext *done_ctx; /* of iothread_destroy_async(), else NULL */
    QEMUBHFunc *done;
    void *done_opaque;
};

#endif
