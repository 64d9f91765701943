/*
 * Fault injection: a library to be preloaded, that makes the n-th call of a function fail.
 *
 * FAULT_CONTROL names a file, which the library fills with one slot for each function that it knows
 * and maps. A test maps it too, and arms a function by writing its slot; see
 * tests/functional/faults.py. Nothing fails until then, and without FAULT_CONTROL nothing does.
 */
#include "config.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* Allocations of less bytes don't fail: where memory is that short, programs end. */
#define LARGE 65536

struct io_uring;
struct io_uring_params;

/* What the test sees of a function. Its layout is known to faults.py. */
typedef struct FaultSlot {
    char name[32];
    _Atomic int countdown; /* this call from now on fails, from 1; 0: none */
    _Atomic int times;     /* and so many in all, one after another */
    _Atomic int error;     /* with this errno */
    _Atomic int fired;     /* how many have failed */
} FaultSlot;

typedef enum {
    FAULT_ACCEPT4,
    FAULT_RECVMSG,
    FAULT_SEND,
    FAULT_GETSOCKOPT,
    FAULT_EVENTFD,
    FAULT_EPOLL_CREATE1,
    FAULT_EPOLL_CTL,
    FAULT_TIMERFD_CREATE,
    FAULT_IO_URING_QUEUE_INIT_PARAMS,
    FAULT_PTHREAD_CREATE,
    FAULT_MALLOC,
    FAULT_CALLOC,
    FAULT_REALLOC,
    FAULT_COUNT,
} Fault;

static const char *const names[FAULT_COUNT] = {
    [FAULT_ACCEPT4] = "accept4",
    [FAULT_RECVMSG] = "recvmsg",
    [FAULT_SEND] = "send",
    [FAULT_GETSOCKOPT] = "getsockopt",
    [FAULT_EVENTFD] = "eventfd",
    [FAULT_EPOLL_CREATE1] = "epoll_create1",
    [FAULT_EPOLL_CTL] = "epoll_ctl",
    [FAULT_TIMERFD_CREATE] = "timerfd_create",
    [FAULT_IO_URING_QUEUE_INIT_PARAMS] = "io_uring_queue_init_params",
    [FAULT_PTHREAD_CREATE] = "pthread_create",
    [FAULT_MALLOC] = "malloc",
    [FAULT_CALLOC] = "calloc",
    [FAULT_REALLOC] = "realloc",
};

static FaultSlot *slots; /* NULL: no test */

/* The functions that these stand in front of; dlsym() is called once for each. */
static void *real(Fault fault)
{
    static _Atomic(void *) functions[FAULT_COUNT];
    void *function = atomic_load(&functions[fault]);

    if (!function) {
        function = dlsym(RTLD_NEXT, names[fault]);
        if (!function) {
            fprintf(stderr, "fault: there is no %s\n", names[fault]);
            abort();
        }
        atomic_store(&functions[fault], function);
    }
    return function;
}

static void __attribute__((constructor)) begin(void)
{
    const char *path = getenv("FAULT_CONTROL");
    size_t size = FAULT_COUNT * sizeof(FaultSlot);
    FaultSlot *map;
    int fd;

    if (!path) {
        return;
    }
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)size) < 0) {
        perror("fault: FAULT_CONTROL");
        abort();
    }
    map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (map == MAP_FAILED) {
        perror("fault: mmap");
        abort();
    }
    for (size_t i = 0; i < FAULT_COUNT; i++) {
        strncpy(map[i].name, names[i], sizeof(map[i].name) - 1);
    }
    slots = map;
}

/* Whether this call fails, with the error in *@error. */
static bool fails(Fault fault, int *error)
{
    FaultSlot *slot = &slots[fault];
    int countdown;

    if (!slots) {
        return false;
    }
    countdown = atomic_load(&slot->countdown);
    while (countdown > 0 &&
           !atomic_compare_exchange_weak(&slot->countdown, &countdown, countdown - 1)) {
        /* Another thread was faster. */
    }
    if (countdown != 1) {
        return false;
    }
    *error = atomic_load(&slot->error);
    if (*error == 0) {
        return false; /* disarmed just now */
    }
    atomic_fetch_add(&slot->fired, 1);
    if (atomic_fetch_sub(&slot->times, 1) > 1) {
        atomic_store(&slot->countdown, 1);
    }
    return true;
}

/* As fails(), with the error in errno. */
static bool fails_with_errno(Fault fault)
{
    int error;

    if (!fails(fault, &error)) {
        return false;
    }
    errno = error;
    return true;
}

