/*
 * Opening standard input once more. O_NONBLOCK on the one that is there would be seen by all who
 * share it, such as the shell that evloopctl was started from.
 */
#include "ctl/input.h"

#include <fcntl.h>
#include <unistd.h>

int input_open(void)
{
    const char *name = ttyname(STDIN_FILENO);
    int fd = name ? open(name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC) : -1;

    return fd >= 0 ? fd : STDIN_FILENO;
}

void input_close(int fd)
{
    if (fd != STDIN_FILENO) {
        close(fd);
    }
}
