/*
 * 'evloopctl shell' where it was built without libedit: it runs lines from a pipe or a file.
 */
#include "ctl/error.h"
#include "ctl/shell.h"

bool shell_edit_check(GError **errp)
{
    g_set_error(errp, CTL_ERROR, CTL_ERROR_USAGE,
                "this evloopctl was built without libedit; 'evloopctl shell <FILE' runs the lines "
                "of a file");
    return false;
}

ShellEdit *shell_edit_new(Ctl *ctl)
{
    return NULL;
}

void shell_edit_free(ShellEdit *edit)
{
}

char *shell_edit_read(ShellEdit *edit)
{
    return NULL;
}

void shell_edit_print(ShellEdit *edit, const char *text)
{
}
