/*
 * Parameters of a context: what is accepted, what is refused and how, and that a refusal changes
 * nothing.
 */
#include "config.h"

#include <string.h>

#include "tests/unit/loop-fixture.h"

static void assert_params_equal(AioContext *ctx, const AioContextParams *expected)
{
    AioContextParams params;

    aio_context_get_params(ctx, &params);
    g_assert_cmpint(params.poll_max_ns, ==, expected->poll_max_ns);
    g_assert_cmpint(params.poll_grow, ==, expected->poll_grow);
    g_assert_cmpint(params.poll_shrink, ==, expected->poll_shrink);
    g_assert_cmpint(params.aio_max_batch, ==, expected->aio_max_batch);
    g_assert_cmpint(params.thread_pool_min, ==, expected->thread_pool_min);
    g_assert_cmpint(params.thread_pool_max, ==, expected->thread_pool_max);
}

static void test_defaults(Loop *loop)
{
    assert_params_equal(loop->ctx, &(AioContextParams){
                                       .poll_max_ns = AIO_POLL_MAX_NS_DEFAULT,
                                       .thread_pool_min = AIO_THREAD_POOL_MIN_DEFAULT,
                                       .thread_pool_max = AIO_THREAD_POOL_MAX_DEFAULT,
                                   });
}

static const AioContextParams some = {
    .poll_max_ns = 5,
    .poll_grow = 3,
    .poll_shrink = 4,
    .aio_max_batch = 7,
    .thread_pool_min = 2,
    .thread_pool_max = 9,
};

static void set_all(AioContext *ctx, const AioContextParams *params)
{
    g_autoptr(GError) err = NULL;

    g_assert_true(aio_context_set_poll_params(ctx, params->poll_max_ns, params->poll_grow,
                                              params->poll_shrink, &err));
    g_assert_no_error(err);
    g_assert_true(aio_context_set_aio_params(ctx, params->aio_max_batch, &err));
    g_assert_no_error(err);
    g_assert_true(aio_context_set_thread_pool_params(ctx, params->thread_pool_min,
                                                     params->thread_pool_max, &err));
    g_assert_no_error(err);
}

static void test_accepted(Loop *loop)
{
    static const AioContextParams least = { .thread_pool_max = 1 };
    static const AioContextParams most = {
        .poll_max_ns = INT64_MAX,
        .poll_grow = INT64_MAX,
        .poll_shrink = INT64_MAX,
        .aio_max_batch = INT64_MAX,
        .thread_pool_min = 64,
        .thread_pool_max = 64,
    };
    const AioContextParams *const all[] = { &some, &least, &most };

    for (size_t i = 0; i < G_N_ELEMENTS(all); i++) {
        set_all(loop->ctx, all[i]);
        assert_params_equal(loop->ctx, all[i]);
        loop_passes(loop, 2);
    }
}

/* The call failed, its message names @name and @value, and nothing has changed. */
static void assert_refused(AioContext *ctx, bool ok, GError *err, const char *name, int64_t value)
{
    g_autofree char *number = g_strdup_printf("%" G_GINT64_FORMAT, value);

    g_assert_false(ok);
    g_assert_nonnull(err);
    g_test_message("%s", err->message);
    g_assert_nonnull(strstr(err->message, name));
    g_assert_nonnull(strstr(err->message, number));
    assert_params_equal(ctx, &some);
    g_error_free(err);
}

static void test_refused(Loop *loop)
{
    static const int64_t bad[] = { -1, -77, INT64_MIN };
    AioContext *ctx = loop->ctx;
    GError *err;
    bool ok;

    set_all(ctx, &some);
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        err = NULL;
        ok = aio_context_set_poll_params(ctx, bad[i], 0, 0, &err);
        assert_refused(ctx, ok, err, "poll-max-ns", bad[i]);
        err = NULL;
        ok = aio_context_set_poll_params(ctx, 1, bad[i], 0, &err);
        assert_refused(ctx, ok, err, "poll-grow", bad[i]);
        err = NULL;
        ok = aio_context_set_poll_params(ctx, 1, 1, bad[i], &err);
        assert_refused(ctx, ok, err, "poll-shrink", bad[i]);
        err = NULL;
        ok = aio_context_set_aio_params(ctx, bad[i], &err);
        assert_refused(ctx, ok, err, "aio-max-batch", bad[i]);
        err = NULL;
        ok = aio_context_set_thread_pool_params(ctx, bad[i], 10, &err);
        assert_refused(ctx, ok, err, "thread-pool-min", bad[i]);
        err = NULL;
        ok = aio_context_set_thread_pool_params(ctx, 0, bad[i], &err);
        assert_refused(ctx, ok, err, "thread-pool-max", bad[i]);
    }
    err = NULL;
    ok = aio_context_set_thread_pool_params(ctx, 0, 0, &err);
    assert_refused(ctx, ok, err, "thread-pool-max", 0);
    err = NULL;
    ok = aio_context_set_thread_pool_params(ctx, 12, 11, &err);
    assert_refused(ctx, ok, err, "thread-pool-min", 12);
    /* Nobody has to ask why. */
    g_assert_false(aio_context_set_poll_params(ctx, -1, 0, 0, NULL));
}

static void test_fdmon(Loop *loop)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *before = g_strdup(g_getenv("EVLOOP_FDMON"));

    g_assert_cmpstr(aio_context_get_fdmon(loop->ctx), ==, loop_fdmon_name(loop));

    /* The environment decides where the program does not. */
    g_setenv("EVLOOP_FDMON", "poll", TRUE);
    AioContext *ctx = aio_context_new(&err);
    g_assert_no_error(err);
    g_assert_cmpstr(aio_context_get_fdmon(ctx), ==, "poll");
    aio_context_unref(ctx);
    ctx = aio_context_new_with_fdmon(AIO_FDMON_EPOLL, &err);
    g_assert_no_error(err);
    g_assert_cmpstr(aio_context_get_fdmon(ctx), ==, "epoll");
    aio_context_unref(ctx);

    g_setenv("EVLOOP_FDMON", "no-such-monitor", TRUE);
    g_assert_null(aio_context_new(&err));
    g_assert_nonnull(err);
    g_assert_nonnull(strstr(err->message, "no-such-monitor"));
    if (before) {
        g_setenv("EVLOOP_FDMON", before, TRUE);
    } else {
        g_unsetenv("EVLOOP_FDMON");
    }
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    loop_test_add_aio_poll("defaults", test_defaults);
    loop_test_add("accepted", test_accepted);
    loop_test_add_aio_poll("refused", test_refused);
    loop_test_add_aio_poll("fd-monitor", test_fdmon);
    return g_test_run();
}
