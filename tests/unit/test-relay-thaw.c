/*
 * A relay that goes on with what another one had: the listening socket, the numbers, the limits.
 */
#include "config.h"
#include "tests/unit/log-fixture.h"
#include "tests/unit/relay-freeze-fixture.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the listening socket ---- */

static ino_t inode_of(const char *address)
{
    struct stat st;

    g_assert_cmpint(stat(address + strlen("unix:"), &st), ==, 0);
    return st.st_ino;
}

static void clients_that_come_meanwhile_are_served(Loop *loop)
{
    FreezeTest self;
    ino_t inode;
    int client;
    int target;

    freeze_test_begin(&self, loop);
    relay_test_start_one(&self.test, self.address);
    inode = inode_of(self.test.setup.listen);
    freeze_test_freeze(&self);
    g_assert_cmpint(self.frozen->listen_fd, >=, 0);
    client = relay_test_connect(self.test.setup.listen);
    g_assert_cmpint(send(client, "hello", 5, 0), ==, 5);
    freeze_test_thaw(&self, self.address, 0);
    target = relay_test_accept(&self.test, self.listener);
    relay_test_expect(&self.test, target, "hello", false);
    g_assert_cmpuint(inode_of(self.test.setup.listen), ==, inode);
    close(client);
    close(target);
    relay_test_delete(&self.test, 0);
    /* It is the second relay's now. */
    g_assert_cmpint(g_access(self.test.setup.listen + strlen("unix:"), F_OK), !=, 0);
    freeze_test_finish(&self);
}

static void what_nobody_goes_on_with_is_broken_off_and_removed(Loop *loop)
{
    FreezeTest self;
    int client;
    int target;
    int fds;

    freeze_test_begin(&self, loop);
    fds = test_count_fds();
    relay_test_start_one(&self.test, self.address);
    relay_test_pair(&self.test, self.listener, &client, &target);
    freeze_test_freeze(&self);
    g_clear_pointer(&self.frozen, relay_frozen_free);
    g_assert_cmpint(relay_test_end_of(&self.test, client), ==, 0);
    g_assert_cmpint(relay_test_end_of(&self.test, target), ==, 0);
    close(client);
    close(target);
    g_assert_cmpint(g_access(self.test.setup.listen + strlen("unix:"), F_OK), !=, 0);
    g_assert_cmpint(test_count_fds(), ==, fds);
    freeze_test_finish(&self);
}

static void connections_go_on_when_the_listening_socket_does_not(Loop *loop)
{
    FreezeTest self;
    const char *other;
    int fds[2];
    int more[2];

    freeze_test_begin(&self, loop);
    other = relay_test_unix(&self.test, "other");
    relay_test_start_one(&self.test, self.address);
    relay_test_pair(&self.test, self.listener, &fds[0], &fds[1]);
    freeze_test_freeze(&self);
    g_clear_pointer(&self.frozen->file, unix_socket_remove);
    close(self.frozen->listen_fd);
    self.frozen->listen_fd = -1;
    self.test.setup.listen = other;
    freeze_test_thaw(&self, self.address, 0);
    g_assert_cmpstr(relay_get_address(self.test.relay), ==, other);
    freeze_test_pass(&self, fds[0], fds[1], "x");
    relay_test_pair(&self.test, self.listener, &more[0], &more[1]);
    freeze_test_pass(&self, more[0], more[1], "y");
    for (int i = 0; i < 2; i++) {
        close(fds[i]);
        close(more[i]);
    }
    freeze_test_finish(&self);
}

/* Somebody has removed it: nobody could connect any more. */
static void a_socket_without_its_file_is_made_anew(Loop *loop)
{
    FreezeTest self;
    int client;
    int target;

    freeze_test_begin(&self, loop);
    relay_test_start_one(&self.test, self.address);
    freeze_test_freeze(&self);
    g_clear_pointer(&self.frozen->file, unix_socket_remove);
    freeze_test_thaw(&self, self.address, 0);
    relay_test_pair(&self.test, self.listener, &client, &target);
    freeze_test_pass(&self, client, target, "x");
    close(client);
    close(target);
    freeze_test_finish(&self);
}

static void a_start_that_fails_leaves_what_was_frozen(Loop *loop)
{
    const char *bad[] = { "fd:x", NULL };
    g_autoptr(GError) err = NULL;
    FreezeTest self;
    int client;
    int target;
    int fds;

    freeze_test_begin(&self, loop);
    relay_test_start_one(&self.test, self.address);
    relay_test_pair(&self.test, self.listener, &client, &target);
    freeze_test_freeze(&self);
    fds = test_count_fds();
    self.test.setup.frozen = self.frozen;
    self.test.setup.targets = bad;
    g_assert_null(relay_new(&self.test.setup, &err));
    g_clear_error(&err);
    /* This is found out last. */
    bad[0] = self.test.setup.listen;
    g_assert_null(relay_new(&self.test.setup, &err));
    g_assert_nonnull(strstr(err->message, "is where the relay itself listens"));
    g_assert_cmpint(test_count_fds(), ==, fds);
    freeze_test_thaw(&self, self.address, 0);
    freeze_test_pass(&self, client, target, "x");
    close(client);
    close(target);
    freeze_test_finish(&self);
}

/* ---- numbers and limits ---- */

