/*
 * The daemon's side of a doorbell.
 */
#include "config.h"
#include "objects/doorbell.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "qmp/qmp-error.h"

/* See to it that the memory can't be taken away: reading it then would kill the daemon. A hole that
 * is punched in it does no harm, but of huge pages there may be none left to fill it. */
static bool seal(int fd, GError **errp)
{
    int seals = fcntl(fd, F_GET_SEALS);
    struct statfs fs;

    if (seals < 0) {
        return qmp_error_set(errp, "Parameter 'doorbell' expects a memfd");
    }
    if (fstatfs(fd, &fs) != 0 || fs.f_type != TMPFS_MAGIC) {
        return qmp_error_set(errp, "Parameter 'doorbell' expects a memfd without huge pages");
    }
    if (!(seals & F_SEAL_SHRINK) && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) != 0) {
        return qmp_error_set(errp, "Parameter 'doorbell' expects a memfd with the seal "
                                   "F_SEAL_SHRINK, or created with MFD_ALLOW_SEALING");
    }
    return true;
}

bool doorbell_map(Doorbell *bell, int fd, GError **errp)
{
    struct stat status;
    void *words;

    if (!seal(fd, errp)) {
        return false;
    }
    if (fstat(fd, &status) != 0 || (size_t)status.st_size < sizeof(DoorbellWords)) {
        return qmp_error_set(errp, "Parameter 'doorbell' expects a memfd of %zu bytes or more",
                             sizeof(DoorbellWords));
    }
    words = mmap(NULL, sizeof(DoorbellWords), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (words == MAP_FAILED) {
        return qmp_error_set(errp, "Parameter 'doorbell': the memfd can't be mapped: %s",
                             g_strerror(errno));
    }
    bell->words = words;
    bell->fd = fd;
    bell->seen = atomic_load(&bell->words->rings);
    atomic_store(&bell->words->awake, 0);
    return true;
}

int doorbell_unmap_steal(Doorbell *bell)
{
    if (!bell->words) {
        return -1;
    }
    munmap(bell->words, sizeof(DoorbellWords));
    bell->words = NULL;
    return bell->fd;
}

void doorbell_unmap(Doorbell *bell)
{
    int fd = doorbell_unmap_steal(bell);

    if (fd >= 0) {
        close(fd);
    }
}

/* All accesses are sequentially consistent: the handshake with the client needs that of the store
 * to awake and the load of rings after it, and the others cost no more for it. */

bool doorbell_has_rung(const Doorbell *bell)
{
    return bell->words && atomic_load(&bell->words->rings) != bell->seen;
}

uint64_t doorbell_take(Doorbell *bell)
{
    uint64_t before = bell->seen;

    if (!bell->words) {
        return 0;
    }
    bell->seen = atomic_load(&bell->words->rings);
    return bell->seen - before;
}

void doorbell_set_awake(Doorbell *bell, bool awake)
{
    if (bell->words) {
        atomic_store(&bell->words->awake, awake);
    }
}
