/*
 * Placement: which thread an object works in, moving it, and what may happen on the way. With a
 * type of the test's own, which notes what is asked of it.
 */
#include "config.h"
#include "objects/placement.h"

#include <string.h>

#include "iothreads/iothread.h"
#include "loop/main-loop.h"
#include "qmp/qmp-error.h"
#include "tests/unit/loop-fixture.h"
#include "tests/unit/object-fixture.h"

typedef struct WalkerProperties {
    PlacedProperties placed;
    int64_t pace;
} WalkerProperties;

static const QmpMember walker_members[] = {
    { .name = "pace",
      .type = &qmp_type_int,
      .flags = QMP_MEMBER_OPTIONAL,
      .max = 10,
      .offset = offsetof(WalkerProperties, pace) },
    { 0 },
};
static const QmpType walker_properties = {
    .kind = QMP_KIND_OBJECT,
    .name = "WalkerProperties",
    .base = &placed_properties,
    .members = walker_members,
    .size = sizeof(WalkerProperties),
};

typedef struct Walker {
    Object parent;
    AioContext *ctx; /* NULL while it does not work; not atomic, for its places take turns */
    unsigned starts;
    int64_t pace;
    unsigned settled; /* main thread */
} Walker;

static bool refuse;
static unsigned deleted;

static bool walker_create(Object *object, GError **errp)
{
    g_assert_true(in_aio_context_home_thread(qemu_get_aio_context()));
    return !refuse || qmp_error_set(errp, "too tired");
}

static bool walker_apply(Object *object, const QmpMember *changed, const void *properties,
                         GError **errp)
{
    g_assert_true(in_aio_context_home_thread(qemu_get_aio_context()));
    g_assert_cmpstr(changed->name, ==, "pace");
    return !refuse || qmp_error_set(errp, "too tired");
}

static void walker_start(Object *object, AioContext *ctx)
{
    Walker *self = (Walker *)object;
    const WalkerProperties *p = object->properties;

    g_assert_true(in_aio_context_home_thread(ctx));
    g_assert_null(self->ctx);
    self->ctx = ctx;
    self->starts++;
    self->pace = p->pace;
}

static void walker_stop(Object *object)
{
    Walker *self = (Walker *)object;

    g_assert_nonnull(self->ctx);
    g_assert_true(in_aio_context_home_thread(self->ctx));
    self->ctx = NULL;
}

static void walker_settled(Object *object)
{
    g_assert_true(in_aio_context_home_thread(qemu_get_aio_context()));
    ((Walker *)object)->settled++;
}

static void walker_delete(Object *object)
{
    g_assert_true(in_aio_context_home_thread(qemu_get_aio_context()));
    g_assert_null(((Walker *)object)->ctx);
    deleted++;
    object_finish_delete(object);
}

static const ObjectType walker_type = {
    .name = "walker",
    .help = "goes where it is told",
    .properties = &walker_properties,
    .size = sizeof(Walker),
    .create = walker_create,
    .apply = walker_apply,
    .delete = walker_delete,
    .start = walker_start,
    .stop = walker_stop,
    .settled = walker_settled,
};

static AioContext *context_of(const char *place)
{
    return place ? iothread_get_aio_context(iothread_by_id(place)) : qemu_get_aio_context();
}

static Walker *add_walker(const char *id, const char *json)
{
    return (Walker *)add_object_of(&walker_type, id, json);
}

/* ---- where it works ---- */

static void test_created_on_any_loop(void)
{
    static const char *const json[] = { "{}", "{\"iothread\": null}", "{\"iothread\": \"io0\"}",
                                        "{\"iothread\": \"io1\"}" };
    static const char *const expected[] = { NULL, NULL, "io0", "io1" };

    for (size_t i = 0; i < G_N_ELEMENTS(json); i++) {
        Walker *walker = add_walker("w", json[i]);
        g_autofree char *value =
            expected[i] ? g_strdup_printf("\"%s\"", expected[i]) : g_strdup("null");

        g_assert_true(walker->ctx == context_of(expected[i]));
        g_assert_cmpuint(walker->settled, ==, 1);
        assert_property(&walker->parent, "iothread", value);
        delete_object(&walker->parent);
    }
}

