/*
 * Errors of QMP replies.
 */
#include "config.h"
#include "qmp/qmp-error.h"

GQuark qmp_error_quark(void)
{
    /* Not G_DEFINE_QUARK(), whose cache is no atomic: both threads that run commands come here. */
    return g_quark_from_static_string("qmp-error-quark");
}

const char *qmp_error_class(const GError *error)
{
    if (error->domain == QMP_ERROR && error->code == QMP_ERROR_COMMAND_NOT_FOUND) {
        return "CommandNotFound";
    }
    if (error->domain == QMP_ERROR && error->code == QMP_ERROR_DEVICE_NOT_FOUND) {
        return "DeviceNotFound";
    }
    return "GenericError";
}

bool qmp_error_set(GError **errp, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    if (errp) {
        *errp = g_error_new_valist(QMP_ERROR, QMP_ERROR_GENERIC, format, args);
    }
    va_end(args);
    return false;
}
