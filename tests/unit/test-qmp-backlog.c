/*
 * What a session's socket has not taken: the order, parts, events that are left out, the memory.
 */
#include "config.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <glib.h>

#include "qmp/qmp-backlog.h"

static bool out_of_memory;

gpointer __real_g_try_malloc(gsize size);
gpointer __wrap_g_try_malloc(gsize size);

gpointer __wrap_g_try_malloc(gsize size)
{
    return out_of_memory ? NULL : __real_g_try_malloc(size);
}

static void append(QmpBacklog *backlog, const char *text, bool is_event)
{
    qmp_backlog_append(backlog, text, strlen(text), is_event);
}

/* All that is kept, in pieces of up to @max parts; it is taken. */
static char *take_all(QmpBacklog *backlog, int max)
{
    GString *all = g_string_new(NULL);
    struct iovec parts[8];
    int count;

    while ((count = qmp_backlog_peek(backlog, parts, max)) > 0) {
        size_t len = 0;

        g_assert_cmpint(count, <=, max);
        for (int i = 0; i < count; i++) {
            g_string_append_len(all, parts[i].iov_base, (gssize)parts[i].iov_len);
            len += parts[i].iov_len;
        }
        qmp_backlog_take(backlog, len);
    }
    return g_string_free(all, FALSE);
}

static void assert_left(QmpBacklog *backlog, const char *text)
{
    g_autofree char *all = take_all(backlog, 8);

    g_assert_cmpstr(all, ==, text);
    g_assert_null(backlog->first);
    g_assert_null(backlog->last);
    g_assert_cmpuint(backlog->held, ==, 0);
    g_assert_cmpuint(backlog->events, ==, 0);
    g_assert_cmpuint(backlog->taken, ==, 0);
}

static void test_what_is_kept_comes_out_in_order(void)
{
    for (int max = 1; max <= 8; max++) {
        QmpBacklog backlog = { 0 };
        g_autofree char *all = NULL;

        append(&backlog, "one ", false);
        append(&backlog, "two ", true);
        append(&backlog, "three", false);
        all = take_all(&backlog, max);
        g_assert_cmpstr(all, ==, "one two three");
        assert_left(&backlog, "");
    }
}

static void test_it_is_taken_in_any_pieces(void)
{
    static const char text[] = "one two three";

    for (size_t len = 1; len < sizeof(text); len++) {
        QmpBacklog backlog = { 0 };
        g_autoptr(GString) all = g_string_new(NULL);
        size_t left = strlen(text);

        append(&backlog, "one ", false);
        append(&backlog, "two ", false);
        append(&backlog, "three", false);
        while (left > 0) {
            size_t take = MIN(len, left);
            size_t before = all->len;
            struct iovec parts[8];
            int count = qmp_backlog_peek(&backlog, parts, 8);

            for (int i = 0; i < count; i++) {
                g_string_append_len(all, parts[i].iov_base, (gssize)parts[i].iov_len);
            }
            g_string_truncate(all, before + take);
            qmp_backlog_take(&backlog, take);
            left -= take;
        }
        g_assert_cmpstr(all->str, ==, text);
        assert_left(&backlog, "");
    }
}

static void test_events_that_are_not_begun_are_left_out(void)
{
    QmpBacklog backlog = { 0 };

    append(&backlog, "E1 ", true);
    append(&backlog, "A1 ", false);
    append(&backlog, "E2 ", true);
    append(&backlog, "E3 ", true);
    append(&backlog, "A2 ", false);
    append(&backlog, "E4 ", true);
    g_assert_cmpuint(qmp_backlog_drop_events(&backlog), ==, 4);
    g_assert_cmpuint(qmp_backlog_drop_events(&backlog), ==, 0);
    append(&backlog, "A3", false);
    assert_left(&backlog, "A1 A2 A3");
}

static void test_an_event_that_is_begun_stays(void)
{
    QmpBacklog backlog = { 0 };

    append(&backlog, "E1 ", true);
    append(&backlog, "E2", true);
    qmp_backlog_take(&backlog, 1);
    g_assert_cmpuint(qmp_backlog_drop_events(&backlog), ==, 1);
    assert_left(&backlog, "1 ");
}

