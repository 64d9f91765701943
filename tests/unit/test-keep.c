/*
 * Keeping: what goes into parcels comes out of them, and objects go on with it.
 */
#include "config.h"
#include "objects/keep.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loop/main-loop.h"
#include "objects/clock-keep.h"
#include "objects/keep-parcel.h"
#include "objects/keep-store.h"
#include "objects/lateness.h"
#include "objects/object-types.h"
#include "tests/unit/loop-fixture.h"
#include "tests/unit/object-fixture.h"

/* From one daemon to the next. */
static Kept *pass_on(Keep *keep)
{
    GError *error = NULL;
    GArray *parcels = keep_pack(keep, &error);
    Kept *kept;

    g_assert_no_error(error);
    keep_free(keep);
    kept = kept_new((const int *)parcels->data, parcels->len, &error);
    g_assert_no_error(error);
    fds_free(parcels);
    return kept;
}

static int new_file(void)
{
    int fd = memfd_create("test", MFD_CLOEXEC);

    g_assert_cmpint(fd, >=, 0);
    return fd;
}

static ino_t file_of(int fd)
{
    struct stat status;

    g_assert_cmpint(fstat(fd, &status), ==, 0);
    return status.st_ino;
}

/* ---- descriptors ---- */

static void test_descriptors(void)
{
    Keep *keep = keep_new(10);
    ino_t files[3];
    int64_t keys[3];
    Kept *kept;

    for (int i = 0; i < 3; i++) {
        int fd = new_file();

        files[i] = file_of(fd);
        g_assert_cmpint(keep_room(keep), ==, 10 - i);
        keys[i] = keep_fd(keep, fd);
        g_assert_cmpint(keys[i], >=, 0);
    }
    g_assert_cmpuint(keep_count_fds(keep), ==, 3);
    kept = pass_on(keep);
    for (int i = 2; i >= 0; i--) {
        int fd = kept_take_fd(kept, keys[i]);

        g_assert_cmpint(file_of(fd), ==, files[i]);
        g_assert_cmpint(fcntl(fd, F_GETFD), ==, FD_CLOEXEC);
        g_assert_cmpint(kept_take_fd(kept, keys[i]), ==, -1);
        close(fd);
    }
    kept_free(kept);
}

static void test_the_same_file_twice(void)
{
    Keep *keep = keep_new(2);
    int fd = new_file();
    ino_t file = file_of(fd);
    int64_t other = keep_fd(keep, dup(fd));
    int64_t key = keep_fd(keep, fd);
    Kept *kept = pass_on(keep);
    int fds[] = { kept_take_fd(kept, key), kept_take_fd(kept, other) };

    g_assert_cmpint(fds[0], !=, fds[1]);
    g_assert_cmpint(file_of(fds[0]), ==, file);
    g_assert_cmpint(file_of(fds[1]), ==, file);
    test_close(fds);
    kept_free(kept);
}

static void test_no_room(void)
{
    Keep *keep = keep_new(1);
    int fd = new_file();

    g_assert_cmpint(keep_fd(keep, new_file()), >=, 0);
    g_assert_cmpint(keep_room(keep), ==, 0);
    g_assert_cmpint(keep_fd(keep, fd), ==, -1);
    g_assert_cmpint(fcntl(fd, F_GETFD), ==, -1);
    keep_free(keep);
}

static void test_wrong_keys(void)
{
    Keep *keep = keep_new(1);
    int64_t key = keep_fd(keep, new_file());
    Kept *kept = pass_on(keep);
    const int64_t wrong[] = { -1, 0, 1, key + 1, INT64_MAX, INT64_MIN };

    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_assert_cmpint(kept_take_fd(kept, wrong[i]), ==, -1);
    }
    kept_free(kept);
}

/* More than one message takes. */
static void test_many_descriptors(void)
{
    Keep *keep = keep_new(SIZE_MAX);
    int fd = new_file();
    ino_t file = file_of(fd);
    int64_t last = keep_fd(keep, fd);
    Kept *kept;

    for (int i = 0; i < 600; i++) {
        last = keep_fd(keep, dup(fd));
    }
    kept = pass_on(keep);
    fd = kept_take_fd(kept, last);
    g_assert_cmpint(file_of(fd), ==, file);
    close(fd);
    kept_free(kept);
}

