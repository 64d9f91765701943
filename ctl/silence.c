/*
 * Asking a daemon that does not answer, out of band, what its loops do.
 */
#include "ctl/silence.h"

#include <stdio.h>

#include "ctl/error.h"
#include "ctl/json.h"
#include "ctl/object.h"
#include "ctl/signals.h"
#include "ctl/text.h"

/* How long it may take to find out. */
#define ASKING_US (2 * G_USEC_PER_SEC)

/* A main loop that has been at one thing for so long is what a command waits for. */
#define HELD_S 0.2

static const char see_service[] =
    "'systemctl status evloopd' shows whether it runs, 'journalctl -u evloopd' what it said last";

static double seconds_in_state(json_object *loop)
{
    return (double)json_object_get_int64(json_member(loop, "state-ns")) / 1e9;
}

/* Whether @loop is at something that does not come back. */
static bool is_held(json_object *loop, bool is_main)
{
    const char *state = json_member_string(loop, "state");
    bool busy = g_strcmp0(state, "callback") == 0 || g_strcmp0(state, "running") == 0;

    return json_object_get_boolean(json_member(loop, "stalled")) ||
           (is_main && busy && seconds_in_state(loop) >= HELD_S);
}

static void append_held(GString *why, json_object *loop)
{
    const char *source = json_member_string(loop, "source");

    g_string_append_printf(why, "%s%s has been in %s%s%s for %.1f s", why->len > 0 ? "; " : "",
                           json_member_string(loop, "id"), source ? "'" : "",
                           source ? source : "its own work", source ? "'" : "",
                           seconds_in_state(loop));
}

static char *explain_loops(json_object *loops)
{
    g_autoptr(GString) why = g_string_new(NULL);

    for (size_t i = 0;
         json_object_is_type(loops, json_type_array) && i < json_object_array_length(loops); i++) {
        json_object *loop = json_object_array_get_idx(loops, i);
        const char *id = json_member_string(loop, "id");

        if (id && is_held(loop, g_str_equal(id, MAIN_LOOP))) {
            append_held(why, loop);
        }
    }
    if (why->len == 0) {
        return g_strdup("no loop is stuck, so it is the command that takes long");
    }
    g_string_append(why, "; 'evloopctl top' shows what the loops do");
    return g_strdup(why->str);
}

/* Why the daemon on the socket @path may not answer, as the end of a sentence; takes up to two
 * seconds. NULL when Ctrl-C was pressed meanwhile. The caller frees it. */
static char *explain(const char *path)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(json_object) loops = NULL;
    g_autoptr(Client) client =
        client_open(path, CLIENT_OOB, g_get_monotonic_time() + ASKING_US, NULL, &error);

    if (client && client_call_oob(client, "query-loops", NULL, &loops, &error)) {
        return explain_loops(loops);
    }
    if (g_error_matches(error, CTL_ERROR, CTL_ERROR_TIMEOUT)) {
        return g_strdup_printf("out of band it does not answer either; %s", see_service);
    }
    if (g_error_matches(error, CTL_ERROR, CTL_ERROR_INTERRUPTED)) {
        signals_interrupt_again(); /* it is for the command */
        return NULL;
    }
    return g_strdup_printf("why can't be asked out of band: %s", error->message);
}

void silence_report(const char *path, const char *command, GError *error)
{
    g_autofree char *why = explain(path);

    if (!why) {
        return;
    }
    if (error) {
        ctl_error_append(error, "; ");
        ctl_error_append(error, why);
    } else {
        g_autofree char *line = g_strdup_printf("%s: no answer yet: %s", command, why);
        g_autofree char *clean = text_clean(line);

        fprintf(stderr, "evloopctl: %s\n", clean);
    }
}
