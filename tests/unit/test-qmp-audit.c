/*
 * The log of who changed what: which commands are in it, how, and that nothing is made for it when
 * nobody will see it.
 */
#include "config.h"

#include <string.h>

#include "qmp/qmp-error.h"
#include "qmp/qmp-session-internal.h"

static void run_nothing(QmpRequest *request, void *args)
{
    g_assert_not_reached();
}

static void no_reply(QmpRequest *request, json_object *value, const GError *error, void *opaque)
{
    g_assert_not_reached();
}

typedef struct Args {
    json_object *value;
} Args;

static const QmpMember args_members[] = {
    { .name = "value",
      .type = &qmp_type_any,
      .flags = QMP_MEMBER_OPTIONAL,
      .offset = offsetof(Args, value) },
    { 0 },
};
static const QmpType args_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "Args",
    .members = args_members,
    .size = sizeof(Args),
};
static const QmpMember named_members[] = {
    { .name = "other", .type = &qmp_type_str, .flags = QMP_MEMBER_OPTIONAL },
    { .name = "path", .type = &qmp_type_str, .flags = QMP_MEMBER_NAMES_OBJECT },
    { 0 },
};
static const QmpType named_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "Named",
    .members = named_members,
    .size = sizeof(char *),
};
/* The object may be named in the type that another is based on. */
static const QmpType based_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "Based",
    .base = &named_type,
    .size = sizeof(char *),
};
static const QmpCommand commands[] = {
    { .name = "work-on", .args = &named_type, .ret = &qmp_type_empty, .run = run_nothing },
    { .name = "work-on-it", .args = &based_type, .ret = &qmp_type_empty, .run = run_nothing },
    { .name = "change", .args = &args_type, .ret = &qmp_type_empty, .run = run_nothing },
    { .name = "read",
      .flags = QMP_COMMAND_READ_ONLY,
      .args = &args_type,
      .ret = &qmp_type_empty,
      .run = run_nothing },
    { 0 },
};

static GString *logged; /* all lines, each with its end */
static GString *known;  /* their fields of our own */

static GLogWriterOutput take_log(GLogLevelFlags level, const GLogField *fields, gsize n_fields,
                                 gpointer opaque)
{
    for (gsize i = 0; i < n_fields; i++) {
        if (strcmp(fields[i].key, "MESSAGE") == 0) {
            g_string_append_printf(logged, "%s\n", (const char *)fields[i].value);
        } else if (g_str_has_prefix(fields[i].key, "EVLOOPD_")) {
            g_string_append_printf(known, "%s=%s\n", fields[i].key + strlen("EVLOOPD_"),
                                   (const char *)fields[i].value);
        }
    }
    return G_LOG_WRITER_HANDLED;
}

/* What is logged of the request @text, which has failed with @why (NULL: it has not). */
static const char *audit(const char *text, const char *why, bool shown)
{
    g_autoptr(QmpRegistry) registry = qmp_registry_new();
    g_autoptr(GError) error = why ? g_error_new(QMP_ERROR, QMP_ERROR_GENERIC, "%s", why) : NULL;
    const QmpAccess access = { .name = "unix:a" };
    QmpSession session = {
        .access = &access,
        .number = 7,
        .peer = { .kind = QMP_PEER_UNIX, .uid = 1, .gid = 2, .pid = 3 },
    };
    QmpRequest *request;

    qmp_registry_add_commands(registry, commands, NULL);
    request = qmp_request_new(registry, json_tokener_parse(text), no_reply, NULL);
    g_string_truncate(logged, 0);
    g_string_truncate(known, 0);
    qmp_log_set_level(shown ? G_LOG_LEVEL_INFO : G_LOG_LEVEL_MESSAGE);
    qmp_session_log_change(&session, request, error);
    qmp_request_free(request);
    return logged->str;
}

static void test_changes_are_logged(void)
{
    g_assert_cmpstr(audit("{\"execute\": \"change\"}", NULL, true), ==,
                    "session 7 (uid 1, gid 2, pid 3): change\n");
    g_assert_cmpstr(
        audit("{\"execute\": \"change\", \"arguments\": {\"value\": [\"\u00e9\"]}}", NULL, true),
        ==, "session 7 (uid 1, gid 2, pid 3): change {\"value\": [\"\\u00e9\"]}\n");
    g_assert_cmpstr(audit("{\"execute\": \"change\"}", "there is no way", true), ==,
                    "session 7 (uid 1, gid 2, pid 3): change failed: there is no way\n");
}

