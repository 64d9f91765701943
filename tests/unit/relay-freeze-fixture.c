/*
 * The fixture of the tests that freeze relays.
 */
#include "config.h"
#include "tests/unit/relay-freeze-fixture.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void freeze_test_begin(FreezeTest *self, Loop *loop)
{
    *self = (FreezeTest){ 0 };
    relay_test_init(&self->test, loop);
    for (int i = 0; i < N_LOOPS; i++) {
        self->loops[i] = loop_new_like(loop);
        loop_start(self->loops[i]);
    }
    self->address = relay_test_unix(&self->test, "target");
    self->listener = relay_test_listen(self->address, 1024);
}

void freeze_test_finish(FreezeTest *self)
{
    close(self->listener);
    unlink(self->address + strlen("unix:"));
    relay_test_clear(&self->test);
    for (int i = 0; i < N_LOOPS; i++) {
        loop_stop(self->loops[i]);
        loop_free(self->loops[i]);
    }
}

static void frozen(void *opaque, RelayFrozen *frozen)
{
    FreezeTest *self = opaque;

    self->test.relay = NULL;
    self->frozen = frozen;
}

void freeze_test_freeze(FreezeTest *self)
{
    self->frozen = NULL;
    relay_freeze(self->test.relay, frozen, self);
    relay_test_wait_for(&self->test, self->frozen);
}

void freeze_test_thaw(FreezeTest *self, const char *address, unsigned set)
{
    AioContext *contexts[N_LOOPS] = { self->test.loop->ctx };
    size_t n = 0;

    for (unsigned i = 0; i < N_LOOPS; i++) {
        if (set & 1u << i) {
            contexts[n++] = self->loops[i]->ctx;
        }
    }
    self->test.setup.contexts = contexts;
    self->test.setup.n_contexts = MAX(n, 1);
    self->test.setup.frozen = self->frozen;
    relay_test_start_one(&self->test, address);
    self->test.setup.frozen = NULL;
    g_clear_pointer(&self->frozen, relay_frozen_free);
}

void freeze_test_restart(FreezeTest *self)
{
    freeze_test_freeze(self);
    freeze_test_thaw(self, self->address, 0);
}

void freeze_test_pass(FreezeTest *self, int from, int to, const char *text)
{
    g_assert_cmpint(send(from, text, strlen(text), MSG_NOSIGNAL), ==, (ssize_t)strlen(text));
    relay_test_expect(&self->test, to, text, false);
}
