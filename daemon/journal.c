/*
 * The journal's native protocol, and the lines that wait for it.
 */
#include "config.h"
#include "daemon/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "loop/timer.h"

/* How long the thread waits for the journal before it looks whether it shall end. */
#define LOOK_MS 50

typedef struct Entry {
    char *plain;
    size_t length;
    char bytes[];
} Entry;

struct Journal {
    const JournalOps *ops;
    struct sockaddr_un address;
    size_t max_kept;
    int fd; /* -1: not open yet, or there can be no sockets; once it is open it stays */

    pthread_mutex_t lock; /* a leaf lock; guards all below, and opening @fd */
    pthread_cond_t idle;  /* the thread has come to its end */
    GQueue kept;          /* of Entry; the thread takes the first away, and nobody else */
    size_t held;          /* bytes in them */
    uint64_t lost;        /* lines, since the last that was kept; no other is until this is told */
    bool sending;         /* there is a thread that will look into @kept */
    bool has_thread;      /* one to be joined */
    bool stopping;
    pthread_t thread;
};

/* ---- the protocol ---- */

static void append_field(GString *bytes, const GLogField *field)
{
    size_t length = field->length < 0 ? strlen(field->value) : (size_t)field->length;
    guint64 size = GUINT64_TO_LE((guint64)length);

    g_string_append(bytes, field->key);
    if (memchr(field->value, '\n', length)) {
        g_string_append_c(bytes, '\n');
        g_string_append_len(bytes, (const char *)&size, sizeof(size));
    } else {
        g_string_append_c(bytes, '=');
    }
    g_string_append_len(bytes, field->value, (gssize)length);
    g_string_append_c(bytes, '\n');
}

static GString *to_bytes(const GLogField *fields, size_t n_fields)
{
    GString *bytes = g_string_sized_new(512);

    for (size_t i = 0; i < n_fields; i++) {
        append_field(bytes, &fields[i]);
    }
    return bytes;
}

/* 0 or an error number. */
static int send_message(const Journal *journal, struct msghdr *message, int flags)
{
    ssize_t n;

    message->msg_name = (void *)&journal->address;
    message->msg_namelen = sizeof(journal->address);
    do {
        n = sendmsg(journal->fd, message, MSG_NOSIGNAL | flags);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? errno : 0;
}

/* A file that nobody changes any more, as the journal wants it; -1 and errno. */
static int make_file(const char *bytes, size_t length)
{
    int fd = memfd_create("evloopd-log", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    size_t written = 0;

    while (fd >= 0 && written < length) {
        ssize_t n = write(fd, bytes + written, length - written);

        if (n < 0) {
            close(fd);
            return -1;
        }
        written += (size_t)n;
    }
    if (fd >= 0) {
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
    }
    return fd;
}

/* What is too large for a datagram goes as a file. */
static int send_file(const Journal *journal, const char *bytes, size_t length, int flags)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct msghdr message = { .msg_control = &control, .msg_controllen = sizeof(control) };
    int fd = make_file(bytes, length);
    int error;

    if (fd < 0) {
        return errno;
    }
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
    error = send_message(journal, &message, flags);
    close(fd);
    return error;
}

/* 0, EAGAIN when the journal is stuck, or why it can't be reached. With MSG_DONTWAIT at once, else
 * within LOOK_MS. */
static int send_bytes(const Journal *journal, const char *bytes, size_t length, int flags)
{
    struct iovec iov = { .iov_base = (void *)bytes, .iov_len = length };
    struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
    int error = send_message(journal, &message, flags);

    return error == EMSGSIZE || error == ENOBUFS ? send_file(journal, bytes, length, flags) : error;
}

/* ---- what is kept ---- */

static Entry *entry_new(const GString *bytes, const char *plain)
{
    Entry *entry = g_malloc(sizeof(*entry) + bytes->len);

    entry->plain = g_strdup(plain);
    entry->length = bytes->len;
    memcpy(entry->bytes, bytes->str, bytes->len);
    return entry;
}

static void entry_free(Entry *entry)
{
    g_free(entry->plain);
    g_free(entry);
}

static size_t entry_cost(const Entry *entry)
{
    return sizeof(*entry) + entry->length + strlen(entry->plain) + 1;
}

/* Send the first of what is kept, or learn that it can't be. With the lock held, which is released
 * meanwhile. */
static void send_first_locked(Journal *journal)
{
    Entry *entry = g_queue_peek_head(&journal->kept);
    int error;

    pthread_mutex_unlock(&journal->lock);
    error = send_bytes(journal, entry->bytes, entry->length, 0);
    if (error != 0 && error != EAGAIN) {
        journal->ops->fall_back(entry->plain);
    }
    pthread_mutex_lock(&journal->lock);
    if (error != EAGAIN) {
        g_queue_pop_head(&journal->kept);
        journal->held -= entry_cost(entry);
        entry_free(entry);
    }
}

static void *send_kept(void *opaque)
{
    Journal *journal = opaque;

    pthread_setname_np(pthread_self(), "journal");
    pthread_mutex_lock(&journal->lock);
    while (!journal->stopping && (journal->lost > 0 || !g_queue_is_empty(&journal->kept))) {
        if (!g_queue_is_empty(&journal->kept)) {
            send_first_locked(journal);
        } else {
            uint64_t lost = journal->lost;

            journal->lost = 0;
            pthread_mutex_unlock(&journal->lock);
            journal->ops->lost(lost);
            pthread_mutex_lock(&journal->lock);
        }
    }
    journal->sending = false;
    pthread_cond_broadcast(&journal->idle);
    pthread_mutex_unlock(&journal->lock);
    return NULL;
}

/* Without signals: those of the process are the main thread's. With the lock held. */
static bool start_thread_locked(Journal *journal)
{
    sigset_t all;
    sigset_t before;
    int error;

    if (journal->has_thread) {
        /* It has let go of the lock, and does nothing more. */
        pthread_join(journal->thread, NULL);
    }
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&journal->thread, NULL, send_kept, journal);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    journal->has_thread = error == 0;
    return error == 0;
}

