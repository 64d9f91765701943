/*
 * Parcels: many descriptors in few, which somebody else can hold.
 *
 * A parcel is a unix socket in which descriptors are in flight: sent, and not received yet. Who
 * holds it holds them all, alive and in their order, however many processes have ended since. A
 * service manager compares each descriptor that it is given with all that it has, and passes their
 * names in one variable of limited length; so it is given parcels, and not what is in them.
 *
 * Descriptors that have been taken out of a parcel are in it no more: they can't be taken twice.
 */
#ifndef OBJECTS_KEEP_PARCEL_H
#define OBJECTS_KEEP_PARCEL_H

#include <stddef.h>
#include <glib.h>

/* The most that parcels hold together. */
#define PARCELS_MAX_FDS ((size_t)1 << 22)

/* Put the @n descriptors at @fds, which stay the caller's, into new parcels, which are added to
 * @parcels, an array of int. Returns how many were put, from the first on; when that is not all of
 * them, @errp says why. */
size_t parcels_pack(const int *fds, size_t n, GArray *parcels, GError **errp);

/* Take out what is in the @n parcels at @parcels, whatever they are, in any order. The array of
 * int, -1 for those that are missing, belongs to the caller, and so do they, close-on-exec. */
GArray *parcels_unpack(const int *parcels, size_t n);

/* Close the descriptors in @fds, but for -1, and free it. */
void fds_free(GArray *fds);

#endif
