/*
 * Adding, replacing and removing handlers of descriptors while the loop runs: in callbacks, in the
 * middle of a pass, from other threads, and with descriptor numbers used again at once.
 */
#include "config.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include "tests/unit/loop-fixture.h"

static void remove_handler(AioContext *ctx, int fd)
{
    aio_set_fd_handler(ctx, fd, NULL, NULL, NULL, NULL, NULL);
}

/* A pipe with a byte in it, whose handler does to others what the test says. */
typedef struct Actor {
    AioContext *ctx;
    int fds[2];
    int calls;
    int other_calls;
    void (*act)(struct Actor *actor);
    struct Actor *others;
    int n_others;
} Actor;

static void actor_read(void *opaque)
{
    Actor *actor = opaque;

    actor->calls++;
    if (actor->act) {
        actor->act(actor);
    }
}

static void actor_other(void *opaque)
{
    Actor *actor = opaque;

    actor->other_calls++;
}

static void actor_init(Actor *actor, Loop *loop, void (*act)(Actor *actor))
{
    *actor = (Actor){ .ctx = loop->ctx, .act = act };
    test_pipe(actor->fds);
    test_write_byte(actor->fds[1]);
    aio_set_fd_handler(actor->ctx, actor->fds[0], actor_read, NULL, NULL, NULL, actor);
}

static void actor_cleanup(Actor *actor)
{
    remove_handler(actor->ctx, actor->fds[0]);
    test_close(actor->fds);
}

static void remove_itself(Actor *actor)
{
    remove_handler(actor->ctx, actor->fds[0]);
}

static void test_removes_itself(Loop *loop)
{
    Actor actor;

    actor_init(&actor, loop, remove_itself);
    while (actor.calls == 0) {
        loop_pass(loop, true);
    }
    loop_passes(loop, 3);
    g_assert_cmpint(actor.calls, ==, 1);
    actor_cleanup(&actor);
}

static void free_itself(Actor *actor)
{
    int *calls = (int *)actor->others;

    ++*calls;
    actor_cleanup(actor);
    g_free(actor);
}

static void test_frees_itself(Loop *loop)
{
    Actor *actor = g_new(Actor, 1);
    int calls = 0;

    actor_init(actor, loop, free_itself);
    actor->others = (Actor *)&calls;
    while (calls == 0) {
        loop_pass(loop, true);
    }
    loop_passes(loop, 3);
    g_assert_cmpint(calls, ==, 1);
}

static void replace_itself(Actor *actor)
{
    aio_set_fd_handler(actor->ctx, actor->fds[0], actor_other, NULL, NULL, NULL, actor);
}

static void test_replaces_itself(Loop *loop)
{
    Actor actor;

    actor_init(&actor, loop, replace_itself);
    while (actor.other_calls < 3) {
        loop_pass(loop, true);
    }
    g_assert_cmpint(actor.calls, ==, 1);
    actor_cleanup(&actor);
}

static void read_and_add_again(Actor *actor)
{
    remove_handler(actor->ctx, actor->fds[0]);
    aio_set_fd_handler(actor->ctx, actor->fds[0], actor_read, NULL, NULL, NULL, actor);
}

static void test_removes_and_adds_itself(Loop *loop)
{
    Actor actor;

    actor_init(&actor, loop, read_and_add_again);
    while (actor.calls < 3) {
        loop_pass(loop, true);
    }
    /* Once a pass: adding it again is no way to keep the others out. */
    int calls = actor.calls;
    loop_pass(loop, false);
    g_assert_cmpint(actor.calls, ==, calls + 1);
    actor.act = NULL;
    test_read_byte(actor.fds[0]);
    calls = actor.calls;
    loop_passes(loop, 3);
    g_assert_cmpint(actor.calls, ==, calls);
    actor_cleanup(&actor);
}

static void remove_the_others(Actor *actor)
{
    for (int i = 0; i < actor->n_others; i++) {
        if (&actor->others[i] != actor) {
            remove_handler(actor->ctx, actor->others[i].fds[0]);
        }
    }
}

static void test_removes_others_that_are_ready(Loop *loop)
{
    enum {
        N = 20
    };
    Actor actors[N];
    int calls;

    for (int i = 0; i < N; i++) {
        actor_init(&actors[i], loop, remove_the_others);
        actors[i].others = actors;
        actors[i].n_others = N;
    }
    do {
        loop_pass(loop, true);
        calls = 0;
        for (int i = 0; i < N; i++) {
            calls += actors[i].calls > 0;
        }
    } while (calls == 0);
    loop_passes(loop, 3);
    calls = 0;
    for (int i = 0; i < N; i++) {
        calls += actors[i].calls > 0;
    }
    /* Whichever came first took out all others, though they were ready in the same pass. */
    g_assert_cmpint(calls, ==, 1);
    for (int i = 0; i < N; i++) {
        actor_cleanup(&actors[i]);
    }
}

