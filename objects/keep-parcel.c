/*
 * Parcels, by SCM_RIGHTS.
 */
#include "config.h"
#include "objects/keep-parcel.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "qmp/qmp-error.h"

/* The most that the kernel takes with one message. */
#define MESSAGE_FDS 253

/* What a message says of its descriptors. Parcels never leave the machine. */
typedef struct ParcelMessage {
    uint64_t first; /* the place of the first of them */
    uint64_t count;
} ParcelMessage;

typedef union ParcelControl {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int) * MESSAGE_FDS)];
} ParcelControl;

void fds_free(GArray *fds)
{
    for (guint i = 0; i < fds->len; i++) {
        int fd = g_array_index(fds, int, i);

        if (fd >= 0) {
            close(fd);
        }
    }
    g_array_unref(fds);
}

/* ---- in ---- */

/* Send as many of @n as one message takes; how many these were, or -1 and errno. */
static ssize_t send_some(int sock, const int *fds, size_t n, uint64_t first)
{
    ParcelMessage header = { .first = first, .count = MIN(n, MESSAGE_FDS) };
    struct iovec iov = { .iov_base = &header, .iov_len = sizeof(header) };
    ParcelControl control = { 0 };
    size_t size = sizeof(int) * header.count;
    struct msghdr message = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = CMSG_SPACE(size),
    };
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&message);

    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(cmsg), fds, size);
    return sendmsg(sock, &message, MSG_NOSIGNAL) < 0 ? -1 : (ssize_t)header.count;
}

/* Fill a new parcel; how many fitted, 0 and errno. */
static size_t fill_parcel(const int *fds, size_t n, uint64_t first, GArray *parcels)
{
    int pair[2];
    size_t done = 0;
    ssize_t sent = 0;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) {
        return 0;
    }
    while (done < n && (sent = send_some(pair[1], fds + done, n - done, first + done)) > 0) {
        done += (size_t)sent;
    }
    if (done > 0) {
        g_array_append_val(parcels, pair[0]);
    } else {
        int error = errno;

        close(pair[0]);
        errno = error;
    }
    /* Closing keeps errno when it succeeds, as it does here. What is on its way stays so. */
    close(pair[1]);
    return done;
}

size_t parcels_pack(const int *fds, size_t n, GArray *parcels, GError **errp)
{
    size_t done = 0;
    size_t filled;

    while (done < n && (filled = fill_parcel(fds + done, n - done, done, parcels)) > 0) {
        done += filled;
    }
    if (done < n) {
        qmp_error_set(errp, "%s", g_strerror(errno));
    }
    return done;
}

/* ---- out ---- */

static void put_down(GArray *fds, uint64_t place, int fd)
{
    int none = -1;

    while (fds->len <= place) {
        g_array_append_val(fds, none);
    }
    if (g_array_index(fds, int, place) >= 0) {
        close(g_array_index(fds, int, place));
    }
    g_array_index(fds, int, place) = fd;
}

/* Whether @header, of which @len bytes came, is one. */
static bool is_valid(const ParcelMessage *header, ssize_t len)
{
    return len == sizeof(*header) && header->count <= MESSAGE_FDS &&
           header->first <= PARCELS_MAX_FDS - MESSAGE_FDS;
}

static void take_fds(GArray *fds, struct msghdr *message, const ParcelMessage *header)
{
    uint64_t place = header ? header->first : 0;

    for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(message); cmsg; cmsg = CMSG_NXTHDR(message, cmsg)) {
        size_t n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        for (size_t i = 0; i < n; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(fd), sizeof(fd));
            if (header) {
                put_down(fds, place++, fd);
            } else {
                close(fd);
            }
        }
    }
}

/* Take one message out of @parcel. False: there is none any more, or it is no parcel. */
static bool receive_some(int parcel, GArray *fds)
{
    ParcelMessage header;
    struct iovec iov = { .iov_base = &header, .iov_len = sizeof(header) };
    ParcelControl control;
    struct msghdr message = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof(control),
    };
    ssize_t len = recvmsg(parcel, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    if (len <= 0) {
        return false;
    }
    take_fds(fds, &message, is_valid(&header, len) ? &header : NULL);
    return true;
}

GArray *parcels_unpack(const int *parcels, size_t n)
{
    GArray *fds = g_array_new(FALSE, FALSE, sizeof(int));

    for (size_t i = 0; i < n; i++) {
        while (receive_some(parcels[i], fds)) {
        }
    }
    return fds;
}
