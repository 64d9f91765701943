/*
 * Lines of the log with fields: their kinds, what is in them, and that nothing is made of what is
 * not shown.
 */
#include "config.h"

#include <string.h>

#include "tests/unit/log-fixture.h"

static void test_each_kind_has_a_name_and_an_id_of_its_own(void)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

    for (int i = 0; i < QMP_LOG_N_MESSAGES; i++) {
        const QmpLogKind *kind = qmp_log_kind((QmpLogMessage)i);

        g_assert_nonnull(kind->name);
        g_assert_true(g_hash_table_add(seen, (char *)kind->name));
        g_assert_true(g_hash_table_add(seen, (char *)kind->id));
        g_assert_cmpuint(strlen(kind->id), ==, 32);
        g_assert_cmpuint(strspn(kind->id, "0123456789abcdef"), ==, 32);
        g_assert_cmpuint(kind->level & (G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING |
                                        G_LOG_LEVEL_MESSAGE | G_LOG_LEVEL_INFO),
                         ==, kind->level);
    }
}

static void assert_fields(const char *fields)
{
    g_autofree char *found = log_test_fields();

    log_test_assert_all();
    g_assert_cmpstr(found, ==, fields);
}

static void test_a_line_has_its_text_level_and_kind(void)
{
    const QmpLogKind *kind = qmp_log_kind(QMP_LOG_LOOP_STALLED);

    log_test_expect(QMP_LOG_LOOP_STALLED, "a line, 7");
    qmp_log(QMP_LOG_LOOP_STALLED, NULL, "a %s, %d", "line", 7);
    assert_fields("MESSAGE=loop-stalled");
    g_assert_cmpstr(log_test_field("PRIORITY"), ==, "4");
    g_assert_cmpstr(log_test_field("MESSAGE_ID"), ==, kind->id);
    g_assert_cmpstr(log_test_field("GLIB_DOMAIN"), ==, "evloopd");

    log_test_expect(QMP_LOG_WATCHDOG_FED, "a notice");
    qmp_log(QMP_LOG_WATCHDOG_FED, NULL, "a notice");
    log_test_assert_all();
    g_assert_cmpstr(log_test_field("PRIORITY"), ==, "5");
    log_test_expect(QMP_LOG_SESSION_OPENED, "an info");
    qmp_log(QMP_LOG_SESSION_OPENED, NULL, "an info");
    log_test_assert_all();
    g_assert_cmpstr(log_test_field("PRIORITY"), ==, "6");
}

static void test_what_is_known_is_a_field(void)
{
    const QmpPeer peer = { .kind = QMP_PEER_UNIX, .uid = 1000, .gid = 100, .pid = 4711 };
    const QmpLogFields all = {
        .object = "web",
        .type = "socket-relay",
        .property = "target",
        .target = "tcp:localhost:80",
        .loop = "io0",
        .source = "relay_accept(web)",
        .socket = "unix:/run/evloopd/qmp.sock",
        .session = 7,
        .peer = &peer,
        .command = "object-del",
        .reason = "there is no way",
        .duration_ns = INT64_MAX,
        .count = UINT64_MAX,
    };

    log_test_expect(QMP_LOG_COMMAND_REFUSED, "all");
    qmp_log(QMP_LOG_COMMAND_REFUSED, &all, "all");
    assert_fields("MESSAGE=command-refused OBJECT=web TYPE=socket-relay PROPERTY=target "
                  "TARGET=tcp:localhost:80 LOOP=io0 SOURCE=relay_accept(web) "
                  "SOCKET=unix:/run/evloopd/qmp.sock SESSION=7 PEER_UID=1000 PEER_GID=100 "
                  "PEER_PID=4711 COMMAND=object-del REASON=there is no way "
                  "DURATION_NSEC=9223372036854775807 COUNT=18446744073709551615");
}

static void test_what_is_not_known_is_none(void)
{
    log_test_expect(QMP_LOG_ENDING, "none");
    qmp_log(QMP_LOG_ENDING, &(QmpLogFields){ 0 }, "none");
    assert_fields("MESSAGE=ending");
}

static void test_root_is_known_and_a_process_out_of_sight_is_not(void)
{
    const QmpPeer root = { .kind = QMP_PEER_UNIX };

    log_test_expect(QMP_LOG_CLIENT_REFUSED, "root");
    qmp_log(QMP_LOG_CLIENT_REFUSED, &(QmpLogFields){ .peer = &root }, "root");
    assert_fields("MESSAGE=client-refused PEER_UID=0 PEER_GID=0");
}

static void test_peers_of_other_kinds(void)
{
    const QmpPeer machine = { .kind = QMP_PEER_VSOCK, .cid = 3, .port = 4 };
    const QmpPeer unknown = { .kind = QMP_PEER_UNKNOWN };

    log_test_expect(QMP_LOG_CLIENT_REFUSED, "a machine");
    qmp_log(QMP_LOG_CLIENT_REFUSED, &(QmpLogFields){ .peer = &machine }, "a machine");
    assert_fields("MESSAGE=client-refused PEER_CID=3");
    log_test_expect(QMP_LOG_CLIENT_REFUSED, "nobody");
    qmp_log(QMP_LOG_CLIENT_REFUSED, &(QmpLogFields){ .peer = &unknown }, "nobody");
    assert_fields("MESSAGE=client-refused");
}

/* The level is asked before the text is made, which would read a string that can't be read. */
static void test_what_is_not_shown_is_not_formatted(void)
{
    const char *unreadable = (const char *)1;

    qmp_log_set_level(G_LOG_LEVEL_WARNING);
    g_assert_true(qmp_log_shows(QMP_LOG_CLIENT_REFUSED));
    g_assert_true(qmp_log_shows(QMP_LOG_START_FAILED));
    g_assert_false(qmp_log_shows(QMP_LOG_WATCHDOG_FED));
    qmp_log(QMP_LOG_WATCHDOG_FED, NULL, "%s", unreadable);
    qmp_log(QMP_LOG_COMMAND_DONE, NULL, "%s", unreadable);
    qmp_log_set_level(G_LOG_LEVEL_INFO);
    g_assert_true(qmp_log_shows(QMP_LOG_COMMAND_DONE));
    log_test_expect(QMP_LOG_COMMAND_DONE, "shown");
    qmp_log(QMP_LOG_COMMAND_DONE, NULL, "shown");
    log_test_assert_all();
    qmp_log_set_level(G_LOG_LEVEL_CRITICAL);
    g_assert_false(qmp_log_shows(QMP_LOG_CLIENT_REFUSED));
    g_assert_true(qmp_log_shows(QMP_LOG_START_FAILED));
    qmp_log_set_level(G_LOG_LEVEL_DEBUG);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    log_test_init();
    g_test_add_func("/qmp-log/each kind has a name and an id of its own",
                    test_each_kind_has_a_name_and_an_id_of_its_own);
    g_test_add_func("/qmp-log/a line has its text, level and kind",
                    test_a_line_has_its_text_level_and_kind);
    g_test_add_func("/qmp-log/what is known is a field", test_what_is_known_is_a_field);
    g_test_add_func("/qmp-log/what is not known is none", test_what_is_not_known_is_none);
    g_test_add_func("/qmp-log/root is known, and a process out of sight is not",
                    test_root_is_known_and_a_process_out_of_sight_is_not);
    g_test_add_func("/qmp-log/peers of other kinds", test_peers_of_other_kinds);
    g_test_add_func("/qmp-log/what is not shown is not formatted",
                    test_what_is_not_shown_is_not_formatted);
    return g_test_run();
}
