/*
 * Objects and their tree, with a type of the test's own: creating, properties, users, deleting.
 */
#include "config.h"
#include "objects/object.h"

#include <string.h>

#include "loop/aio.h"
#include "qmp/qmp-error.h"

/* ---- a type that does as the test says ---- */

typedef struct BoxProperties {
    int64_t size;
    char *label;
    char *kind;     /* create-only */
    int64_t serial; /* read-only */
} BoxProperties;

static const QmpMember box_members[] = {
    { .name = "size",
      .type = &qmp_type_int,
      .flags = QMP_MEMBER_OPTIONAL,
      .max = 100,
      .default_int = 10,
      .offset = offsetof(BoxProperties, size) },
    { .name = "label",
      .type = &qmp_type_str,
      .flags = QMP_MEMBER_OPTIONAL,
      .default_str = "plain",
      .offset = offsetof(BoxProperties, label) },
    { .name = "kind",
      .type = &qmp_type_str,
      .flags = QMP_MEMBER_OPTIONAL | QMP_MEMBER_CREATE_ONLY,
      .default_str = "wood",
      .offset = offsetof(BoxProperties, kind) },
    { .name = "serial",
      .type = &qmp_type_int,
      .flags = QMP_MEMBER_READ_ONLY,
      .offset = offsetof(BoxProperties, serial) },
    { 0 },
};
static const QmpType box_properties_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "BoxProperties",
    .members = box_members,
    .size = sizeof(BoxProperties),
};

typedef struct Box {
    Object parent;
    void *contents; /* what a leak would be of */
} Box;

static struct {
    unsigned created, applied, deleted;
    const char *last_changed;
    bool refuse;       /* create and apply fail */
    bool delete_later; /* the test calls object_finish_delete() */
} box;

static bool refuse(GError **errp)
{
    if (box.refuse) {
        g_set_error(errp, AIO_ERROR, AIO_ERROR_INVALID, "there is no room");
    }
    return box.refuse;
}

static bool box_create(Object *object, GError **errp)
{
    Box *self = (Box *)object;
    BoxProperties *properties = object->properties;

    if (refuse(errp)) {
        return false;
    }
    self->contents = g_malloc(16);
    properties->serial = ++box.created;
    return true;
}

static bool box_apply(Object *object, const QmpMember *changed, const void *properties,
                      GError **errp)
{
    box.applied++;
    box.last_changed = changed->name;
    return !refuse(errp);
}

static void box_delete(Object *object)
{
    Box *self = (Box *)object;

    box.deleted++;
    g_clear_pointer(&self->contents, g_free);
    if (!box.delete_later) {
        object_finish_delete(object);
    }
}

static const ObjectType box_type = {
    .name = "box",
    .help = "a box",
    .properties = &box_properties_type,
    .size = sizeof(Box),
    .create = box_create,
    .apply = box_apply,
    .delete = box_delete,
};

/* ---- short forms ---- */

static ObjectTree *begin(void)
{
    memset(&box, 0, sizeof(box));
    return object_tree_new();
}

static Object *add(ObjectTree *tree, const char *id)
{
    GError *error = NULL;
    Object *object = object_create(tree, &box_type, id, NULL, NULL, &error);

    g_assert_no_error(error);
    return object;
}

static void count_deleted(void *count)
{
    ++*(unsigned *)count;
}

