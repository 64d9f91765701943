/*
 * The log, for tests of what is in it: its lines are taken, with their fields, in their order. A
 * warning that a test does not expect ends it.
 */
#ifndef TESTS_UNIT_LOG_FIXTURE_H
#define TESTS_UNIT_LOG_FIXTURE_H

#include <glib.h>

#include "qmp/qmp-log.h"

/* Take the log from now on. Once, after g_test_init(). */
void log_test_init(void);

/* The next line will match @pattern, as g_pattern_match_simple() has it, and be of the kind
 * @message. */
void log_test_expect(QmpLogMessage message, const char *pattern);

/* All that was expected has come. */
void log_test_assert_all(void);

/* The field @key of the last line that was expected and has come; NULL: it has none. Valid until
 * the next line. */
const char *log_test_field(const char *key);

/* Its fields EVLOOPD_*, each "KEY=VALUE" with the key without that prefix, in their order,
 * with blanks between them. To be freed. */
char *log_test_fields(void);

#endif