static void test_moved_between_all_loops(void)
{
    Walker *walker = add_walker("w", "{\"pace\": 3}");
    unsigned starts = 1;

    for (int from = 0; from < PLACES; from++) {
        for (int to = 0; to < PLACES; to++) {
            begin_move(&walker->parent, places[from]);
            wait_settled(&walker->parent);
            begin_move(&walker->parent, places[to]);
            wait_settled(&walker->parent);
            g_assert_true(walker->ctx == context_of(places[to]));
            starts += 2;
            g_assert_cmpuint(walker->starts, ==, starts);
            g_assert_cmpuint(walker->settled, ==, starts);
            g_assert_cmpint(walker->pace, ==, 3);
        }
    }
    delete_object(&walker->parent);
}

static void test_another_property_is_in_force_on_its_loop(void)
{
    Walker *walker = add_walker("w", "{\"iothread\": \"io0\"}");

    set_property(&walker->parent, "pace", "7");
    g_assert_cmpint(walker->pace, ==, 7);
    g_assert_true(walker->ctx == context_of("io0"));
    refuse = true;
    refused_property(&walker->parent, "pace", "8", "too tired");
    refuse = false;
    refused_property(&walker->parent, "pace", "11",
                     "Parameter 'pace' expects an integer from 0 to 10");
    g_assert_cmpint(walker->pace, ==, 7);
    g_assert_cmpuint(walker->starts, ==, 2);
    delete_object(&walker->parent);
}

/* ---- wrong places ---- */

static void test_a_wrong_place_is_an_error_and_changes_nothing(void)
{
    static const struct {
        const char *json;
        const char *message;
    } cases[] = {
        { "1", "Parameter 'iothread' expects a string or null" },
        { "[\"io0\"]", "Parameter 'iothread' expects a string or null" },
        { "\"\"", "Parameter 'iothread' expects the id of an IOThread, or null for the main loop; "
                  "there is no IOThread ''" },
        { "\"io2\"", "Parameter 'iothread' expects the id of an IOThread, or null for the main "
                     "loop; there is no IOThread 'io2'" },
        { "\"w\"", "Parameter 'iothread' expects the id of an IOThread, or null for the main loop; "
                   "there is no IOThread 'w'" },
    };
    Walker *walker = add_walker("w", "{\"iothread\": \"io1\"}");

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        refused_property(&walker->parent, "iothread", cases[i].json, cases[i].message);
    }
    refused_object("timer", "{\"period-ns\": 1000000, \"iothread\": \"w\"}",
                   cases[G_N_ELEMENTS(cases) - 1].message);
    assert_property(&walker->parent, "iothread", "\"io1\"");
    g_assert_cmpuint(walker->starts, ==, 1);
    delete_object(&walker->parent);
}

static void test_no_place_on_an_iothread_that_is_being_deleted(void)
{
    static const char message[] = "Parameter 'iothread': IOThread 'io2' is being deleted";
    Walker *walker = add_walker("w", "{}");
    Object *iothread = add_object("iothread", "io2", "{}");
    int gone = 0;

    g_assert_true(object_delete(iothread, test_count, &gone, NULL));
    refused_property(&walker->parent, "iothread", "\"io2\"", message);
    refused_object("timer", "{\"period-ns\": 1000000, \"iothread\": \"io2\"}", message);
    while (gone == 0) {
        main_loop_wait(false);
    }
    delete_object(&walker->parent);
}

/* ---- an IOThread in use ---- */

static void test_an_iothread_in_use_names_its_users(void)
{
    Object *io0 = object_find(tree, "io0");
    Object *io1 = object_find(tree, "io1");
    Walker *one = add_walker("one", "{\"iothread\": \"io0\"}");
    Walker *two = add_walker("two", "{\"iothread\": \"io0\"}");

    refused_delete(io0, "Object 'io0' is in use by 'one', 'two'");
    begin_move(&two->parent, "io0");
    /* It goes from there to there, and is named once. */
    refused_delete(io0, "Object 'io0' is in use by 'one', 'two'");
    wait_settled(&two->parent);
    begin_move(&one->parent, "io1");
    /* On its way it needs both. */
    refused_delete(io1, "Object 'io1' is in use by 'one'");
    wait_settled(&one->parent);
    refused_delete(io0, "Object 'io0' is in use by 'two'");
    refused_delete(io1, "Object 'io1' is in use by 'one'");
    begin_move(&one->parent, NULL);
    wait_settled(&one->parent);
    delete_object(&two->parent);
    delete_object(io0);
    delete_object(io1);
    delete_object(&one->parent);
    add_object("iothread", "io0", "{}");
    add_object("iothread", "io1", "{}");
}

