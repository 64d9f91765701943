/*
 * What the fuzz targets have in common.
 *
 * A target is a file with the two functions that libFuzzer calls. Built for fuzzing it is linked
 * with libFuzzer, which makes inputs up; otherwise with run-corpus.c, which takes them from the
 * tree.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <glib.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* End with a message that is what the fuzzer has found. */
void fuzz_fail(const char *format, ...) G_GNUC_PRINTF(1, 2) G_GNUC_NORETURN;

#define fuzz_assert(condition) \
    ((condition) ? (void)0 : fuzz_fail("%s:%d: not so: %s", __FILE__, __LINE__, #condition))

/* Log nothing: what a client does wrong is logged by the thousand. A critical one still aborts. */
void fuzz_log_init(void);

#endif
