/*
 * The object tree, with a type whose objects are gone at once: deleting while visiting.
 */
#include "objects/object.h"

static const QmpType no_properties = { .kind = QMP_KIND_OBJECT, .name = "None", .size = 1 };

static bool create(Object *object, GError **errp)
{
    return true;
}

static void delete_at_once(Object *object)
{
    object_finish_delete(object);
}

static const ObjectType simple_type = {
    .name = "simple",
    .properties = &no_properties,
    .size = sizeof(Object),
    .create = create,
    .delete = delete_at_once,
};

static Object *add(ObjectTree *tree, const char *id)
{
    Object *object = object_create(tree, &simple_type, id, NULL, NULL, NULL);

    g_assert_nonnull(object);
    return object;
}

static void count_deleted(void *opaque)
{
    (*(unsigned *)opaque)++;
}

typedef struct Visit {
    GString *ids;
    const char *spared; /* the id of one that is not deleted, or NULL */
    unsigned deleted;
} Visit;

static void note_and_delete(Object *object, void *opaque)
{
    Visit *visit = opaque;

    g_string_append(visit->ids, object->id);
    if (g_strcmp0(object->id, visit->spared) != 0) {
        g_assert_true(object_delete(object, count_deleted, &visit->deleted, NULL));
    }
}

static void test_delete_while_visiting(void)
{
    ObjectTree *tree = object_tree_new();
    g_autoptr(GString) ids = g_string_new(NULL);
    Visit visit = { .ids = ids, .spared = "c" };

    add(tree, "a");
    add(tree, "b");
    add(tree, "c");
    add(tree, "d");
    object_foreach(tree, note_and_delete, &visit);
    g_assert_cmpstr(ids->str, ==, "abcd");
    g_assert_cmpuint(visit.deleted, ==, 3);
    g_assert_cmpuint(object_count(tree), ==, 1);

    visit.spared = NULL;
    object_foreach(tree, note_and_delete, &visit);
    g_assert_cmpstr(ids->str, ==, "abcdc");
    object_tree_free(tree);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/objects/visit/an object may be deleted while it is visited",
                    test_delete_while_visiting);
    return g_test_run();
}