static void delete_now(Object *object)
{
    unsigned count = 0;
    GError *error = NULL;

    g_assert_true(object_delete(object, count_deleted, &count, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(count, ==, 1);
}

static void assert_delete_fails(Object *object, const char *message)
{
    g_autoptr(GError) error = NULL;
    unsigned count = 0;
    unsigned deleted = box.deleted;

    g_assert_false(object_delete(object, count_deleted, &count, &error));
    g_assert_cmpstr(error->message, ==, message);
    g_assert_cmpuint(count, ==, 0);
    g_assert_cmpuint(box.deleted, ==, deleted);
}

static void assert_property(Object *object, const char *name, const char *expected)
{
    json_object *value = NULL;
    GError *error = NULL;

    g_assert_true(object_get_property(object, name, &value, &error));
    g_assert_no_error(error);
    g_assert_cmpstr(json_object_get_string(value), ==, expected);
    json_object_put(value);
}

/* Takes over @value. @message NULL: it works. */
static void set(Object *object, const char *name, json_object *value, const char *message)
{
    g_autoptr(GError) error = NULL;
    bool ok = object_set_property(object, name, value, &error);

    g_assert_cmpstr(error ? error->message : NULL, ==, message);
    g_assert_true(ok == !message);
    json_object_put(value);
}

static void assert_ids(Object *object, void *text)
{
    g_string_append_printf(text, "%s ", object->id);
}

static void assert_tree(ObjectTree *tree, const char *expected)
{
    g_autoptr(GString) ids = g_string_new(NULL);

    object_foreach(tree, assert_ids, ids);
    g_assert_cmpstr(ids->str, ==, expected);
}

/* ---- creating ---- */

static void test_create(void)
{
    ObjectTree *tree = begin();
    Object *object = add(tree, "a");
    g_autofree char *path = object_path(object);

    g_assert_true(object_find(tree, "a") == object);
    g_assert_null(object_find(tree, "b"));
    g_assert_cmpuint(object_count(tree), ==, 1);
    g_assert_cmpstr(path, ==, "/objects/a");
    assert_property(object, "size", "10");
    assert_property(object, "label", "plain");
    assert_property(object, "kind", "wood");
    assert_property(object, "serial", "1");
    delete_now(object);
    g_assert_null(object_find(tree, "a"));
    g_assert_cmpuint(object_count(tree), ==, 0);
    object_tree_free(tree);
}

static void test_create_with_properties(void)
{
    ObjectTree *tree = begin();
    json_object *values = json_object_new_object();
    Object *object;

    json_object_object_add(values, "size", json_object_new_int(5));
    json_object_object_add(values, "kind", json_object_new_string("tin"));
    json_object_object_add(values, "qom-type", json_object_new_string("passed over"));
    object = object_create(tree, &box_type, "a", values, NULL, NULL);
    json_object_put(values);
    assert_property(object, "size", "5");
    assert_property(object, "kind", "tin");
    assert_property(object, "label", "plain");
    delete_now(object);
    object_tree_free(tree);
}

static void assert_create_fails(ObjectTree *tree, const char *id, const char *message)
{
    g_autoptr(GError) error = NULL;
    unsigned count = object_count(tree);

    g_assert_null(object_create(tree, &box_type, id, NULL, NULL, &error));
    g_assert_cmpstr(error->message, ==, message);
    g_assert_cmpuint(object_count(tree), ==, count);
}

static void test_failing_create_leaves_nothing(void)
{
    ObjectTree *tree = begin();

    box.refuse = true;
    assert_create_fails(tree, "a", "there is no room");
    g_assert_null(object_find(tree, "a"));
    g_assert_cmpuint(box.deleted, ==, 0);
    box.refuse = false;
    delete_now(add(tree, "a")); /* the id is free */
    object_tree_free(tree);
}

static void test_ids(void)
{
    static const char *const good[] = { "a", "Z", "a1", "a-b.c_d", "x-", "io0.1" };
    static const char *const bad[] = { "", "1", "-a", ".a", "_a", "a b", "a/b", "a\n", "\xc3\xa9" };
    ObjectTree *tree = begin();

    for (size_t i = 0; i < G_N_ELEMENTS(good); i++) {
        delete_now(add(tree, good[i]));
    }
    box.created = 0;
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *message = g_strdup_printf(
            "Parameter 'id' expects a letter, then letters, digits, '-', '.', '_', not '%s'",
            bad[i]);

        assert_create_fails(tree, bad[i], message);
    }
    g_assert_cmpuint(box.created, ==, 0);
    object_tree_free(tree);
}

static void test_id_is_taken_until_the_object_is_gone(void)
{
    ObjectTree *tree = begin();
    Object *object = add(tree, "a");
    unsigned count = 0;

    assert_create_fails(tree, "a", "There is an object 'a' already");
    box.delete_later = true;
    g_assert_true(object_delete(object, count_deleted, &count, NULL));
    assert_create_fails(tree, "a", "There is an object 'a' already");
    object_finish_delete(object);
    box.delete_later = false;
    delete_now(add(tree, "a"));
    object_tree_free(tree);
}

static void test_tree_keeps_the_order_of_creation(void)
{
    ObjectTree *tree = begin();

    for (const char *const *id = (const char *const[]){ "c", "a", "b", "d", NULL }; *id; id++) {
        add(tree, *id);
    }
    assert_tree(tree, "c a b d ");
    delete_now(object_find(tree, "a"));
    assert_tree(tree, "c b d ");
    add(tree, "a");
    assert_tree(tree, "c b d a ");
    for (const char *const *id = (const char *const[]){ "a", "b", "c", "d", NULL }; *id; id++) {
        delete_now(object_find(tree, *id));
    }
    object_tree_free(tree);
}

/* ---- properties ---- */

static void test_set_property(void)
{
    ObjectTree *tree = begin();
    Object *object = add(tree, "a");

    set(object, "size", json_object_new_int(0), NULL);
    g_assert_cmpstr(box.last_changed, ==, "size");
    assert_property(object, "size", "0");
    set(object, "label", json_object_new_string("red"), NULL);
    set(object, "label", json_object_new_string("blue"), NULL);
    g_assert_cmpuint(box.applied, ==, 3);
    assert_property(object, "label", "blue");
    assert_property(object, "size", "0");
    delete_now(object);
    object_tree_free(tree);
}

static void test_property_errors_change_nothing(void)
{
    ObjectTree *tree = begin();
    Object *object = add(tree, "a");
    json_object *value = NULL;
    g_autoptr(GError) error = NULL;

    set(object, "size", json_object_new_int(101),
        "Parameter 'size' expects an integer from 0 to 100");
    set(object, "size", json_object_new_string("1"),
        "Parameter 'size' expects an integer from 0 to 100");
    set(object, "size", NULL, "Parameter 'size' expects an integer from 0 to 100");
    set(object, "label", json_object_new_int(1), "Parameter 'label' expects a string");
    set(object, "kind", json_object_new_string("tin"),
        "Property 'kind' can only be set when the object is added");
    set(object, "serial", json_object_new_int(1), "Property 'serial' is read-only");
    set(object, "weight", json_object_new_int(1),
        "Object 'a', of type 'box', has no property 'weight'");
    g_assert_cmpuint(box.applied, ==, 0);
    g_assert_false(object_get_property(object, "weight", &value, &error));
    g_assert_cmpstr(error->message, ==, "Object 'a', of type 'box', has no property 'weight'");
    assert_property(object, "size", "10");
    assert_property(object, "label", "plain");
    assert_property(object, "kind", "wood");
    assert_property(object, "serial", "1");
    delete_now(object);
    object_tree_free(tree);
}

static void test_refused_property_changes_nothing(void)
{
    ObjectTree *tree = begin();
    Object *object = add(tree, "a");

    box.refuse = true;
    set(object, "size", json_object_new_int(5), "there is no room");
    set(object, "label", json_object_new_string("red"), "there is no room");
    g_assert_cmpuint(box.applied, ==, 2);
    assert_property(object, "size", "10");
    assert_property(object, "label", "plain");
    delete_now(object);
    object_tree_free(tree);
}

/* ---- users and deleting ---- */

static void test_object_in_use_names_its_users(void)
{
    ObjectTree *tree = begin();
    Object *used = add(tree, "used");
    Object *one = add(tree, "one");
    Object *two = add(tree, "two");

    object_add_user(used, one);
    assert_delete_fails(used, "Object 'used' is in use by 'one'");
    object_add_user(used, two);
    assert_delete_fails(used, "Object 'used' is in use by 'one', 'two'");
    set(used, "size", json_object_new_int(1), NULL); /* it works on */
    object_remove_user(used, one);
    assert_delete_fails(used, "Object 'used' is in use by 'two'");
    delete_now(one);
    object_remove_user(used, two);
    delete_now(used);
    delete_now(two);
    object_tree_free(tree);
}

static void test_deleting_may_take_its_time(void)
{
    ObjectTree *tree = begin();
    Object *object = add(tree, "a");
    unsigned count = 0;

    box.delete_later = true;
    g_assert_true(object_delete(object, count_deleted, &count, NULL));
    g_assert_cmpuint(count, ==, 0);
    g_assert_true(object_find(tree, "a") == object);
    assert_delete_fails(object, "Object 'a' is being deleted already");
    set(object, "size", json_object_new_int(1), "Object 'a' is being deleted");
    assert_property(object, "size", "10");
    object_finish_delete(object);
    g_assert_cmpuint(count, ==, 1);
    g_assert_cmpuint(box.deleted, ==, 1);
    g_assert_cmpuint(object_count(tree), ==, 0);
    object_tree_free(tree);
}

typedef struct Replacement {
    ObjectTree *tree;
    Object *object;
} Replacement;

static void replace(void *opaque)
{
    Replacement *replacement = opaque;

    g_assert_null(object_find(replacement->tree, "a"));
    replacement->object = add(replacement->tree, "a");
}

static void test_id_is_free_when_deletion_is_told(void)
{
    Replacement replacement = { .tree = begin() };

    g_assert_true(object_delete(add(replacement.tree, "a"), replace, &replacement, NULL));
    g_assert_true(object_find(replacement.tree, "a") == replacement.object);
    delete_now(replacement.object);
    object_tree_free(replacement.tree);
}

#define ADD(name, function) g_test_add_func("/objects/object/" name, function)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("an object begins with its defaults and is found by its id", test_create);
    ADD("an object begins with the properties given", test_create_with_properties);
    ADD("a create that fails leaves nothing", test_failing_create_leaves_nothing);
    ADD("an id is a letter, then letters, digits and - . _", test_ids);
    ADD("an id is taken until its object is gone", test_id_is_taken_until_the_object_is_gone);
    ADD("the tree keeps the order of creation", test_tree_keeps_the_order_of_creation);
    ADD("setting a property applies it", test_set_property);
    ADD("a wrong property or value is an error and changes nothing",
        test_property_errors_change_nothing);
    ADD("a property that the type refuses changes nothing", test_refused_property_changes_nothing);
    ADD("deleting an object in use is refused and names the users",
        test_object_in_use_names_its_users);
    ADD("deleting may take its time, and nothing else happens meanwhile",
        test_deleting_may_take_its_time);
    ADD("the id is free again when deletion is told", test_id_is_free_when_deletion_is_told);
    return g_test_run();
}
