/*
 * Error classes of QMP replies.
 *
 * An error of this domain goes out with the class that its code names; one of any other domain as
 * GenericError.
 */
#ifndef QMP_QMP_ERROR_H
#define QMP_QMP_ERROR_H

#include <stdbool.h>
#include <glib.h>

#define QMP_ERROR qmp_error_quark()
GQuark qmp_error_quark(void);

typedef enum {
    QMP_ERROR_GENERIC,
    QMP_ERROR_COMMAND_NOT_FOUND,
    QMP_ERROR_DEVICE_NOT_FOUND,
} QmpErrorClass;

/* Set @errp, unless it is NULL, to a GenericError with a text made from @format; returns false. Any
 * thread. */
bool qmp_error_set(GError **errp, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* The class of @error as it stands in a reply. Any thread. */
const char *qmp_error_class(const GError *error);

#endif