static void numbers_go_on(Loop *loop)
{
    FreezeTest self;
    int fds[2][2];

    freeze_test_begin(&self, loop);
    self.test.setup.verbose = true;
    relay_test_start_one(&self.test, self.address);
    for (int i = 0; i < 2; i++) {
        relay_test_pair(&self.test, self.listener, &fds[i][0], &fds[i][1]);
        freeze_test_pass(&self, fds[i][0], fds[i][1], "four");
        freeze_test_restart(&self);
    }
    freeze_test_pass(&self, fds[0][1], fds[0][0], "it");
    g_assert_cmpuint(relay_test_stats(&self.test).connections, ==, 2);
    g_assert_cmpuint(relay_test_stats(&self.test).total_connections, ==, 2);
    g_assert_cmpuint(relay_test_stats(&self.test).bytes_in, ==, 8);
    g_assert_cmpuint(relay_test_stats(&self.test).bytes_out, ==, 2);
    for (int i = 0; i < 2; i++) {
        close(fds[i][0]);
        g_assert_cmpint(relay_test_end_of(&self.test, fds[i][1]), ==, 0);
        close(fds[i][1]);
        relay_test_wait_events(&self.test, 3 + (unsigned)i);
    }
    g_assert_cmpstr(g_ptr_array_index(self.test.events, 2), ==, "disconnected 1 4 2 none");
    g_assert_cmpstr(g_ptr_array_index(self.test.events, 3), ==, "disconnected 2 4 0 none");
    freeze_test_finish(&self);
}

static void more_than_are_allowed_go_on(Loop *loop)
{
    FreezeTest self;
    int fds[2][2];
    int client;

    freeze_test_begin(&self, loop);
    relay_test_start_one(&self.test, self.address);
    for (int i = 0; i < 2; i++) {
        relay_test_pair(&self.test, self.listener, &fds[i][0], &fds[i][1]);
    }
    self.test.setup.params.max_connections = 1;
    freeze_test_restart(&self);
    log_test_expect(QMP_LOG_CLIENT_TURNED_AWAY,
                    "*: clients turned away: 1, for there are 1 connections already");
    client = relay_test_client(&self.test);
    relay_test_wait_for(&self.test, relay_test_stats(&self.test).refused == 1);
    log_test_assert_all();
    relay_test_end_of(&self.test, client);
    close(client);
    for (int i = 0; i < 2; i++) {
        freeze_test_pass(&self, fds[i][0], fds[i][1], "x");
        close(fds[i][0]);
        close(fds[i][1]);
    }
    freeze_test_finish(&self);
}

static void a_target_that_is_down_stays_so(Loop *loop)
{
    g_auto(GStrv) down = NULL;
    FreezeTest self;
    const char *targets[3];
    int client;
    int target;

    freeze_test_begin(&self, loop);
    targets[0] = relay_test_unix(&self.test, "nobody");
    targets[1] = self.address;
    targets[2] = NULL;
    self.test.setup.params.target_retry_ms = RELAY_TIMEOUT_MS_MAX;
    relay_test_start(&self.test, targets);
    relay_test_pair(&self.test, self.listener, &client, &target);
    relay_test_wait_events(&self.test, 1);
    freeze_test_freeze(&self);
    self.test.setup.frozen = self.frozen;
    relay_test_start(&self.test, targets);
    self.test.setup.frozen = NULL;
    g_clear_pointer(&self.frozen, relay_frozen_free);
    down = relay_get_targets_down(self.test.relay);
    g_assert_cmpuint(g_strv_length(down), ==, 1);
    g_assert_cmpstr(down[0], ==, targets[0]);
    close(client);
    close(target);
    freeze_test_finish(&self);
}

/* ---- other things under way ---- */

static void has_moved(void *opaque)
{
    (*(int *)opaque)++;
}

static void moves_are_over_first(Loop *loop)
{
    FreezeTest self;
    int n_moved = 0;
    int client;
    int target;

    freeze_test_begin(&self, loop);
    relay_test_start_one(&self.test, self.address);
    relay_test_pair(&self.test, self.listener, &client, &target);
    for (int i = 0; i < 10; i++) {
        g_assert_true(relay_set_contexts(self.test.relay, &self.loops[i % N_LOOPS]->ctx, 1,
                                         has_moved, &n_moved, NULL));
    }
    g_assert_true(relay_set_params(self.test.relay, &self.test.setup.params, NULL));
    freeze_test_freeze(&self);
    g_assert_cmpint(n_moved, ==, 10);
    freeze_test_thaw(&self, self.address, 7);
    /* It may move and end before the loops have begun. */
    g_assert_true(relay_set_contexts(self.test.relay, &loop->ctx, 1, has_moved, &n_moved, NULL));
    freeze_test_freeze(&self);
    freeze_test_thaw(&self, self.address, 0);
    freeze_test_pass(&self, client, target, "x");
    close(client);
    close(target);
    freeze_test_finish(&self);
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    log_test_init();
    loop_test_add("clients that come meanwhile are served", clients_that_come_meanwhile_are_served);
    loop_test_add("what nobody goes on with is broken off and removed",
                  what_nobody_goes_on_with_is_broken_off_and_removed);
    loop_test_add("connections go on when the listening socket does not",
                  connections_go_on_when_the_listening_socket_does_not);
    loop_test_add("a socket without its file is made anew", a_socket_without_its_file_is_made_anew);
    loop_test_add("a start that fails leaves what was frozen",
                  a_start_that_fails_leaves_what_was_frozen);
    loop_test_add("numbers go on", numbers_go_on);
    loop_test_add("more than are allowed go on", more_than_are_allowed_go_on);
    loop_test_add("a target that is down stays so", a_target_that_is_down_stays_so);
    loop_test_add("moves are over first", moves_are_over_first);
    return g_test_run();
}
