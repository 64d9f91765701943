/*
 * Rate limits of events, with a table of the test's own and a clock that the test moves: which are
 * sent, when, in which order, and what happens at the end.
 */
#include "config.h"
#include "qmp/qmp-event-limit.h"

#include <string.h>

#include "loop/timer.h"
#include "tests/unit/loop-fixture.h"

/* The clock also runs by itself, so times are so long that a slow machine makes no difference. */
#define LIMIT_MS  3600000
#define LIMIT_NS  ((int64_t)LIMIT_MS * SCALE_MS)
#define MINUTE_NS ((int64_t)60000 * SCALE_MS)

typedef enum {
    COLOR_RED,
    COLOR_BLUE
} Color;

static const char *const color_values[] = { "red", "blue", NULL };
static const QmpType color_type = {
    .kind = QMP_KIND_ENUM,
    .name = "Color",
    .values = color_values,
};

typedef struct Data {
    char *id;
    int64_t number;
    int color;
} Data;

static const QmpMember data_members[] = {
    { .name = "id", .type = &qmp_type_str, .offset = offsetof(Data, id) },
    { .name = "number", .type = &qmp_type_int, .offset = offsetof(Data, number) },
    { .name = "color", .type = &color_type, .offset = offsetof(Data, color) },
    { 0 },
};
static const QmpType data_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "Data",
    .members = data_members,
    .size = sizeof(Data),
};

static const QmpEvent alike = { .name = "ALIKE", .data = &data_type, .limit_ms = LIMIT_MS };
static const QmpEvent other = { .name = "OTHER", .data = &data_type, .limit_ms = LIMIT_MS };
static const QmpEvent by_id = {
    .name = "BY_ID",
    .data = &data_type,
    .limit_ms = LIMIT_MS,
    .limit_by = "id",
};
static const QmpEvent by_number = {
    .name = "BY_NUMBER",
    .data = &data_type,
    .limit_ms = LIMIT_MS,
    .limit_by = "number",
};
static const QmpEvent by_color = {
    .name = "BY_COLOR",
    .data = &data_type,
    .limit_ms = LIMIT_MS,
    .limit_by = "color",
};

/* ---- what all tests do ---- */

typedef struct Test {
    AioContext *ctx;
    QmpEventLimit *limit;
    GString *sent;             /* all lines, each with a space behind it */
    const char *while_sending; /* emitted once while an event is being sent, or NULL */
} Test;

static void emit(Test *test, const QmpEvent *event, const Data *data, const char *line)
{
    qmp_event_limit_emit(test->limit, event, data, g_string_new(line));
}

static void take_line(const GString *line, void *opaque)
{
    Test *test = opaque;
    const char *next = g_steal_pointer(&test->while_sending);
    Data data = { .id = (char *)"" };

    g_string_append_printf(test->sent, "%s ", line->str);
    if (next) {
        emit(test, &alike, &data, next);
    }
}

static void setup(Test *test)
{
    g_autoptr(GError) error = NULL;

    *test = (Test){ .ctx = aio_context_new(&error), .sent = g_string_new(NULL) };
    g_assert_no_error(error);
    test->limit = qmp_event_limit_new(test->ctx, QEMU_CLOCK_VIRTUAL, take_line, test);
}

static void teardown(Test *test)
{
    qmp_event_limit_free(test->limit);
    aio_context_unref(test->ctx);
    g_string_free(test->sent, TRUE);
}

/* Let @ns go by, and what is due then happen. */
static void pass_time(Test *test, int64_t ns)
{
    qemu_clock_advance_virtual_time(qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) + ns);
    while (aio_poll(test->ctx, false)) {
        /* More. */
    }
}

static void emit_number(Test *test, const QmpEvent *event, int64_t number)
{
    g_autofree char *line = g_strdup_printf("%" G_GINT64_FORMAT, number);
    Data data = { .id = (char *)"a", .number = number };

    emit(test, event, &data, line);
}

static void assert_sent(Test *test, const char *expected)
{
    g_assert_cmpstr(test->sent->str, ==, expected);
}

/* ---- the tests ---- */

static void test_first_at_once(void)
{
    Test test;

    setup(&test);
    emit_number(&test, &alike, 1);
    assert_sent(&test, "1 ");
    pass_time(&test, 10 * LIMIT_NS);
    assert_sent(&test, "1 ");
    teardown(&test);
}

static void test_last_is_sent_late(void)
{
    Test test;

    setup(&test);
    for (int i = 1; i <= 1000; i++) {
        emit_number(&test, &alike, i);
    }
    assert_sent(&test, "1 ");
    pass_time(&test, LIMIT_NS - MINUTE_NS);
    assert_sent(&test, "1 ");
    pass_time(&test, MINUTE_NS);
    assert_sent(&test, "1 1000 ");
    pass_time(&test, 10 * LIMIT_NS);
    assert_sent(&test, "1 1000 ");
    teardown(&test);
}