static void test_one_that_could_not_be_created_uses_nothing(void)
{
    Object *io2 = add_object("iothread", "io2", "{}");

    refused_object("timer", "{\"iothread\": \"io2\"}",
                   "Parameter 'period-ns': a timer needs 'period-ns' or 'deadline-ns', or both");
    delete_object(io2);
}

/* ---- on the way ---- */

static void test_deleted_on_the_way(void)
{
    for (int from = 0; from < PLACES; from++) {
        for (int to = 0; to < PLACES; to++) {
            Walker *walker = add_walker("w", "{}");

            begin_move(&walker->parent, places[from]);
            wait_settled(&walker->parent);
            begin_move(&walker->parent, places[to]);
            deleted = 0;
            delete_object(&walker->parent); /* waits */
            g_assert_cmpuint(deleted, ==, 1);
            g_assert_null(object_find(tree, "w"));
        }
    }
}

static void test_deleted_before_it_has_started(void)
{
    json_object *values = json_tokener_parse("{\"iothread\": \"io0\"}");
    Object *object = object_create(tree, &walker_type, "w", values, NULL, NULL);

    json_object_put(values);
    g_assert_false(object_is_settled(object));
    deleted = 0;
    delete_object(object);
    g_assert_cmpuint(deleted, ==, 1);
}

static GString *calls;
static Object *the_walker;

static void note_first(void *opaque)
{
    g_string_append(calls, "first ");
    begin_move(the_walker, "io1");
}

static void note_second(void *opaque)
{
    g_assert_true(((Walker *)the_walker)->ctx == context_of("io1"));
    g_string_append(calls, "second ");
}

static void test_waiters_have_their_turn_one_change_after_another(void)
{
    Walker *walker = add_walker("w", "{}");

    the_walker = &walker->parent;
    calls = g_string_new(NULL);
    begin_move(the_walker, "io0");
    object_when_settled(the_walker, note_first, NULL);
    object_when_settled(the_walker, note_second, NULL);
    g_assert_cmpstr(calls->str, ==, "");
    wait_settled(the_walker);
    g_assert_cmpstr(calls->str, ==, "first second ");
    g_string_free(calls, TRUE);
    delete_object(the_walker);
}

static void test_waiters_are_told_when_it_is_gone(void)
{
    Walker *walker = add_walker("w", "{\"iothread\": \"io0\"}");
    int told = 0;

    begin_move(&walker->parent, "io1");
    object_when_settled(&walker->parent, test_count, &told);
    g_assert_true(object_delete(&walker->parent, test_count, &told, NULL));
    object_when_settled(&walker->parent, test_count, &told);
    g_assert_cmpint(told, ==, 0);
    while (told < 3) {
        main_loop_wait(false);
    }
    g_assert_null(object_find(tree, "w"));
}

static void test_a_thousand_moves(void)
{
    Walker *walker = add_walker("w", "{}");
    int moves = test_scaled(1000);
    uint32_t random = 1;
    const char *place = NULL;

    for (int i = 0; i < moves; i++) {
        place = places[test_random(&random) % PLACES];
        begin_move(&walker->parent, place);
        wait_settled(&walker->parent);
    }
    g_assert_true(walker->ctx == context_of(place));
    g_assert_cmpint(walker->starts, ==, moves + 1);
    delete_object(&walker->parent);
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    object_test_add("an object is created on any loop", test_created_on_any_loop);
    object_test_add("an object is moved between all loops", test_moved_between_all_loops);
    object_test_add("another property is in force on the object's loop",
                    test_another_property_is_in_force_on_its_loop);
    object_test_add("a wrong place is an error and changes nothing",
                    test_a_wrong_place_is_an_error_and_changes_nothing);
    object_test_add("there is no place on an IOThread that is being deleted",
                    test_no_place_on_an_iothread_that_is_being_deleted);
    object_test_add("deleting an IOThread in use is refused and names its users",
                    test_an_iothread_in_use_names_its_users);
    object_test_add("an object that could not be created uses no IOThread",
                    test_one_that_could_not_be_created_uses_nothing);
    object_test_add("an object is deleted on its way", test_deleted_on_the_way);
    object_test_add("an object is deleted before it has started",
                    test_deleted_before_it_has_started);
    object_test_add("who waits for an object has its turn, one change after another",
                    test_waiters_have_their_turn_one_change_after_another);
    object_test_add("who waits for an object is told when it is gone",
                    test_waiters_are_told_when_it_is_gone);
    object_test_add("an object is moved a thousand times", test_a_thousand_moves);
    return g_test_run();
}
