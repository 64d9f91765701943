/*
 * Asking for the state of the daemon. Loops and clients are asked for out of band, objects in band
 * on a connection of their own, which is given up soon: so there is an answer in any case.
 */
#include "ctl/status.h"

#include "ctl/cmd-object.h"
#include "ctl/error.h"
#include "ctl/object.h"

/* How long what needs the main loop may take, in seconds. */
#define IN_BAND_PATIENCE 2.0

static void add_problem(json_object *status, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void add_problem(json_object *status, const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    json_object_array_add(json_member(status, "problems"), json_object_new_string(text));
}

static int64_t int_member(json_object *object, const char *name)
{
    return json_object_get_int64(json_member(object, name));
}

/* ---- out of band ---- */

static void judge_loop(json_object *status, json_object *loop)
{
    const char *source = json_member_string(loop, "source");

    if (json_object_get_boolean(json_member(loop, "stalled"))) {
        add_problem(status, "loop %s: stalled, for %.1f s now in %s",
                    json_member_string(loop, "id"), (double)int_member(loop, "state-ns") / 1e9,
                    source ? source : "its own work");
    }
}

static void judge_client(json_object *status, json_object *client)
{
    int64_t id = int_member(client, "id");
    int64_t pid = int_member(client, "pid");
    int64_t lost = int_member(client, "events-left-out");
    g_autofree char *who = pid > 0 ? g_strdup_printf(" (pid %" G_GINT64_FORMAT ")", pid) : NULL;

    if (lost > 0) {
        add_problem(status,
                    "client %" G_GINT64_FORMAT "%s: %" G_GINT64_FORMAT
                    " events were left out, for it reads too slowly",
                    id, who ? who : "", lost);
    }
    if (json_object_get_boolean(json_member(client, "paused"))) {
        add_problem(status,
                    "client %" G_GINT64_FORMAT
                    "%s: no more is read from it until some of %" G_GINT64_FORMAT
                    " requests are answered",
                    id, who ? who : "", int_member(client, "unanswered"));
    }
}

/* Put the list that @command returns in as @member, and judge each element. A daemon that does not
 * have the command is no error. */
static bool ask_list(Client *client, const char *command, json_object *status, const char *member,
                     void (*judge)(json_object *status, json_object *element), GError **errp)
{
    g_autoptr(GError) error = NULL;
    json_object *list = NULL;

    if (!client_call_oob(client, command, NULL, &list, &error)) {
        if (g_error_matches(error, CTL_ERROR, CTL_ERROR_COMMAND)) {
            return true;
        }
        g_propagate_error(errp, g_steal_pointer(&error));
        return false;
    }
    json_object_object_add(status, member, list);
    for (size_t i = 0;
         json_object_is_type(list, json_type_array) && i < json_object_array_length(list); i++) {
        judge(status, json_object_array_get_idx(list, i));
    }
    return true;
}

static bool ask_out_of_band(Ctl *ctl, json_object *status, GError **errp)
{
    g_autoptr(Client) client = ctl_connect(ctl, CLIENT_OOB_IF_OFFERED, errp);
    json_object *version = NULL;

    if (!client || !client_call_oob(client, "query-version", NULL, &version, errp)) {
        return false;
    }
    json_object_object_add(status, "version", version);
    return ask_list(client, "query-loops", status, "loops", judge_loop, errp) &&
           ask_list(client, "query-clients", status, "clients", judge_client, errp);
}

/* ---- in band ---- */

/* The property @name of the object @id, or NULL. */
static json_object *get(Client *client, const char *id, const char *name)
{
    json_object *value = NULL;

    return object_get(client, id, name, &value, NULL) ? value : NULL;
}

static void judge_relay(Client *client, json_object *status, const char *id)
{
    g_autoptr(json_object) down = get(client, id, "targets-down");
    g_autoptr(json_object) now = get(client, id, "connections");
    g_autoptr(json_object) most = get(client, id, "max-connections");

    if (json_object_is_type(down, json_type_array)) {
        for (size_t i = 0; i < json_object_array_length(down); i++) {
            add_problem(status, "object %s: the target %s failed when it was last tried", id,
                        json_object_get_string(json_object_array_get_idx(down, i)));
        }
    }
    if (json_object_get_int64(most) > 0 &&
        json_object_get_int64(now) >= json_object_get_int64(most)) {
        add_problem(status, "object %s: full, with %" G_GINT64_FORMAT " connections", id,
                    json_object_get_int64(now));
    }
}

static bool ask_in_band(Ctl *ctl, json_object *status, GError **errp)
{
    Ctl patient = *ctl;
    g_autoptr(Client) client = NULL;
    json_object *rows;
    json_object *iothreads;

    patient.timeout = ctl->timeout > 0 ? MIN(ctl->timeout, IN_BAND_PATIENCE) : IN_BAND_PATIENCE;
    client = ctl_connect(&patient, CLIENT_IN_BAND, errp);
    rows = client ? ctl_object_rows(client, errp) : NULL;
    if (!rows) {
        return false;
    }
    json_object_object_add(status, "objects", rows);
    iothreads = object_query(client, "query-iothreads", NULL, NULL, errp);
    if (!iothreads) {
        return false;
    }
    json_object_object_add(status, "iothreads", iothreads);
    for (size_t i = 0; i < json_object_array_length(rows); i++) {
        json_object *row = json_object_array_get_idx(rows, i);

        if (g_strcmp0(json_member_string(row, "type"), "socket-relay") == 0) {
            judge_relay(client, status, json_member_string(row, "id"));
        }
    }
    return true;
}

json_object *status_ask(Ctl *ctl, GError **errp)
{
    static const char *const members[] = { "version", "loops", "iothreads", "objects", "clients" };
    g_autoptr(json_object) status = json_object_new_object();
    g_autoptr(GError) error = NULL;

    for (size_t i = 0; i < G_N_ELEMENTS(members); i++) {
        json_object_object_add(status, members[i], NULL);
    }
    json_object_object_add(status, "problems", json_object_new_array());
    if (!ask_out_of_band(ctl, status, errp)) {
        return NULL;
    }
    if (!ask_in_band(ctl, status, &error)) {
        add_problem(status, "objects are not known: %s", error->message);
    }
    return g_steal_pointer(&status);
}