static void free_the_other(Actor *actor)
{
    Actor **pair = (Actor **)actor->others;
    Actor **other = pair[0] == actor ? &pair[1] : &pair[0];

    if (*other) {
        actor_cleanup(*other);
        g_clear_pointer(other, g_free);
    }
}

static void test_frees_another_that_is_ready(Loop *loop)
{
    Actor *pair[2];

    for (int i = 0; i < 2; i++) {
        pair[i] = g_new(Actor, 1);
        actor_init(pair[i], loop, free_the_other);
        pair[i]->others = (Actor *)pair;
    }
    while (pair[0] && pair[1]) {
        loop_pass(loop, true);
    }
    loop_passes(loop, 3);
    Actor *left = pair[0] ? pair[0] : pair[1];
    g_assert_nonnull(left);
    g_assert_cmpint(left->calls, >, 1);
    actor_cleanup(left);
    g_free(left);
}

static void drop_own_writer(Actor *actor)
{
    aio_set_fd_handler(actor->ctx, actor->fds[0], actor_read, NULL, NULL, NULL, actor);
}

static void test_drops_own_writer(Loop *loop, void (*act)(Actor *actor))
{
    Actor actor = { .ctx = loop->ctx, .act = act };

    test_socketpair(actor.fds);
    test_write_byte(actor.fds[1]);
    aio_set_fd_handler(actor.ctx, actor.fds[0], actor_read, actor_other, NULL, NULL, &actor);
    while (actor.calls == 0) {
        loop_pass(loop, true);
    }
    /* Whatever runs first: once the reader has run, the writer does not. */
    int other_calls = actor.other_calls;
    loop_passes(loop, 3);
    g_assert_cmpint(other_calls, ==, 0);
    g_assert_cmpint(actor.other_calls, ==, 0);
    actor_cleanup(&actor);
}

static void test_reader_removes_its_writer(Loop *loop)
{
    test_drops_own_writer(loop, drop_own_writer);
}

static void test_reader_removes_the_descriptor(Loop *loop)
{
    test_drops_own_writer(loop, remove_itself);
}

static void remove_from_bh(void *opaque)
{
    remove_itself(opaque);
}

static void test_bottom_half_removes_a_ready_handler(Loop *loop)
{
    Actor actor;

    /* Bottom halves run before the handlers of the same pass. */
    loop_passes(loop, 2);
    actor_init(&actor, loop, NULL);
    aio_bh_schedule_oneshot(loop->ctx, remove_from_bh, &actor);
    loop_passes(loop, 4);
    g_assert_cmpint(actor.calls, ==, 0);
    actor_cleanup(&actor);
}

static void test_removes_what_is_not_there(Loop *loop)
{
    int fds[2];

    test_pipe(fds);
    remove_handler(loop->ctx, fds[0]);
    remove_handler(loop->ctx, fds[0]);
    loop_passes(loop, 2);
    test_close(fds);
}

static void add_the_other(Actor *actor)
{
    remove_itself(actor);
    actor_init(actor->others, &(Loop){ .ctx = actor->ctx }, NULL);
}

static void test_adds_a_ready_descriptor(Loop *loop)
{
    Actor actor, other = { 0 };

    actor_init(&actor, loop, add_the_other);
    actor.others = &other;
    /* Blocking: it must not sleep over a handler that was added by the pass before. */
    while (other.calls < 2) {
        loop_pass(loop, true);
    }
    actor_cleanup(&actor);
    actor_cleanup(&other);
}

/* ---- a number that is used again ---- */

/* Close the actor's descriptor, and give its number to an empty pipe with another handler. */
static void reuse_number(Actor *actor)
{
    int fds[2];

    test_pipe(fds);
    remove_itself(actor);
    int fd = dup2(fds[0], actor->fds[0]);
    g_assert_cmpint(fd, ==, actor->fds[0]);
    close(fds[0]);
    close(actor->fds[1]);
    actor->fds[1] = fds[1];
    aio_set_fd_handler(actor->ctx, actor->fds[0], actor_other, NULL, NULL, NULL, actor);
}

