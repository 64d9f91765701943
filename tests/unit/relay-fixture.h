/*
 * What the tests of the relay share: a relay on a loop, clients and targets that the test itself
 * plays, and a record of the events.
 */
#ifndef TESTS_UNIT_RELAY_FIXTURE_H
#define TESTS_UNIT_RELAY_FIXTURE_H

#include <sched.h>

#include "objects/relay/relay.h"
#include "tests/unit/loop-fixture.h"

typedef struct RelayTest {
    Loop *loop; /* the owner's, driven by the test's own thread */
    Relay *relay;
    RelaySetup setup;
    char *folder;
    GPtrArray *events; /* of texts such as "down unix:PATH" */
    bool deleted;
} RelayTest;

/* Prepare for a relay on @loop, owned there and running there, that listens on a unix socket. */
void relay_test_init(RelayTest *test, Loop *loop);

/* Delete the relay, if there is one, and what the test made. */
void relay_test_clear(RelayTest *test);

/* Start the relay for @targets, ended by NULL; it can't fail. */
void relay_test_start(RelayTest *test, const char *const *targets);
void relay_test_start_one(RelayTest *test, const char *target);

/* Delete the relay, and return when it is gone. */
void relay_test_delete(RelayTest *test, int64_t drain_timeout_ms);

/* The address "unix:FOLDER/@name", owned by the test until it ends. */
const char *relay_test_unix(RelayTest *test, const char *name);

/* A target that listens on the unix or IPv4 socket @address, with port 0 for any. */
int relay_test_listen(const char *address, int backlog);

/* The address of @fd as text; a relay's own. To be freed. */
char *relay_test_address_of(int fd);

/* A client of @address, connected, or about to be. */
int relay_test_connect(const char *address);

/* A client of the relay. */
int relay_test_client(RelayTest *test);

/* Drive the loop until the target @listener has a connection, and accept it. */
int relay_test_accept(RelayTest *test, int listener);

/* A client and the target's end of its connection by way of the relay. */
void relay_test_pair(RelayTest *test, int listener, int *client, int *target);

/* Drive the loop until @fd has exactly @text, then the end with @end. */
void relay_test_expect(RelayTest *test, int fd, const char *text, bool end);

/* Drive the loop until reading @fd ends: returns 0, or the error. Data is an error of the test's.
 */
int relay_test_end_of(RelayTest *test, int fd);

/* Drive the loop until @condition holds; other threads get their turn. */
#define relay_test_wait_for(test, condition) \
    do {                                     \
        while (!(condition)) {               \
            loop_pass((test)->loop, false);  \
        }                                    \
    } while (0)

RelayStats relay_test_stats(RelayTest *test);

/* Drive the loop until there are @n events. */
void relay_test_wait_events(RelayTest *test, unsigned n);

#endif
