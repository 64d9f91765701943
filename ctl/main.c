/*
 * evloopctl: talks to evloopd from a command line.
 *
 * It is a QMP client like any other and knows the daemon only by what goes over the socket. The
 * commands are ctl/cmd-*.c; this file is the outermost group of them, and the exit status.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "ctl/command.h"
#include "ctl/error.h"
#include "ctl/print.h"

static const CtlCommand *const members[] = {
    &ctl_shell, &ctl_call,   &ctl_oob,  &ctl_object,   &ctl_iothread,
    &ctl_apply, &ctl_status, &ctl_top,  &ctl_events,   &ctl_wait,
    &ctl_trace, &ctl_quit,   &ctl_help, &ctl_complete, NULL,
};

const CtlCommand ctl_program = {
    .name = "evloopctl",
    .summary = "Control a running evloopd through its socket",
    .description =
        "The socket is the one of --socket, else of $EVLOOPD_SOCKET, else\n"
        "$XDG_RUNTIME_DIR/evloopd.sock when there is one, else /run/evloopd/qmp.sock.\n"
        "\n"
        "Exit status: 0 done; 1 the daemon refused a command; 3 'wait' has seen no such event\n"
        "in time; 2 anything else, such as no connection, a timeout, wrong words, or output\n"
        "that nobody takes.\n",
    .members = members,
};

/*
 * A standard descriptor that the caller left closed would become the socket, and results would be
 * written into it. Occupy it with something that can only be used the wrong way round, so that
 * using it is an error still.
 */
static void occupy_standard_fds(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF) {
            (void)!open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
        }
    }
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    Ctl ctl = { .program = &ctl_program };

    occupy_standard_fds();
    signal(SIGPIPE, SIG_IGN); /* writing to a closed pipe is an error like any other */
    g_set_prgname("evloopctl");
    if (!ctl_run(&ctl_program, &ctl, argc > 0 ? argv + 1 : argv, &error) &&
        !g_error_matches(error, CTL_ERROR, CTL_ERROR_DONE) && !ctl.told) {
        print_error(error);
    }
    g_free(ctl.socket_path);
    return ctl_error_exit_status(error);
}