static void check_reused(Loop *loop, Actor *actor)
{
    int calls = actor->calls;

    loop_passes(loop, 5);
    g_assert_cmpint(actor->other_calls, ==, 0);
    test_write_byte(actor->fds[1]);
    while (actor->other_calls < 2) {
        loop_pass(loop, true);
    }
    test_read_byte(actor->fds[0]);
    actor->other_calls = 0;
    loop_passes(loop, 3);
    g_assert_cmpint(actor->other_calls, ==, 0);
    g_assert_cmpint(actor->calls, ==, calls);
}

static void test_number_used_again(Loop *loop)
{
    Actor actor;

    actor_init(&actor, loop, NULL);
    while (actor.calls == 0) {
        loop_pass(loop, true);
    }
    reuse_number(&actor);
    check_reused(loop, &actor);
    actor_cleanup(&actor);
}

static void test_number_used_again_in_own_callback(Loop *loop)
{
    Actor actor;

    actor_init(&actor, loop, reuse_number);
    while (actor.calls == 0) {
        loop_pass(loop, true);
    }
    check_reused(loop, &actor);
    g_assert_cmpint(actor.calls, ==, 1);
    actor_cleanup(&actor);
}

static void reuse_the_others(Actor *actor)
{
    for (int i = 0; i < actor->n_others; i++) {
        if (&actor->others[i] != actor) {
            reuse_number(&actor->others[i]);
        }
    }
    remove_itself(actor);
}

static void test_number_of_a_ready_one_used_again(Loop *loop)
{
    Actor pair[2];

    /* The one called first closes the other, which is on the list of ready ones by then. */
    for (int i = 0; i < 2; i++) {
        actor_init(&pair[i], loop, reuse_the_others);
        pair[i].others = pair;
        pair[i].n_others = 2;
    }
    while (pair[0].calls + pair[1].calls == 0) {
        loop_pass(loop, true);
    }
    check_reused(loop, pair[0].calls ? &pair[1] : &pair[0]);
    g_assert_cmpint(pair[0].calls + pair[1].calls, ==, 1);
    actor_cleanup(&pair[0]);
    actor_cleanup(&pair[1]);
}

static void test_file_stays_open_under_another_number(Loop *loop)
{
    Actor actor;

    /* Closing a descriptor does not take its file out of epoll while a duplicate is open. */
    actor_init(&actor, loop, NULL);
    while (actor.calls == 0) {
        loop_pass(loop, true);
    }
    int duplicate = dup(actor.fds[0]);
    int writer = dup(actor.fds[1]);
    reuse_number(&actor);
    check_reused(loop, &actor);
    g_assert_cmpint(actor.calls, >, 0);
    loop_start(loop);
    loop_assert_asleep(loop);
    loop_stop(loop);
    close(duplicate);
    close(writer);
    actor_cleanup(&actor);
}

static void test_both_numbers_of_a_file(Loop *loop)
{
    Actor first, second = { .ctx = loop->ctx };

    /* Two descriptors of one open file, each with a handler of its own. */
    actor_init(&first, loop, NULL);
    second.fds[0] = dup(first.fds[0]);
    second.fds[1] = dup(first.fds[1]);
    aio_set_fd_handler(loop->ctx, second.fds[0], actor_read, NULL, NULL, NULL, &second);
    while (first.calls < 2 || second.calls < 2) {
        loop_pass(loop, true);
    }
    remove_handler(loop->ctx, first.fds[0]);
    int calls = first.calls;
    second.calls = 0;
    while (second.calls < 2) {
        loop_pass(loop, true);
    }
    g_assert_cmpint(first.calls, ==, calls);
    actor_cleanup(&first);
    actor_cleanup(&second);
}

/* ---- from other threads ---- */

static void quit_reading(Actor *actor)
{
    test_read_byte(actor->fds[0]);
}

static void nothing(void *opaque)
{
}

static void test_added_while_the_loop_sleeps(Loop *loop)
{
    Actor actor;

    loop_start(loop);
    loop_wait_until_idle(loop);
    actor_init(&actor, loop, quit_reading);
    for (;;) {
        AioContextStats stats;
        aio_context_get_stats(loop->ctx, &stats);
        if (stats.fd_callbacks >= 1) {
            break;
        }
    }
    loop_stop(loop);
    g_assert_cmpint(actor.calls, ==, 1);
    actor_cleanup(&actor);
}

