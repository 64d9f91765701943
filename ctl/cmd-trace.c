/*
 * evloopctl trace: record what the loops do, and save it for a viewer.
 *
 * All goes out of band, for a trace is wanted most while the main loop is stuck. The file is opened
 * here, with the rights of the user, and the daemon gets its descriptor.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "ctl/arguments.h"
#include "ctl/command.h"
#include "ctl/error.h"
#include "ctl/object.h"

/* ---- start ---- */

static bool start_run(const CtlCommand *command, Ctl *ctl, char **words, GError **errp)
{
    g_autofree char *size_kib = NULL;
    const GOptionEntry options[] = {
        { "size-kib", 0, 0, G_OPTION_ARG_STRING, &size_kib,
          "Memory for each loop, 4 to 65536; a record takes 32 bytes", "KIB" },
        { NULL },
    };
    g_auto(GStrv) rest = ctl_parse(command, ctl, options, words, 0, G_MAXUINT, errp);
    g_autoptr(json_object) arguments = json_object_new_object();
    g_autoptr(Client) client = NULL;
    json_object *value = NULL;

    if (!rest) {
        return false;
    }
    if (size_kib) {
        if (!value_from_word(VALUE_INT, size_kib, &value)) {
            value = json_object_new_string(size_kib);
        }
        json_object_object_add(arguments, "size-kib", value);
    }
    if (rest[0]) {
        json_object *loops = json_object_new_array();

        json_object_object_add(arguments, "loops", loops);
        for (char **word = rest; *word; word++) {
            if (!object_check_word(*word, "LOOP", errp)) {
                return false;
            }
            json_object_array_add(loops, json_object_new_string(*word));
        }
    }
    client = ctl_connect(ctl, CLIENT_OOB, errp);
    return client && client_call_oob(client, "trace-start", arguments, NULL, errp);
}

static void start_complete(Ctl *ctl, Completion *completion, char **words)
{
    if (!completion->option) {
        completion_add_loops(completion, ctl, true);
    }
}

static const CtlCommand start_command = {
    .name = "start",
    .parameters = "[LOOP...]",
    .summary = "Let loops record what they do: all, or these",
    .description = "When memory is used up the newest records take the places of the oldest.\n",
    .run = start_run,
    .complete = start_complete,
};

/* ---- stop ---- */

static bool stop_run(const CtlCommand *command, Ctl *ctl, char **words, GError **errp)
{
    gboolean discard = FALSE;
    const GOptionEntry options[] = {
        { "discard", 0, 0, G_OPTION_ARG_NONE, &discard, "Forget what was recorded", NULL },
        { NULL },
    };
    g_auto(GStrv) rest = ctl_parse(command, ctl, options, words, 0, 0, errp);
    g_autoptr(json_object) arguments = json_object_new_object();
    g_autoptr(Client) client = rest ? ctl_connect(ctl, CLIENT_OOB, errp) : NULL;

    json_object_object_add(arguments, "discard", json_object_new_boolean(discard));
    return client && client_call_oob(client, "trace-stop", arguments, NULL, errp);
}

static const CtlCommand stop_command = {
    .name = "stop",
    .summary = "Record no more",
    .description = "What was recorded can still be saved, until the next start.\n",
    .run = stop_run,
};

/* ---- save ---- */

/* Open @path, and set @is_new to whether it was made for that. -1 and @errp on failure. */
static int open_file(const char *path, bool *is_new, GError **errp)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

    *is_new = fd >= 0;
    if (fd < 0 && errno == EEXIST) {
        fd = open(path, O_WRONLY | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0666);
    }
    if (fd < 0) {
        g_set_error(errp, CTL_ERROR, CTL_ERROR_OUTPUT, "cannot write to '%s': %s", path,
                    g_strerror(errno));
    }
    return fd;
}

static bool save_run(const CtlCommand *command, Ctl *ctl, char **words, GError **errp)
{
    g_auto(GStrv) rest = ctl_parse(command, ctl, NULL, words, 1, 1, errp);
    g_autoptr(Client) client = rest ? ctl_connect(ctl, CLIENT_OOB, errp) : NULL;
    bool is_new = false;
    int fd = client ? open_file(rest[0], &is_new, errp) : -1;
    bool ok = fd >= 0 && client_call_with_fd(client, "trace-save", fd, errp);

    if (fd >= 0) {
        close(fd);
    }
    if (is_new && !ok) {
        unlink(rest[0]);
    }
    return ok;
}

static const CtlCommand save_command = {
    .name = "save",
    .parameters = "FILE",
    .summary = "Write what was recorded to FILE, for Perfetto or Chrome",
    .description = "FILE is replaced. It is JSON in the Trace Event Format, which\n"
                   "https://ui.perfetto.dev and chrome://tracing open.\n",
    .run = save_run,
};

/* ---- the group ---- */

static const CtlCommand *const members[] = {
    &start_command,
    &stop_command,
    &save_command,
    NULL,
};

const CtlCommand ctl_trace = {
    .name = "trace",
    .summary = "Record what the loops do, for a viewer",
    .members = members,
};