static void test_who_asked_for_what_is_in_fields(void)
{
    audit("{\"execute\": \"change\"}", NULL, true);
    g_assert_cmpstr(known->str, ==,
                    "MESSAGE=command-done\nSOCKET=unix:a\nSESSION=7\nPEER_UID=1\nPEER_GID=2\n"
                    "PEER_PID=3\nCOMMAND=change\n");
    audit("{\"execute\": \"change\"}", "there is no way", true);
    g_assert_cmpstr(known->str, ==,
                    "MESSAGE=command-failed\nSOCKET=unix:a\nSESSION=7\nPEER_UID=1\nPEER_GID=2\n"
                    "PEER_PID=3\nCOMMAND=change\nREASON=there is no way\n");
}

/* Whether the log says that a command with @arguments is about @expected; NULL: about nothing. */
static void assert_object(const char *arguments, const char *expected)
{
    static const char *const names[] = { "work-on", "work-on-it" };
    g_autofree char *line = g_strdup_printf("OBJECT=%s\n", expected ? expected : "");

    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *request =
            g_strdup_printf("{\"execute\": \"%s\", \"arguments\": %s}", names[i], arguments);
        const char *found;

        g_assert_nonnull(strstr(audit(request, "it fails", true), names[i]));
        found = strstr(known->str, "OBJECT=");
        g_assert_true(expected ? found && g_str_has_prefix(found, line) : !found);
    }
}

static void test_the_object_that_a_command_is_about_is_a_field(void)
{
    g_autofree char *longest = g_strnfill(256, 'x');
    g_autofree char *fits = g_strdup_printf("{\"path\": \"%s\"}", longest);
    g_autofree char *too_long = g_strdup_printf("{\"path\": \"%sx\"}", longest);

    assert_object("{\"path\": \"io0\", \"other\": \"io1\"}", "io0");
    assert_object("{\"path\": \"/objects/io0\"}", "io0");
    assert_object(fits, longest);
    assert_object(too_long, NULL);
    assert_object("{\"path\": 5}", NULL);
    assert_object("{\"other\": \"io1\"}", NULL);
}

static void test_what_changes_nothing_is_not_logged(void)
{
    g_assert_cmpstr(audit("{\"execute\": \"read\"}", NULL, true), ==, "");
    g_assert_cmpstr(audit("{\"execute\": \"nothing\"}", "it is not there", true), ==, "");
    g_assert_cmpstr(audit("[]", "it is no object", true), ==, "");
}

static void test_long_ones_are_cut(void)
{
    g_autofree char *value = g_strnfill(100000, 'x');
    g_autofree char *shown = g_strndup(value, 256 - strlen(" {\"value\": \""));
    g_autofree char *request =
        g_strdup_printf("{\"execute\": \"change\", \"arguments\": {\"value\": \"%s\"}}", value);
    g_autofree char *expected = g_strdup_printf(
        "session 7 (uid 1, gid 2, pid 3): change {\"value\": \"%s... failed: %.256s...\n", shown,
        value);

    g_assert_cmpstr(audit(request, value, true), ==, expected);
}

static void test_nothing_is_logged_that_nobody_sees(void)
{
    g_assert_cmpstr(audit("{\"execute\": \"change\"}", NULL, false), ==, "");
    g_assert_cmpstr(audit("{\"execute\": \"change\"}", "there is no way", false), ==, "");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    logged = g_string_new(NULL);
    known = g_string_new(NULL);
    g_log_set_writer_func(take_log, NULL, NULL);
    g_test_add_func("/qmp-audit/changes are logged", test_changes_are_logged);
    g_test_add_func("/qmp-audit/who asked for what is in fields",
                    test_who_asked_for_what_is_in_fields);
    g_test_add_func("/qmp-audit/the object that a command is about is a field",
                    test_the_object_that_a_command_is_about_is_a_field);
    g_test_add_func("/qmp-audit/what changes nothing is not logged",
                    test_what_changes_nothing_is_not_logged);
    g_test_add_func("/qmp-audit/long ones are cut", test_long_ones_are_cut);
    g_test_add_func("/qmp-audit/nothing is logged that nobody sees",
                    test_nothing_is_logged_that_nobody_sees);
    return g_test_run();
}
