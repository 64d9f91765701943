/*
 * Names for addresses in the program: like dladdr(3), which would wait for a thread that is stuck
 * while it loads a library, and knows no static functions.
 */
#ifndef DAEMON_SYMBOLS_H
#define DAEMON_SYMBOLS_H

#include <stdbool.h>

/* Note which files the process is made of now. What is loaded later has no names. Once. */
void symbols_init(void);

/*
 * "FUNCTION+OFFSET (FILE+OFFSET)", or as much of it as is known, of @address. When it is where a
 * call will return to (@is_return), the function is that of the call. The offset in the file is
 * what addr2line(1) takes. The caller frees it. Any thread.
 */
char *symbols_describe(const void *address, bool is_return);

#endif
