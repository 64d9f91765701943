/*
 * Sending to the journal: the protocol, and that a journal that is stuck, absent or gone holds
 * nobody and loses nothing that can be kept. The test plays the journal.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/journal.h"
#include "loop/timer.h"

#define LONG_NS (3600 * INT64_C(1000000000))

typedef struct Test {
    char *folder;
    char *path;
    int fd; /* what the journal listens on; -1: there is none */
    Journal *journal;
} Test;

/* What the journal's user has been told. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static GString *fallen_back;
static Journal *to_tell;

static void fall_back(const char *plain)
{
    pthread_mutex_lock(&lock);
    g_string_append(fallen_back, plain);
    pthread_mutex_unlock(&lock);
}

static void lost(uint64_t count)
{
    g_autofree char *text = g_strdup_printf("lost %" G_GUINT64_FORMAT, count);
    const GLogField field = { "MESSAGE", text, -1 };

    journal_send(to_tell, &field, 1, "lost\n");
}

static const JournalOps ops = { .fall_back = fall_back, .lost = lost };

static void start_listening(Test *test)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    g_strlcpy(address.sun_path, test->path, sizeof(address.sun_path));
    test->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(bind(test->fd, (struct sockaddr *)&address, sizeof(address)), ==, 0);
}

static void stop_listening(Test *test)
{
    if (test->fd >= 0) {
        close(test->fd);
    }
    test->fd = -1;
    unlink(test->path);
}

static void init(Test *test, size_t max_kept)
{
    test->folder = g_dir_make_tmp("evjXXXXXX", NULL);
    test->path = g_build_filename(test->folder, "socket", NULL);
    start_listening(test);
    g_string_truncate(fallen_back, 0);
    test->journal = to_tell = journal_new(test->path, max_kept, &ops);
}

static void clear(Test *test)
{
    g_clear_pointer(&test->journal, journal_free);
    stop_listening(test);
    g_assert_cmpint(rmdir(test->folder), ==, 0);
    g_free(test->path);
    g_free(test->folder);
}

static void send_text(Test *test, const char *text)
{
    const GLogField field = { "MESSAGE", text, -1 };
    g_autofree char *plain = g_strdup_printf("%s\n", text);

    journal_send(test->journal, &field, 1, plain);
}

static void send_number(Test *test, unsigned number)
{
    g_autofree char *text = g_strdup_printf("%u", number);

    send_text(test, text);
}

/* The next datagram, with what a descriptor in it has. */
static GString *receive(Test *test)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    GString *text = g_string_new(NULL);
    struct iovec iov;
    struct msghdr message = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof(control),
    };
    ssize_t n;

    g_string_set_size(text, 1024 * 1024);
    iov = (struct iovec){ .iov_base = text->str, .iov_len = text->len };
    n = recvmsg(test->fd, &message, 0);
    g_assert_cmpint(n, >=, 0);
    if (message.msg_controllen > 0) {
        int fd;

        memcpy(&fd, CMSG_DATA(&control.header), sizeof(fd));
        g_assert_cmpint(n, ==, 0);
        g_assert_cmpint(fcntl(fd, F_GET_SEALS), ==,
                        F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
        n = pread(fd, text->str, text->len, 0);
        close(fd);
    }
    g_string_set_size(text, (gsize)n);
    return text;
}

static void assert_receives(Test *test, const char *expected)
{
    GString *text = receive(test);

    g_assert_cmpstr(text->str, ==, expected);
    g_string_free(text, TRUE);
}

static void assert_receives_number(Test *test, unsigned number)
{
    g_autofree char *expected = g_strdup_printf("MESSAGE=%u\n", number);

    assert_receives(test, expected);
}

/* Send until the socket takes no more, and @more beyond that; returns how many there are. */
static unsigned fill(Test *test, unsigned more)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    unsigned n = 0;
    struct pollfd pollfd = { .fd = fd, .events = POLLOUT };

    /* A connected socket can be asked whether its peer has room. */
    g_strlcpy(address.sun_path, test->path, sizeof(address.sun_path));
    g_assert_cmpint(connect(fd, (struct sockaddr *)&address, sizeof(address)), ==, 0);
    while (poll(&pollfd, 1, 0) == 1) {
        send_number(test, n++);
    }
    close(fd);
    for (unsigned i = 0; i < more; i++) {
        send_number(test, n++);
    }
    return n;
}