static void test_time_begins_anew_with_the_late_one(void)
{
    Test test;

    setup(&test);
    emit_number(&test, &alike, 1);
    emit_number(&test, &alike, 2);
    pass_time(&test, LIMIT_NS);
    emit_number(&test, &alike, 3);
    pass_time(&test, LIMIT_NS - MINUTE_NS);
    assert_sent(&test, "1 2 ");
    pass_time(&test, MINUTE_NS);
    assert_sent(&test, "1 2 3 ");
    teardown(&test);
}

static void test_flood_is_one_in_each_interval(void)
{
    Test test;

    setup(&test);
    /* One every six minutes, for five hours. */
    for (int i = 0; i <= 50; i++) {
        emit_number(&test, &alike, i);
        pass_time(&test, LIMIT_NS / 10);
    }
    pass_time(&test, LIMIT_NS);
    assert_sent(&test, "0 9 19 29 39 49 50 ");
    teardown(&test);
}

static void test_rare_ones_are_not_late(void)
{
    Test test;

    setup(&test);
    for (int i = 0; i < 3; i++) {
        emit_number(&test, &alike, i);
        pass_time(&test, LIMIT_NS + MINUTE_NS);
    }
    assert_sent(&test, "0 1 2 ");
    teardown(&test);
}

static void test_different_events_are_not_similar(void)
{
    Test test;

    setup(&test);
    emit_number(&test, &alike, 1);
    emit_number(&test, &other, 2);
    emit_number(&test, &alike, 3);
    emit_number(&test, &other, 4);
    assert_sent(&test, "1 2 ");
    pass_time(&test, LIMIT_NS);
    g_assert_cmpuint(test.sent->len, ==, strlen("1 2 3 4 "));
    teardown(&test);
}

static void emit_id(Test *test, const QmpEvent *event, const char *id, const char *line)
{
    Data data = { .id = (char *)id };

    emit(test, event, &data, line);
}

static void test_similar_by_a_string(void)
{
    Test test;

    setup(&test);
    emit_id(&test, &by_id, "a", "a1");
    emit_id(&test, &by_id, "b", "b1");
    emit_id(&test, &by_id, "", "none1");
    pass_time(&test, LIMIT_NS / 2);
    emit_id(&test, &by_id, "a", "a2");
    assert_sent(&test, "a1 b1 none1 ");
    pass_time(&test, LIMIT_NS / 2);
    emit_id(&test, &by_id, "b", "b2");
    assert_sent(&test, "a1 b1 none1 a2 b2 ");
    teardown(&test);
}

static void test_similar_by_a_number(void)
{
    Test test;

    setup(&test);
    emit_number(&test, &by_number, 1);
    emit_number(&test, &by_number, 10);
    emit_number(&test, &by_number, 1);
    assert_sent(&test, "1 10 ");
    teardown(&test);
}

static void test_similar_by_an_enum(void)
{
    Test test;
    Data red = { .color = COLOR_RED };
    Data blue = { .color = COLOR_BLUE };

    setup(&test);
    emit(&test, &by_color, &red, "r1");
    emit(&test, &by_color, &blue, "b1");
    emit(&test, &by_color, &red, "r2");
    assert_sent(&test, "r1 b1 ");
    teardown(&test);
}

static void test_emitting_while_sending(void)
{
    Test test;

    setup(&test);
    test.while_sending = "inner";
    emit_number(&test, &alike, 1);
    assert_sent(&test, "1 ");
    pass_time(&test, LIMIT_NS);
    assert_sent(&test, "1 inner ");
    teardown(&test);
}

static void test_end_sends_what_waits_and_limits_no_more(void)
{
    Test test;

    setup(&test);
    emit_number(&test, &alike, 1);
    emit_number(&test, &alike, 2);
    qmp_event_limit_end(test.limit);
    assert_sent(&test, "1 2 ");
    emit_number(&test, &alike, 3);
    emit_number(&test, &other, 4);
    emit_number(&test, &other, 5);
    assert_sent(&test, "1 2 3 4 5 ");
    pass_time(&test, 2 * LIMIT_NS);
    assert_sent(&test, "1 2 3 4 5 ");
    teardown(&test);
}

