/*
 * Standard input, where Ctrl-C is to end the waiting for it.
 */
#ifndef CTL_INPUT_H
#define CTL_INPUT_H

#include <glib.h>

G_BEGIN_DECLS

/*
 * A descriptor to read standard input from. Of a terminal it is one of its own, which does not
 * block: Ctrl-C takes away keys that poll() has told of already. The caller gives it to
 * input_close().
 */
int input_open(void);

void input_close(int fd);

G_END_DECLS

#endif