/* ---- the protocol ---- */

static void test_fields_are_lines_of_a_datagram(void)
{
    const GLogField fields[] = {
        { "MESSAGE", "a = b", -1 },
        { "PRIORITY", "4", -1 },
        { "EVLOOPD_OBJECT", "cut off", 3 },
    };
    Test test;

    init(&test, 0);
    journal_send(test.journal, fields, G_N_ELEMENTS(fields), "plain\n");
    assert_receives(&test, "MESSAGE=a = b\nPRIORITY=4\nEVLOOPD_OBJECT=cut\n");
    g_assert_cmpstr(fallen_back->str, ==, "");
    clear(&test);
}

static void test_a_field_of_several_lines_has_its_length(void)
{
    const GLogField field = { "EVLOOPD_REASON", "one\ntwo", -1 };
    static const char expected[] = "EVLOOPD_REASON\n\7\0\0\0\0\0\0\0one\ntwo\n";
    GString *text;
    Test test;

    init(&test, 0);
    journal_send(test.journal, &field, 1, "plain\n");
    text = receive(&test);
    g_assert_cmpmem(text->str, text->len, expected, sizeof(expected) - 1);
    g_string_free(text, TRUE);
    clear(&test);
}

static void test_a_line_that_is_too_large_goes_as_a_file(void)
{
    g_autofree char *large = g_strnfill(1000000, 'x');
    g_autofree char *expected = g_strdup_printf("MESSAGE=%s\n", large);
    Test test;

    init(&test, 0);
    send_text(&test, large);
    assert_receives(&test, expected);
    g_assert_cmpstr(fallen_back->str, ==, "");
    clear(&test);
}

/* ---- no journal ---- */

static void test_without_a_journal_a_line_falls_back(void)
{
    Test test;

    init(&test, 1 << 20);
    stop_listening(&test);
    send_text(&test, "first");
    start_listening(&test);
    send_text(&test, "second");
    assert_receives(&test, "MESSAGE=second\n");
    close(test.fd);
    test.fd = -1;
    send_text(&test, "third"); /* the file is there, and nobody behind it */
    g_assert_cmpstr(fallen_back->str, ==, "first\nthird\n");
    clear(&test);
}

/* ---- a journal that is stuck ---- */

static void test_lines_wait_for_a_journal_that_is_stuck(void)
{
    Test test;
    unsigned n;

    init(&test, 1 << 20);
    n = fill(&test, 100); /* which returns: nobody waits */
    g_assert_false(journal_flush(test.journal, 1));
    for (unsigned i = 0; i < n; i++) {
        assert_receives_number(&test, i);
    }
    g_assert_true(journal_flush(test.journal, LONG_NS));
    g_assert_cmpstr(fallen_back->str, ==, "");

    /* And again, after the thread has ended. */
    n = fill(&test, 3);
    for (unsigned i = 0; i < n; i++) {
        assert_receives_number(&test, i);
    }
    g_assert_true(journal_flush(test.journal, LONG_NS));
    clear(&test);
}

static void *send_numbers(void *opaque)
{
    for (unsigned i = 0; i < 50; i++) {
        send_number(opaque, 1000 + i);
    }
    return NULL;
}

static void test_any_thread_may_log(void)
{
    pthread_t threads[4];
    unsigned seen[50] = { 0 };
    unsigned n;
    Test test;

    init(&test, 1 << 20);
    n = fill(&test, 1);
    for (size_t i = 0; i < G_N_ELEMENTS(threads); i++) {
        pthread_create(&threads[i], NULL, send_numbers, &test);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(threads); i++) {
        pthread_join(threads[i], NULL);
    }
    for (unsigned i = 0; i < n; i++) {
        assert_receives_number(&test, i);
    }
    for (size_t i = 0; i < 50 * G_N_ELEMENTS(threads); i++) {
        GString *text = receive(&test);
        guint64 number = g_ascii_strtoull(text->str + strlen("MESSAGE="), NULL, 10);

        size_t nth = number % 50;

        g_assert_cmpuint(number - nth, ==, 1000);
        seen[nth]++;
        /* Those of one thread are in their order: a number follows the one before it. */
        g_assert_true(nth == 0 || seen[nth] <= seen[nth - 1]);
        g_string_free(text, TRUE);
    }
    g_assert_true(journal_flush(test.journal, LONG_NS));
    clear(&test);
}