/* Keep a line, or count it. False when nobody would send it. With the lock held. */
static bool keep_locked(Journal *journal, const GString *bytes, const char *plain)
{
    Entry *entry = entry_new(bytes, plain);

    if (journal->lost > 0 || journal->held + entry_cost(entry) > journal->max_kept) {
        journal->lost++;
        entry_free(entry);
        return true;
    }
    if (!journal->sending && !start_thread_locked(journal)) {
        entry_free(entry);
        return false;
    }
    journal->sending = true;
    journal->held += entry_cost(entry);
    g_queue_push_tail(&journal->kept, entry);
    return true;
}

/* Unless it is open. With the lock held. */
static void open_locked(Journal *journal)
{
    const struct timeval limit = { .tv_usec = LOOK_MS * 1000 };

    if (journal->fd < 0) {
        journal->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (journal->fd >= 0) {
            setsockopt(journal->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
        }
    }
}

void journal_open(Journal *journal)
{
    pthread_mutex_lock(&journal->lock);
    open_locked(journal);
    pthread_mutex_unlock(&journal->lock);
}

void journal_send(Journal *journal, const GLogField *fields, size_t n_fields, const char *plain)
{
    GString *bytes = to_bytes(fields, n_fields);
    int error = EAGAIN;

    pthread_mutex_lock(&journal->lock);
    open_locked(journal);
    /* Not before those that are kept. */
    if (g_queue_is_empty(&journal->kept) && journal->lost == 0) {
        error = send_bytes(journal, bytes->str, bytes->len, MSG_DONTWAIT);
    }
    if (error == EAGAIN && keep_locked(journal, bytes, plain)) {
        error = 0;
    }
    pthread_mutex_unlock(&journal->lock);
    if (error != 0) {
        journal->ops->fall_back(plain);
    }
    g_string_free(bytes, TRUE);
}

/* ---- life ---- */

Journal *journal_new(const char *path, size_t max_kept, const JournalOps *ops)
{
    Journal *journal = g_new0(Journal, 1);
    pthread_condattr_t attr;

    journal->ops = ops;
    journal->address.sun_family = AF_UNIX;
    g_strlcpy(journal->address.sun_path, path, sizeof(journal->address.sun_path));
    journal->max_kept = max_kept;
    journal->fd = -1;
    g_queue_init(&journal->kept);
    pthread_mutex_init(&journal->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&journal->idle, &attr);
    pthread_condattr_destroy(&attr);
    return journal;
}

bool journal_flush(Journal *journal, int64_t timeout_ns)
{
    struct timespec end;
    int64_t end_ns;
    bool idle;

    clock_gettime(CLOCK_MONOTONIC, &end);
    end_ns = end.tv_sec * 1000 * SCALE_MS + end.tv_nsec + timeout_ns;
    end.tv_sec = end_ns / (1000 * SCALE_MS);
    end.tv_nsec = end_ns % (1000 * SCALE_MS);
    pthread_mutex_lock(&journal->lock);
    while (journal->sending && pthread_cond_timedwait(&journal->idle, &journal->lock, &end) == 0) {
    }
    idle = !journal->sending;
    pthread_mutex_unlock(&journal->lock);
    return idle;
}

/* Have what is kept fall back. */
static void fall_back_kept(Journal *journal)
{
    Entry *entry;

    while ((entry = g_queue_pop_head(&journal->kept))) {
        journal->held -= entry_cost(entry);
        journal->ops->fall_back(entry->plain);
        entry_free(entry);
    }
}

/* To the end of the thread, which sends nothing more; without the lock held. */
static void stop_thread(Journal *journal)
{
    pthread_mutex_lock(&journal->lock);
    journal->stopping = true;
    pthread_mutex_unlock(&journal->lock);
    if (journal->has_thread) {
        pthread_join(journal->thread, NULL);
        journal->has_thread = false;
    }
}

void journal_free(Journal *journal)
{
    uint64_t lost;

    stop_thread(journal);
    fall_back_kept(journal);
    lost = journal->lost;
    journal->lost = 0;
    if (lost > 0) {
        /* The journal may take this line; else it is kept, and falls back as well. */
        journal->ops->lost(lost);
        stop_thread(journal);
        fall_back_kept(journal);
    }
    if (journal->fd >= 0) {
        close(journal->fd);
    }
    pthread_cond_destroy(&journal->idle);
    pthread_mutex_destroy(&journal->lock);
    g_free(journal);
}