/* The same two in flight a hundred thousand times, which is more than one parcel holds. */
static void test_several_parcels(void)
{
    enum {
        FDS = 100000
    };
    GArray *parcels = g_array_new(FALSE, FALSE, sizeof(int));
    g_autofree int *fds = g_new(int, FDS);
    g_autoptr(GError) error = NULL;
    int files[] = { new_file(), new_file() };
    size_t packed;
    int last;
    GArray *found;

    for (int i = 0; i < FDS; i++) {
        fds[i] = files[i % 2];
    }
    packed = parcels_pack(fds, FDS, parcels, &error);
    g_assert_true(packed == FDS || error);
    /* Who has no privileges may have no more in flight than open. */
    if (packed < FDS) {
        g_test_skip(error->message);
    } else {
        g_assert_cmpuint(parcels->len, >, 1);
        /* The last one alone: the places of the others are empty. */
        last = g_array_index(parcels, int, parcels->len - 1);
        found = parcels_unpack(&last, 1);
        g_assert_cmpuint(found->len, >, 0);
        g_assert_cmpint(g_array_index(found, int, 0), ==, -1);
        g_assert_cmpint(file_of(g_array_index(found, int, found->len - 1)), ==,
                        file_of(files[(found->len - 1) % 2]));
        fds_free(found);
    }
    fds_free(parcels);
    test_close(files);
}

/* ---- bytes ---- */

static void test_bytes(void)
{
    Keep *keep = keep_new(0);
    int pipe[2];
    int64_t first = keep_bytes(keep, "abc", 3);
    int64_t second, third, none;
    Kept *kept;

    test_pipe(pipe);
    g_assert_cmpint(write(pipe[1], "from a pipe", 11), ==, 11);
    second = keep_pipe(keep, pipe[0], 6);
    none = keep_bytes(keep, "", 0);
    third = keep_bytes(keep, "defg", 4);
    g_assert_cmpint(keep_pipe(keep, pipe[0], 5), >=, 0);
    test_close(pipe);
    kept = pass_on(keep);
    g_assert_cmpint(memcmp(kept_bytes(kept, first, 3), "abc", 3), ==, 0);
    g_assert_cmpint(memcmp(kept_bytes(kept, second, 6), "from a", 6), ==, 0);
    g_assert_cmpint(memcmp(kept_bytes(kept, third, 4), "defg", 4), ==, 0);
    g_assert_nonnull(kept_bytes(kept, none, 0));
    g_assert_null(kept_bytes(kept, third, 100));
    g_assert_null(kept_bytes(kept, 18, 1));
    g_assert_null(kept_bytes(kept, 0, SIZE_MAX));
    g_assert_null(kept_bytes(kept, -1, 1));
    g_assert_null(kept_bytes(kept, INT64_MAX, 1));
    kept_free(kept);
}

static void test_a_pipe_with_less_in_it(void)
{
    Keep *keep = keep_new(0);
    int pipe[2];
    int64_t offset;
    Kept *kept;

    test_pipe(pipe);
    test_write_byte(pipe[1]);
    errno = 0;
    g_assert_cmpint(keep_pipe(keep, pipe[0], 2), ==, -1);
    g_assert_cmpint(errno, ==, ENODATA);
    offset = keep_bytes(keep, "abc", 3);
    test_close(pipe);
    kept = pass_on(keep);
    g_assert_cmpint(memcmp(kept_bytes(kept, offset, 3), "abc", 3), ==, 0);
    kept_free(kept);
}

static void test_no_bytes(void)
{
    Kept *kept = pass_on(keep_new(0));

    g_assert_null(kept_bytes(kept, 0, 1));
    kept_free(kept);
}

/* ---- once more ---- */

static void expect_file(Kept *kept, int64_t key, ino_t file)
{
    int fd = kept_take_fd(kept, key);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(file_of(fd), ==, file);
    close(fd);
}

/* What has been taken leaves its place to others, and the rest is where it was. */
static void test_the_rest(void)
{
    Keep *keep = keep_new(10);
    ino_t files[4];
    int64_t keys[4];
    Kept *kept;
    int fd;

    for (int i = 0; i < 4; i++) {
        fd = new_file();
        files[i] = file_of(fd);
        keys[i] = keep_fd(keep, fd);
    }
    for (int round = 0; round < 3; round++) {
        kept = pass_on(keep);
        if (round == 0) {
            close(kept_take_fd(kept, keys[1]));
            close(kept_take_fd(kept, keys[2]));
            g_assert_cmpint(kept_count_taken(kept), ==, 2);
        } else {
            g_assert_cmpint(kept_count_taken(kept), ==, 0);
            g_assert_cmpint(kept_take_fd(kept, keys[1]), ==, -1);
        }
        keep = keep_new(4);
        keep_rest(keep, kept);
        kept_free(kept);
        g_assert_cmpuint(keep_count_fds(keep), ==, 2);
        g_assert_cmpint(keep_room(keep), ==, 2);
    }
    fd = new_file();
    files[2] = file_of(fd);
    keys[2] = keep_fd(keep, fd);
    g_assert_cmpint(keys[2], <, keys[3]);
    kept = pass_on(keep);
    expect_file(kept, keys[0], files[0]);
    expect_file(kept, keys[2], files[2]);
    expect_file(kept, keys[3], files[3]);
    kept_free(kept);
}

