/*
 * Short forms for the tests of placed objects.
 */
#include "config.h"
#include "tests/unit/object-fixture.h"

#include "iothreads/iothread.h"
#include "loop/main-loop.h"
#include "tests/unit/loop-fixture.h"

const char *const places[PLACES] = { NULL, "io0", "io1" };
ObjectTree *tree;
QmpSession *test_session;

/* ---- around a test ---- */

static void set_up(void)
{
    tree = object_tree_new();
    add_object("iothread", "io0", "{}");
    /* So that two kinds of fd monitor take part where there are two. */
    add_object("iothread", "io1", "{\"fdmon\": \"epoll\"}");
}

static void tear_down(void)
{
    delete_object(object_find(tree, "io0"));
    delete_object(object_find(tree, "io1"));
    object_tree_free(tree);
}

void object_test_add(const char *name, void (*func)(void))
{
    main_loop_test_add_full(name, set_up, func, tear_down);
}

/* ---- waiting ---- */

static void set_flag(void *flag)
{
    *(bool *)flag = true;
}

static void run_until(const bool *flag)
{
    while (!*flag) {
        main_loop_wait(false);
    }
}

void wait_settled(Object *object)
{
    bool settled = false;

    object_when_settled(object, set_flag, &settled);
    run_until(&settled);
}

static void pass_back(void *flag)
{
    aio_bh_schedule_oneshot(qemu_get_aio_context(), set_flag, flag);
}

void sync_with(const char *place)
{
    AioContext *ctx =
        place ? iothread_get_aio_context(iothread_by_id(place)) : qemu_get_aio_context();

    /* The first may come in the same pass, before what was ready in it. */
    for (int i = 0; i < 2; i++) {
        bool passed = false;

        aio_bh_schedule_oneshot(ctx, pass_back, &passed);
        run_until(&passed);
    }
}

/* ---- life ---- */

static Object *create(const ObjectType *type, const char *id, const char *json, GError **errp)
{
    json_object *values = json_tokener_parse(json);
    Object *object = NULL;

    g_assert_nonnull(values);
    if (qmp_check_object(type->properties, values, errp)) {
        object = object_create(tree, type, id, values, test_session, errp);
    }
    json_object_put(values);
    return object;
}

Object *add_object_of(const ObjectType *type, const char *id, const char *json)
{
    GError *error = NULL;
    Object *object = create(type, id, json, &error);

    g_assert_no_error(error);
    wait_settled(object);
    return object;
}

Object *add_object(const char *type, const char *id, const char *json)
{
    return add_object_of(object_type_find(type), id, json);
}

void refused_object(const char *type, const char *json, const char *message)
{
    g_autoptr(GError) error = NULL;
    unsigned count = object_count(tree);

    g_assert_null(create(object_type_find(type), "refused", json, &error));
    g_assert_cmpstr(error->message, ==, message);
    g_assert_cmpuint(object_count(tree), ==, count);
}

void delete_object(Object *object)
{
    bool deleted = false;
    GError *error = NULL;

    object_delete(object, set_flag, &deleted, &error);
    g_assert_no_error(error);
    run_until(&deleted);
}

void refused_delete(Object *object, const char *message)
{
    g_autoptr(GError) error = NULL;

    g_assert_false(object_delete(object, set_flag, NULL, &error));
    g_assert_cmpstr(error->message, ==, message);
}

/* ---- properties ---- */

static bool set(Object *object, const char *name, const char *json, GError **errp)
{
    json_object *value = json_tokener_parse(json);
    bool ok = object_set_property(object, name, value, errp);

    json_object_put(value);
    return ok;
}

void begin_set_property(Object *object, const char *name, const char *json)
{
    GError *error = NULL;

    set(object, name, json, &error);
    g_assert_no_error(error);
}

void set_property(Object *object, const char *name, const char *json)
{
    begin_set_property(object, name, json);
    wait_settled(object);
}

void refused_property(Object *object, const char *name, const char *json, const char *message)
{
    g_autoptr(GError) error = NULL;

    g_assert_false(set(object, name, json, &error));
    g_assert_cmpstr(error->message, ==, message);
    g_assert_true(object_is_settled(object));
}

void begin_move(Object *object, const char *place)
{
    json_object *value = place ? json_object_new_string(place) : NULL;
    GError *error = NULL;

    object_set_property(object, "iothread", value, &error);
    g_assert_no_error(error);
    json_object_put(value);
}

static json_object *get(Object *object, const char *name)
{
    json_object *value = NULL;
    GError *error = NULL;

    object_get_property(object, name, &value, &error);
    g_assert_no_error(error);
    return value;
}

void assert_property(Object *object, const char *name, const char *json)
{
    json_object *value = get(object, name);

    g_assert_cmpstr(json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN), ==, json);
    json_object_put(value);
}

int64_t int_property(Object *object, const char *name)
{
    json_object *value = get(object, name);
    int64_t number = json_object_get_int64(value);

    g_assert_true(json_object_is_type(value, json_type_int));
    json_object_put(value);
    return number;
}

void wait_for_property(Object *object, const char *name, int64_t value)
{
    while (int_property(object, name) < value) {
        main_loop_wait(true);
        sched_yield();
    }
}
