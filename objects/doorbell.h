/*
 * A doorbell: a counter in memory shared with a client, which a loop looks at without a system
 * call.
 *
 * The memory is a memfd of the client's. It begins with two 64-bit words of the machine's byte
 * order:
 *
 *     offset 0  rings   written by clients only: how often the bell was rung since ever; it wraps
 *     offset 8  awake   written by the daemon only: not 0 while it looks at rings by itself
 *
 * To ring, a client
 *   1. makes visible what the ring is about,
 *   2. adds 1 to rings, or n for n rings at once, atomically when several may ring,
 *   3. then reads awake, and when that is 0, kicks the notifier by writing to its eventfd.
 * Steps 2 and 3 must not change places: both are sequentially consistent, or there is a full
 * barrier between them. Step 3's read may be left out: a kick that is not needed does no harm.
 *
 * The daemon's side: it sets awake to 0, and then, with a full barrier between, looks at rings once
 * more before it sleeps. So either it sees the ring, or the client sees that it must kick. What the
 * daemon then reads of the client's memory was written before the ring: it acquires what step 2
 * released.
 *
 * The functions belong to the thread of the loop that the object works on, while it works.
 */
#ifndef OBJECTS_DOORBELL_H
#define OBJECTS_DOORBELL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <glib.h>

typedef struct DoorbellWords {
    _Atomic uint64_t rings;
    _Atomic uint64_t awake;
} DoorbellWords;

typedef struct Doorbell {
    DoorbellWords *words; /* NULL: there is none */
    int fd;               /* of the memory, when there is one */
    uint64_t seen;        /* what rings was when we looked last */
} Doorbell;

/*
 * Map the memfd @fd and take it over. Only rings from now on count. It must not shrink while it is
 * mapped, so it gets the seal F_SEAL_SHRINK if it has not. False and @errp, and it stays the
 * caller's, when it is no memfd, one of huge pages, too small, can't be sealed or can't be written
 * to. Main thread.
 */
bool doorbell_map(Doorbell *bell, int fd, GError **errp);

/* Unmap it, if it is, and close or give away the memfd; -1: it is not. Main thread; the object has
 * stopped. */
void doorbell_unmap(Doorbell *bell);
int doorbell_unmap_steal(Doorbell *bell);

/* Whether it has been rung since doorbell_take(). */
bool doorbell_has_rung(const Doorbell *bell);

/* How often it has been rung since the last call. */
uint64_t doorbell_take(Doorbell *bell);

/* Say whether clients may ring without a kick. After false, look once more. */
void doorbell_set_awake(Doorbell *bell, bool awake);

#endif