/* Those that some state tells of, wherever in it; what nobody holds any more does not pile up. */
static void test_the_bytes_of_the_rest(void)
{
    Object *object = add_object("timer", "x", "{\"deadline-ns\": 1}");
    json_object *state = json_tokener_parse(
        "{\"a\": [{\"b\": {\"held\": 3, \"at\": 5}}, {\"held\": 2}, {\"held\": 9, \"at\": 9}]}");
    Keep *keep = keep_new(10);

    g_assert_cmpint(keep_bytes(keep, "de-- abc", 8), ==, 0);
    keep_add_object(keep, object);
    keep_set_state(keep, "x", state);
    delete_object(object);
    for (int round = 0; round < 3; round++) {
        Kept *kept = pass_on(keep);

        keep = keep_new(10);
        keep_rest(keep, kept);
        keep_rest_objects(keep, kept);
        kept_free(kept);
    }
    {
        g_autoptr(Kept) kept = pass_on(keep);
        KeptObject *found = kept_find(kept, object_type_find("timer"), "x");
        json_object *array = kept_get_array(found->state, "a");
        json_object *first = kept_get_object(json_object_array_get_idx(array, 0), "b");

        g_assert_cmpint(kept_get_int(first, "at"), ==, 0);
        g_assert_cmpint(kept_get_int(json_object_array_get_idx(array, 1), "at"), ==, 3);
        g_assert_cmpint(kept_get_int(json_object_array_get_idx(array, 2), "at"), ==, INT64_MAX);
        g_assert_cmpint(memcmp(kept_bytes(kept, 0, 5), "abcde", 5), ==, 0);
        g_assert_null(kept_bytes(kept, 0, 6));
    }
}

static void test_giving_back(void)
{
    Keep *keep = keep_new(10);
    int fd = new_file();
    ino_t file = file_of(fd);
    int64_t key = keep_fd(keep, fd);
    UnixSocket *none = NULL;
    Kept *kept;

    g_assert_true(keep_listener(keep, "x", new_file(), NULL));
    kept = pass_on(keep);
    kept_give_fd_back(kept, key, kept_take_fd(kept, key));
    fd = kept_take_listener(kept, "x", &none);
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(kept_take_listener(kept, "x", &none), ==, -1);
    kept_give_listener_back(kept, "x", fd, NULL);
    g_assert_cmpint(kept_count_taken(kept), ==, 0);
    keep = keep_new(10);
    keep_rest(keep, kept);
    kept_free(kept);
    kept = pass_on(keep);
    expect_file(kept, key, file);
    fd = kept_take_listener(kept, "x", &none);
    g_assert_cmpint(fd, >=, 0);
    close(fd);
    kept_free(kept);
}

/* ---- looking into states ---- */

static void test_states(void)
{
    json_object *state = json_tokener_parse(
        "{\"int\": 5, \"less\": -7, \"str\": \"x\", \"array\": [], \"object\": {}, \"yes\": true}");

    g_assert_cmpint(kept_get_int(state, "int"), ==, 5);
    g_assert_cmpint(kept_get_int(state, "less"), ==, -1);
    g_assert_cmpint(kept_get_int(state, "str"), ==, -1);
    g_assert_cmpint(kept_get_int(state, "none"), ==, -1);
    g_assert_cmpstr(kept_get_str(state, "str"), ==, "x");
    g_assert_null(kept_get_str(state, "int"));
    g_assert_nonnull(kept_get_array(state, "array"));
    g_assert_null(kept_get_array(state, "object"));
    g_assert_nonnull(kept_get_object(state, "object"));
    g_assert_null(kept_get_object(state, "array"));
    g_assert_true(kept_get_bool(state, "yes"));
    g_assert_false(kept_get_bool(state, "int"));
    g_assert_cmpint(kept_get_int(NULL, "int"), ==, -1);
    g_assert_null(kept_get_str(kept_get_array(state, "array"), "str"));
    json_object_put(state);
}

/* ---- clocks ---- */

static void test_clocks(void)
{
    json_object *state;
    int64_t then;

    qemu_clock_enable(QEMU_CLOCK_VIRTUAL, false);
    then = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
    state = clocks_keep();
    qemu_clock_enable(QEMU_CLOCK_VIRTUAL, true);
    qemu_clock_advance_virtual_time(then + (int64_t)1000 * SCALE_MS);
    g_assert_true(clocks_restore(state));
    g_assert_false(qemu_clock_is_enabled(QEMU_CLOCK_VIRTUAL));
    g_assert_false(qemu_clock_is_enabled(QEMU_CLOCK_VIRTUAL_RT));
    g_assert_cmpint(qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL), ==, then);
    json_object_put(state);
    qemu_clock_enable(QEMU_CLOCK_VIRTUAL, true);
}