static void test_end_sends_what_waits_in_its_order(void)
{
    g_autoptr(GString) expected = g_string_new(NULL);
    Test test;

    setup(&test);
    for (int i = 0; i < 100; i++) {
        emit_number(&test, &by_number, i);
    }
    g_string_truncate(test.sent, 0);
    for (int i = 0; i < 100; i++) {
        emit_number(&test, &by_number, i);
    }
    /* Some are replaced by later ones, whose place then counts. */
    for (int i = 0; i < 50; i++) {
        emit_number(&test, &by_number, 2 * i);
    }
    for (int i = 0; i < 50; i++) {
        g_string_append_printf(expected, "%d ", 2 * i + 1);
    }
    for (int i = 0; i < 50; i++) {
        g_string_append_printf(expected, "%d ", 2 * i);
    }
    qmp_event_limit_end(test.limit);
    assert_sent(&test, expected->str);
    teardown(&test);
}

static void test_end_while_sending(void)
{
    Test test;

    setup(&test);
    qmp_event_limit_end(test.limit);
    test.while_sending = "inner";
    emit_number(&test, &alike, 1);
    assert_sent(&test, "1 inner ");
    teardown(&test);
}

static void test_freed_with_events_waiting(void)
{
    Test test;

    setup(&test);
    emit_number(&test, &alike, 1);
    emit_number(&test, &alike, 2);
    teardown(&test);
}

/* ---- from several threads ---- */

typedef struct Emitter {
    QmpEventLimit *limit;
    int64_t n;
} Emitter;

/* Of one emitter: the numbers must go up. The lock is the test's own. */
typedef struct Received {
    pthread_mutex_t lock;
    int64_t last;
    unsigned count;
    bool in_order;
} Received;

static const QmpEvent often = { .name = "OFTEN", .data = &data_type, .limit_ms = 1 };

static void receive_in_order(const GString *line, void *opaque)
{
    Received *received = opaque;
    int64_t number = g_ascii_strtoll(line->str, NULL, 10);

    pthread_mutex_lock(&received->lock);
    received->in_order &= number > received->last;
    received->last = number;
    received->count++;
    pthread_mutex_unlock(&received->lock);
}

static void *emit_many(void *opaque)
{
    Emitter *emitter = opaque;

    for (int64_t i = 1; i <= emitter->n; i++) {
        Data data = { .number = i };
        GString *line = g_string_new(NULL);

        g_string_append_printf(line, "%" G_GINT64_FORMAT, i);
        qmp_event_limit_emit(emitter->limit, &often, &data, line);
    }
    return NULL;
}

static void test_an_older_one_never_comes_after_a_newer_one(void)
{
    Received received = { .last = 0, .in_order = true };
    Loop loop = { .ctx = aio_context_new(NULL) };
    Emitter emitter = { .n = test_scaled(200000) };
    pthread_t thread;

    pthread_mutex_init(&received.lock, NULL);
    emitter.limit = qmp_event_limit_new(loop.ctx, QEMU_CLOCK_REALTIME, receive_in_order, &received);
    loop_start(&loop);
    thread = test_thread_start(emit_many, &emitter);
    test_thread_join(thread);
    loop_stop(&loop);
    /* This is its home thread now. */
    qmp_event_limit_end(emitter.limit);
    g_assert_true(received.in_order);
    g_assert_cmpint(received.last, ==, emitter.n);
    g_test_message("%u of %d were sent", received.count, (int)emitter.n);
    qmp_event_limit_free(emitter.limit);
    aio_context_unref(loop.ctx);
    pthread_mutex_destroy(&received.lock);
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    test_add("/first-at-once", test_first_at_once);
    test_add("/last-is-sent-late", test_last_is_sent_late);
    test_add("/time-begins-anew-with-the-late-one", test_time_begins_anew_with_the_late_one);
    test_add("/flood-is-one-in-each-interval", test_flood_is_one_in_each_interval);
    test_add("/rare-ones-are-not-late", test_rare_ones_are_not_late);
    test_add("/different-events-are-not-similar", test_different_events_are_not_similar);
    test_add("/similar-by-a-string", test_similar_by_a_string);
    test_add("/similar-by-a-number", test_similar_by_a_number);
    test_add("/similar-by-an-enum", test_similar_by_an_enum);
    test_add("/emitting-while-sending", test_emitting_while_sending);
    test_add("/end-sends-what-waits-and-limits-no-more",
             test_end_sends_what_waits_and_limits_no_more);
    test_add("/end-sends-what-waits-in-its-order", test_end_sends_what_waits_in_its_order);
    test_add("/end-while-sending", test_end_while_sending);
    test_add("/freed-with-events-waiting", test_freed_with_events_waiting);
    test_add("/an-older-one-never-comes-after-a-newer-one",
             test_an_older_one_never_comes_after_a_newer_one);
    return g_test_run();
}