/* ---- descriptors ---- */

int accept4(int fd, struct sockaddr *restrict address, socklen_t *restrict len, int flags)
{
    int (*next)(int, struct sockaddr *, socklen_t *, int) = real(FAULT_ACCEPT4);

    return fails_with_errno(FAULT_ACCEPT4) ? -1 : next(fd, address, len, flags);
}

int eventfd(unsigned value, int flags)
{
    int (*next)(unsigned, int) = real(FAULT_EVENTFD);

    return fails_with_errno(FAULT_EVENTFD) ? -1 : next(value, flags);
}

int epoll_create1(int flags)
{
    int (*next)(int) = real(FAULT_EPOLL_CREATE1);

    return fails_with_errno(FAULT_EPOLL_CREATE1) ? -1 : next(flags);
}

int epoll_ctl(int epoll_fd, int op, int fd, struct epoll_event *event)
{
    int (*next)(int, int, int, struct epoll_event *) = real(FAULT_EPOLL_CTL);

    return fails_with_errno(FAULT_EPOLL_CTL) ? -1 : next(epoll_fd, op, fd, event);
}

int timerfd_create(int clock, int flags)
{
    int (*next)(int, int) = real(FAULT_TIMERFD_CREATE);

    return fails_with_errno(FAULT_TIMERFD_CREATE) ? -1 : next(clock, flags);
}

/* Of liburing's, so without its header. */
int io_uring_queue_init_params(unsigned entries, struct io_uring *ring,
                               struct io_uring_params *params);

int io_uring_queue_init_params(unsigned entries, struct io_uring *ring,
                               struct io_uring_params *params)
{
    int (*next)(unsigned, struct io_uring *, struct io_uring_params *) =
        real(FAULT_IO_URING_QUEUE_INIT_PARAMS);
    int error;

    return fails(FAULT_IO_URING_QUEUE_INIT_PARAMS, &error) ? -error : next(entries, ring, params);
}

/* ---- messages ---- */

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    ssize_t (*next)(int, struct msghdr *, int) = real(FAULT_RECVMSG);

    return fails_with_errno(FAULT_RECVMSG) ? -1 : next(fd, message, flags);
}

ssize_t send(int fd, const void *bytes, size_t len, int flags)
{
    ssize_t (*next)(int, const void *, size_t, int) = real(FAULT_SEND);

    return fails_with_errno(FAULT_SEND) ? -1 : next(fd, bytes, len, flags);
}

/* Whether it is send() or sendmsg() that a program sends with makes no difference to the test. */
ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    static _Atomic(void *) function;
    ssize_t (*next)(int, const struct msghdr *, int);

    if (!atomic_load(&function)) {
        atomic_store(&function, dlsym(RTLD_NEXT, "sendmsg"));
    }
    next = atomic_load(&function);
    return fails_with_errno(FAULT_SEND) ? -1 : next(fd, message, flags);
}

int getsockopt(int fd, int level, int option, void *restrict value, socklen_t *restrict len)
{
    int (*next)(int, int, int, void *, socklen_t *) = real(FAULT_GETSOCKOPT);

    return fails_with_errno(FAULT_GETSOCKOPT) ? -1 : next(fd, level, option, value, len);
}

/* ---- threads ---- */

int pthread_create(pthread_t *restrict thread, const pthread_attr_t *restrict attr,
                   void *(*func)(void *), void *restrict arg)
{
    int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) =
        real(FAULT_PTHREAD_CREATE);
    int error;

    return fails(FAULT_PTHREAD_CREATE, &error) ? error : next(thread, attr, func, arg);
}

/* ---- memory ---- */

/* As fails_with_errno(), for @size bytes: small ones don't count. */
static bool fails_with_size(Fault fault, size_t size)
{
    return size >= LARGE && fails_with_errno(fault);
}

void *malloc(size_t size)
{
    void *(*next)(size_t) = real(FAULT_MALLOC);

    return fails_with_size(FAULT_MALLOC, size) ? NULL : next(size);
}

void *calloc(size_t count, size_t size)
{
    void *(*next)(size_t, size_t) = real(FAULT_CALLOC);

    return fails_with_size(FAULT_CALLOC, count * size) ? NULL : next(count, size);
}

void *realloc(void *memory, size_t size)
{
    void *(*next)(void *, size_t) = real(FAULT_REALLOC);

    return fails_with_size(FAULT_REALLOC, size) ? NULL : next(memory, size);
}
