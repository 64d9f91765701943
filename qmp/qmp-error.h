/*
 * Error classes of QMP replies.
 *
 * An error of this domain goes out with the class that its code names; one of any other domain as
 * GenericError.
 */
#ifndef QMP_QMP_ERROR_H
#define QMP_QMP_ERROR_H

#include <glib.h>

#define QMP_ERROR qmp_error_quark()
GQuark qmp_error_quark(void);

typedef enum {
    QMP_ERROR_GENERIC,
    QMP_ERROR_COMMAND_NOT_FOUND,
    QMP_ERROR_DEVICE_NOT_FOUND,
} QmpErrorClass;

/* The class of @error as it stands in a reply. Any thread. */
const char *qmp_error_class(const GError *error);

#endif
