/*
 * What the tests share that freeze a relay, and let another one go on with what it had.
 */
#ifndef TESTS_UNIT_RELAY_FREEZE_FIXTURE_H
#define TESTS_UNIT_RELAY_FREEZE_FIXTURE_H

#include "objects/relay/relay-frozen.h"
#include "tests/unit/relay-fixture.h"

#define N_LOOPS 3

typedef struct FreezeTest {
    RelayTest test;
    Loop *loops[N_LOOPS]; /* that the relay may run on, besides the owner's */
    RelayFrozen *frozen;
    const char *address; /* of the target, a unix socket */
    int listener;        /* likewise */
} FreezeTest;

/* Prepare; no relay is started yet. */
void freeze_test_begin(FreezeTest *self, Loop *loop);
void freeze_test_finish(FreezeTest *self);

/* End the relay, and have what it had in @self->frozen. */
void freeze_test_freeze(FreezeTest *self);

/* Go on, for the target @address, on the loops that have their bit in @set, or the owner's. */
void freeze_test_thaw(FreezeTest *self, const char *address, unsigned set);

/* Both, as it was before. */
void freeze_test_restart(FreezeTest *self);

/* Send @text into @from; it comes out of @to. */
void freeze_test_pass(FreezeTest *self, int from, int to, const char *text);

#endif