static void test_lateness(void)
{
    static const int64_t times[] = { 0, 1, 5, 1000000, INT64_MAX };
    Lateness before = { 0 };
    Lateness after = { 0 };
    json_object *state, *shown[2];

    for (size_t i = 0; i < G_N_ELEMENTS(times); i++) {
        lateness_record(&before, times[i]);
    }
    state = lateness_keep(&before);
    lateness_restore(&after, state);
    shown[0] = lateness_to_json(&before);
    shown[1] = lateness_to_json(&after);
    g_assert_true(json_object_equal(shown[0], shown[1]));
    json_object_put(state);
    json_object_put(shown[0]);
    json_object_put(shown[1]);
}

/* ---- objects ---- */

static void set_flag(void *flag)
{
    *(bool *)flag = true;
}

/* End @object, alone, and return what the next daemon gets. */
static Kept *keep_object(Object *object)
{
    Keep *keep = keep_new(100);
    bool gone = false;

    keep_add_object(keep, object);
    object_keep(object, keep, set_flag, &gone);
    while (!gone) {
        main_loop_wait(false);
    }
    g_assert_true(keep_has_state(keep, "x"));
    return pass_on(keep);
}

static Object *add_again(Kept *kept, const char *type, const char *properties)
{
    Object *object;

    object_tree_set_kept(tree, kept);
    object = add_object(type, "x", properties);
    object_tree_set_kept(tree, NULL);
    g_assert_null(object->kept);
    g_assert_null(object->kept_state);
    kept_free(kept);
    return object;
}

static void test_an_object_goes_on_on_each_loop(void)
{
    static const AskedBy asked_by[] = { ASKED_BY_CLIENT, ASKED_BY_START, ASKED_BY_CONFIGURATION };
    Object *object = add_object("event-notifier", "x", "{}");

    for (int i = 0; i < PLACES; i++) {
        const KeptObject *entry;
        Kept *kept;

        begin_move(object, places[i]);
        wait_settled(object);
        object->from_start = i == 1;
        object->configured = i == 2;
        kept = keep_object(object);
        entry = kept_find(kept, object_type_find("event-notifier"), "x");
        g_assert_cmpint(entry->asked_by, ==, asked_by[i]);
        g_assert_null(kept_find(kept, object_type_find("timer"), "x"));
        g_assert_null(kept_find(kept, object_type_find("event-notifier"), "y"));
        object = add_again(kept, "event-notifier", "{}");
    }
    delete_object(object);
}

static void test_an_object_that_moves_is_kept_when_it_has(void)
{
    Object *object = add_object("timer", "x", "{\"period-ns\": 3600000000000}");
    Kept *kept;

    begin_move(object, "io0");
    kept = keep_object(object);
    object = add_again(kept, "timer", "{\"period-ns\": 3600000000000}");
    delete_object(object);
}

static void test_another_object_begins_anew(void)
{
    Object *object = add_object("timer", "x", "{\"deadline-ns\": 1}");
    Kept *kept;

    wait_for_property(object, "expirations", 1);
    kept = keep_object(object);
    object = add_again(kept, "event-notifier", "{}");
    g_assert_cmpint(int_property(object, "kicks"), ==, 0);
    delete_object(object);
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    test_add("/keep/descriptors", test_descriptors);
    test_add("/keep/the-same-file-twice", test_the_same_file_twice);
    test_add("/keep/no-room", test_no_room);
    test_add("/keep/wrong-keys", test_wrong_keys);
    test_add("/keep/many-descriptors", test_many_descriptors);
    test_add("/keep/several-parcels", test_several_parcels);
    test_add("/keep/bytes", test_bytes);
    test_add("/keep/a-pipe-with-less-in-it", test_a_pipe_with_less_in_it);
    test_add("/keep/no-bytes", test_no_bytes);
    test_add("/keep/the-rest", test_the_rest);
    test_add("/keep/giving-back", test_giving_back);
    test_add("/keep/states", test_states);
    test_add("/keep/clocks", test_clocks);
    test_add("/keep/lateness", test_lateness);
    object_test_add("an-object-goes-on-on-each-loop", test_an_object_goes_on_on_each_loop);
    object_test_add("an-object-that-moves-is-kept-when-it-has",
                    test_an_object_that_moves_is_kept_when_it_has);
    object_test_add("the-bytes-of-the-rest", test_the_bytes_of_the_rest);
    object_test_add("another-object-begins-anew", test_another_object_begins_anew);
    return g_test_run();
}