static void test_when_all_are_events_nothing_is_left(void)
{
    QmpBacklog backlog = { 0 };

    append(&backlog, "E1", true);
    append(&backlog, "E2", true);
    g_assert_cmpuint(qmp_backlog_drop_events(&backlog), ==, 2);
    append(&backlog, "A", false);
    assert_left(&backlog, "A");
}

static void test_held_is_the_sum_of_the_costs(void)
{
    QmpBacklog backlog = { 0 };
    size_t sum = 0;

    for (size_t len = 1; len < 2000; len += 37) {
        g_autofree char *bytes = g_strnfill(len, 'x');

        qmp_backlog_append(&backlog, bytes, len, len % 2 == 0);
        g_assert_cmpuint(qmp_backlog_cost(len), >=, len);
        sum += qmp_backlog_cost(len);
        g_assert_cmpuint(backlog.held, ==, sum);
    }
    qmp_backlog_drop_events(&backlog);
    g_assert_cmpuint(backlog.held, <, sum);
    g_assert_cmpuint(backlog.held, >, 0);
    qmp_backlog_clear(&backlog);
    assert_left(&backlog, "");
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

/* A descriptor's message is the first of its part, and the descriptor goes with its first byte. */
static void test_a_descriptor_goes_with_its_first_byte(void)
{
    QmpBacklog backlog = { 0 };
    int fds[2];
    struct iovec parts[8];

    g_assert_cmpint(pipe(fds), ==, 0);
    append(&backlog, "abc", false);
    append(&backlog, "def", false);
    qmp_backlog_attach_fd(&backlog, fds[0]);
    append(&backlog, "ghi", false);
    append(&backlog, "jkl", false);
    qmp_backlog_attach_fd(&backlog, fds[1]);
    g_assert_cmpuint(backlog.fds, ==, 2);

    g_assert_cmpint(qmp_backlog_peek(&backlog, parts, 8), ==, 1);
    g_assert_cmpint(qmp_backlog_peek_fd(&backlog), ==, -1);
    qmp_backlog_take(&backlog, 3);
    g_assert_cmpint(qmp_backlog_peek(&backlog, parts, 8), ==, 2);
    g_assert_cmpint(qmp_backlog_peek_fd(&backlog), ==, fds[0]);
    g_assert_true(is_open(fds[0]));
    qmp_backlog_take(&backlog, 1);
    g_assert_false(is_open(fds[0]));
    g_assert_cmpint(qmp_backlog_peek_fd(&backlog), ==, -1);
    g_assert_cmpuint(backlog.fds, ==, 1);
    g_assert_true(is_open(fds[1]));
    qmp_backlog_clear(&backlog);
    g_assert_false(is_open(fds[1]));
    g_assert_cmpuint(backlog.fds, ==, 0);
}

static void test_without_memory_nothing_is_kept(void)
{
    QmpBacklog backlog = { 0 };

    out_of_memory = true;
    g_assert_false(qmp_backlog_append(&backlog, "none", 4, true));
    out_of_memory = false;
    assert_left(&backlog, "");
    append(&backlog, "one", false);
    out_of_memory = true;
    g_assert_false(qmp_backlog_append(&backlog, "none", 4, false));
    out_of_memory = false;
    append(&backlog, "two", false);
    assert_left(&backlog, "onetwo");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/qmp-backlog/what is kept comes out in order",
                    test_what_is_kept_comes_out_in_order);
    g_test_add_func("/qmp-backlog/without memory nothing is kept",
                    test_without_memory_nothing_is_kept);
    g_test_add_func("/qmp-backlog/it is taken in any pieces", test_it_is_taken_in_any_pieces);
    g_test_add_func("/qmp-backlog/events that are not begun are left out",
                    test_events_that_are_not_begun_are_left_out);
    g_test_add_func("/qmp-backlog/an event that is begun stays", test_an_event_that_is_begun_stays);
    g_test_add_func("/qmp-backlog/when all are events nothing is left",
                    test_when_all_are_events_nothing_is_left);
    g_test_add_func("/qmp-backlog/held is the sum of the costs", test_held_is_the_sum_of_the_costs);
    g_test_add_func("/qmp-backlog/a descriptor goes with its first byte",
                    test_a_descriptor_goes_with_its_first_byte);
    return g_test_run();
}