static void test_removed_while_the_loop_runs_it(Loop *loop)
{
    Actor actor;

    loop_start(loop);
    for (int i = 0; i < 200; i++) {
        actor_init(&actor, loop, NULL);
        /* Always ready: the loop calls it over and over. */
        remove_handler(loop->ctx, actor.fds[0]);
        /* A call that had begun has ended when the loop has run this. */
        aio_wait_bh_oneshot(loop->ctx, nothing, NULL);
        int calls = actor.calls;
        aio_wait_bh_oneshot(loop->ctx, nothing, NULL);
        g_assert_cmpint(actor.calls, ==, calls);
        test_close(actor.fds);
    }
    loop_assert_asleep(loop);
    loop_stop(loop);
}

static void test_number_used_again_while_the_loop_sleeps(Loop *loop)
{
    Actor actor;

    actor_init(&actor, loop, NULL);
    test_read_byte(actor.fds[0]);
    loop_start(loop);
    loop_wait_until_idle(loop);
    int duplicate = dup(actor.fds[0]);
    int writer = dup(actor.fds[1]);
    reuse_number(&actor);
    test_write_byte(writer); /* the old file becomes ready */
    for (int i = 0; i < 5; i++) {
        aio_wait_bh_oneshot(loop->ctx, nothing, NULL);
    }
    g_assert_cmpint(actor.calls, ==, 0);
    g_assert_cmpint(actor.other_calls, ==, 0);
    loop_assert_asleep(loop);
    loop_stop(loop);

    check_reused(loop, &actor);
    close(duplicate);
    close(writer);
    actor_cleanup(&actor);
}

/* ---- the end ---- */

static void test_context_freed_with_handlers(Loop *loop)
{
    Loop *other = loop_new_like(loop);
    Actor actor;

    actor_init(&actor, other, NULL);
    loop_free(other);
    g_assert_cmpint(actor.calls, ==, 0);
    test_close(actor.fds);
}

/* The loop once slept on while what others had taken out piled up, without bound. */
static void test_sleeping_loop_frees_what_others_take_out(Loop *loop)
{
    AioContextStats before, after;
    int fds[2];

    test_pipe(fds);
    loop_start(loop);
    loop_wait_until_idle(loop);
    aio_context_get_stats(loop->ctx, &before);
    for (int i = 0; i < 1000; i++) {
        aio_set_fd_handler(loop->ctx, fds[0], test_count, NULL, NULL, NULL, NULL);
        aio_set_fd_handler(loop->ctx, fds[0], NULL, NULL, NULL, NULL, NULL);
    }
    do {
        aio_context_get_stats(loop->ctx, &after);
        sched_yield();
    } while (after.passes == before.passes); /* would hang */
    loop_stop(loop);
    test_close(fds);
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    loop_test_add("removes-itself", test_removes_itself);
    loop_test_add("frees-itself", test_frees_itself);
    loop_test_add("replaces-itself", test_replaces_itself);
    loop_test_add("removes-and-adds-itself", test_removes_and_adds_itself);
    loop_test_add("removes-others-that-are-ready", test_removes_others_that_are_ready);
    loop_test_add("frees-another-that-is-ready", test_frees_another_that_is_ready);
    loop_test_add("reader-removes-its-writer", test_reader_removes_its_writer);
    loop_test_add("reader-removes-the-descriptor", test_reader_removes_the_descriptor);
    loop_test_add("bottom-half-removes-a-ready-handler", test_bottom_half_removes_a_ready_handler);
    loop_test_add("removing-what-is-not-there", test_removes_what_is_not_there);
    loop_test_add("adds-a-ready-descriptor", test_adds_a_ready_descriptor);
    loop_test_add("number-used-again", test_number_used_again);
    loop_test_add("number-used-again-in-own-callback", test_number_used_again_in_own_callback);
    loop_test_add("number-of-a-ready-one-used-again", test_number_of_a_ready_one_used_again);
    loop_test_add("file-stays-open-under-another-number",
                  test_file_stays_open_under_another_number);
    loop_test_add("two-numbers-of-one-file", test_both_numbers_of_a_file);
    loop_test_add("added-while-the-loop-sleeps", test_added_while_the_loop_sleeps);
    loop_test_add("removed-while-the-loop-runs-it", test_removed_while_the_loop_runs_it);
    loop_test_add("number-used-again-while-the-loop-sleeps",
                  test_number_used_again_while_the_loop_sleeps);
    loop_test_add("context-freed-with-handlers", test_context_freed_with_handlers);
    loop_test_add("sleeping-loop-frees-what-others-take-out",
                  test_sleeping_loop_frees_what_others_take_out);
    return g_test_run();
}