static void test_what_is_too_much_is_counted_and_told_behind_the_rest(void)
{
    g_autofree char *large = g_strnfill(2000, 'x');
    Test test;
    unsigned n;

    init(&test, 2000);
    n = fill(&test, 2);
    send_text(&test, large);
    send_text(&test, "short"); /* for which there is room, but its place is behind the other */
    for (unsigned i = 0; i < n; i++) {
        assert_receives_number(&test, i);
    }
    assert_receives(&test, "MESSAGE=lost 2\n");
    g_assert_true(journal_flush(test.journal, LONG_NS));
    send_text(&test, "next");
    assert_receives(&test, "MESSAGE=next\n");
    g_assert_cmpstr(fallen_back->str, ==, "");
    clear(&test);
}

static void test_what_waits_falls_back_when_the_journal_goes(void)
{
    g_autofree char *expected = NULL;
    Test test;
    unsigned n;

    init(&test, 1 << 20);
    n = fill(&test, 2);
    stop_listening(&test);
    g_assert_true(journal_flush(test.journal, LONG_NS));
    expected = g_strdup_printf("%u\n%u\n", n - 2, n - 1);
    g_assert_cmpstr(fallen_back->str, ==, expected);
    clear(&test);
}

static void test_what_waits_falls_back_at_the_end(void)
{
    g_autofree char *expected = NULL;
    Test test;
    unsigned n;

    init(&test, 1 << 20);
    n = fill(&test, 2);
    g_clear_pointer(&test.journal, journal_free);
    expected = g_strdup_printf("%u\n%u\n", n - 2, n - 1);
    g_assert_cmpstr(fallen_back->str, ==, expected);
    clear(&test);
}

static void test_what_was_lost_is_told_at_the_end(void)
{
    g_autofree char *large = g_strnfill(2000, 'x');
    g_autofree char *expected = NULL;
    Test test;
    unsigned n;

    init(&test, 2000);
    n = fill(&test, 1);
    send_text(&test, large);
    send_text(&test, large);
    g_clear_pointer(&test.journal, journal_free);
    expected = g_strdup_printf("%u\nlost\n", n - 1);
    g_assert_cmpstr(fallen_back->str, ==, expected);
    clear(&test);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    alarm(300);
    fallen_back = g_string_new(NULL);
    g_test_add_func("/journal/fields are lines of a datagram", test_fields_are_lines_of_a_datagram);
    g_test_add_func("/journal/a field of several lines has its length",
                    test_a_field_of_several_lines_has_its_length);
    g_test_add_func("/journal/a line that is too large goes as a file",
                    test_a_line_that_is_too_large_goes_as_a_file);
    g_test_add_func("/journal/without a journal a line falls back",
                    test_without_a_journal_a_line_falls_back);
    g_test_add_func("/journal/lines wait for a journal that is stuck",
                    test_lines_wait_for_a_journal_that_is_stuck);
    g_test_add_func("/journal/any thread may log", test_any_thread_may_log);
    g_test_add_func("/journal/what is too much is counted, and told behind the rest",
                    test_what_is_too_much_is_counted_and_told_behind_the_rest);
    g_test_add_func("/journal/what waits falls back when the journal goes",
                    test_what_waits_falls_back_when_the_journal_goes);
    g_test_add_func("/journal/what waits falls back at the end",
                    test_what_waits_falls_back_at_the_end);
    g_test_add_func("/journal/what was lost is told at the end",
                    test_what_was_lost_is_told_at_the_end);
    return g_test_run();
}
