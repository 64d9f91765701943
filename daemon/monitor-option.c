/*
 * The value of --qmp: ADDRESS[,OPTION=VALUE...].
 *
 * A table has each option with its parser. An address kind that can't have an option refuses it.
 */
#include "config.h"
#include "daemon/monitor-option.h"

#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>
#include <sys/socket.h>
#include <linux/vm_sockets.h>

#include "daemon/options.h"
#include "qmp/qmp-error.h"

static const mode_t default_mode = 0660;

/* ---- the address ---- */

static bool parse_fd(MonitorOption *monitor, const char *text)
{
    guint64 number;

    /* The three below are standard streams, into one of which the log is written. */
    if (!g_ascii_string_to_unsigned(text, 10, STDERR_FILENO + 1, INT_MAX, &number, NULL)) {
        return false;
    }
    monitor->kind = MONITOR_FD;
    monitor->fd = (int)number;
    return true;
}

static bool parse_cid(MonitorOption *monitor, const char *text)
{
    static const struct {
        const char *name;
        unsigned cid;
    } names[] = {
        { "any", VMADDR_CID_ANY },
        { "local", VMADDR_CID_LOCAL },
        { "host", VMADDR_CID_HOST },
    };
    guint64 number;

    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        if (strcmp(text, names[i].name) == 0) {
            monitor->cid = names[i].cid;
            return true;
        }
    }
    if (!g_ascii_string_to_unsigned(text, 10, 0, VMADDR_CID_ANY - 1, &number, NULL)) {
        return false;
    }
    monitor->cid = (unsigned)number;
    return true;
}

static bool parse_vsock(MonitorOption *monitor, const char *text)
{
    g_auto(GStrv) parts = g_strsplit(text, ":", 0);
    guint64 number;

    /* VMADDR_PORT_ANY would be a port that nobody knows. */
    if (g_strv_length(parts) != 2 || !parse_cid(monitor, parts[0]) ||
        !g_ascii_string_to_unsigned(parts[1], 10, 0, VMADDR_PORT_ANY - 1, &number, NULL)) {
        return false;
    }
    monitor->kind = MONITOR_VSOCK;
    monitor->port = (unsigned)number;
    return true;
}

static bool parse_unix(MonitorOption *monitor, const char *text)
{
    if (text[0] == '\0') {
        return false;
    }
    monitor->kind = MONITOR_UNIX;
    monitor->path = g_strdup(text);
    return true;
}

static bool parse_address(MonitorOption *monitor, const char *text)
{
    static const struct {
        const char *prefix;
        bool (*parse)(MonitorOption *monitor, const char *text);
    } kinds[] = {
        { "unix:", parse_unix },
        { "fd:", parse_fd },
        { "vsock:", parse_vsock },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (g_str_has_prefix(text, kinds[i].prefix)) {
            return kinds[i].parse(monitor, text + strlen(kinds[i].prefix));
        }
    }
    return false;
}

/* ---- users and groups ---- */

/* The number that @text is, or that @find knows the name @text by; (id_t)-1 is none. */
static bool parse_id(const char *text, bool (*find)(const char *name, id_t *id), id_t *id)
{
    guint64 number;

    if (find(text, id)) {
        return true;
    }
    if (!g_ascii_string_to_unsigned(text, 10, 0, (id_t)-1 - 1, &number, NULL)) {
        return false;
    }
    *id = (id_t)number;
    return true;
}

static bool find_user(const char *name, id_t *id)
{
    const struct passwd *entry = getpwnam(name);

    if (entry) {
        *id = entry->pw_uid;
    }
    return entry;
}

static bool find_group(const char *name, id_t *id)
{
    const struct group *entry = getgrnam(name);

    if (entry) {
        *id = entry->gr_gid;
    }
    return entry;
}

static bool parse_user(const char *text, id_t *id, GError **errp)
{
    return parse_id(text, find_user, id) || qmp_error_set(errp, "there is no user '%s'", text);
}

static bool parse_group_id(const char *text, id_t *id, GError **errp)
{
    return parse_id(text, find_group, id) || qmp_error_set(errp, "there is no group '%s'", text);
}

/* A list with colons between its members. */
static bool parse_ids(GArray **ids, const char *value,
                      bool (*parse)(const char *text, id_t *id, GError **errp), GError **errp)
{
    g_auto(GStrv) parts = g_strsplit(value[0] ? value : ":", ":", 0);

    /* uid_t, gid_t and id_t are of one size. */
    G_STATIC_ASSERT(sizeof(uid_t) == sizeof(id_t) && sizeof(gid_t) == sizeof(id_t));
    *ids = g_array_new(FALSE, FALSE, sizeof(id_t));
    for (char **part = parts; *part; part++) {
        id_t id;

        if (!parse(*part, &id, errp)) {
            return false;
        }
        g_array_append_val(*ids, id);
    }
    return true;
}

/* ---- the options ---- */

static bool parse_mode(MonitorOption *monitor, const char *value, GError **errp)
{
    char *end;
    guint64 number = g_ascii_strtoull(value, &end, 8);

    if (!g_ascii_isdigit(value[0]) || *end || number > 0777) {
        return qmp_error_set(errp, "mode '%s' is no octal number from 0 to 0777", value);
    }
    monitor->mode = (mode_t)number;
    return true;
}

static bool parse_group(MonitorOption *monitor, const char *value, GError **errp)
{
    return parse_group_id(value, &monitor->group, errp);
}

/* One of two words. */
static bool parse_choice(const char *name, const char *value, const char *no, const char *yes,
                         bool *choice, GError **errp)
{
    *choice = strcmp(value, yes) == 0;
    return *choice || strcmp(value, no) == 0 ||
           qmp_error_set(errp, "%s '%s' is neither '%s' nor '%s'", name, value, no, yes);
}

static bool parse_access(MonitorOption *monitor, const char *value, GError **errp)
{
    return parse_choice("access", value, "full", "read-only", &monitor->access.read_only, errp);
}

static bool parse_oob(MonitorOption *monitor, const char *value, GError **errp)
{
    return parse_choice("oob", value, "on", "off", &monitor->access.without_oob, errp);
}

static bool parse_max_clients(MonitorOption *monitor, const char *value, GError **errp)
{
    guint64 number;

    if (!g_ascii_string_to_unsigned(value, 10, 1, INT_MAX, &number, NULL)) {
        return qmp_error_set(errp, "max-clients '%s' is no integer from 1 to %d", value, INT_MAX);
    }
    monitor->access.max_sessions = (unsigned)number;
    return true;
}

static bool parse_allow_uid(MonitorOption *monitor, const char *value, GError **errp)
{
    return parse_ids(&monitor->access.uids, value, parse_user, errp);
}

static bool parse_allow_gid(MonitorOption *monitor, const char *value, GError **errp)
{
    return parse_ids(&monitor->access.gids, value, parse_group_id, errp);
}

#define KIND(kind) (1u << (kind))
#define ANY_KIND   (KIND(MONITOR_UNIX) | KIND(MONITOR_FD) | KIND(MONITOR_VSOCK))

static const struct {
    const char *name;
    unsigned kinds; /* of addresses that can have it */
    bool (*parse)(MonitorOption *monitor, const char *value, GError **errp);
} settings[] = {
    { "mode", KIND(MONITOR_UNIX), parse_mode },
    { "group", KIND(MONITOR_UNIX), parse_group },
    { "access", ANY_KIND, parse_access },
    { "max-clients", ANY_KIND, parse_max_clients },
    { "oob", ANY_KIND, parse_oob },
    /* Clients of a vsock are processes of another machine. What is passed may be a unix socket. */
    { "allow-uid", KIND(MONITOR_UNIX) | KIND(MONITOR_FD), parse_allow_uid },
    { "allow-gid", KIND(MONITOR_UNIX) | KIND(MONITOR_FD), parse_allow_gid },
};

/* Parse NAME=VALUE; @seen has a bit for each that has been given already. */
static bool parse_setting(MonitorOption *monitor, const char *text, unsigned *seen, GError **errp)
{
    const char *equals = strchr(text, '=');
    g_autofree char *name = g_strndup(text, equals ? (size_t)(equals - text) : 0);
    size_t i = 0;

    while (i < G_N_ELEMENTS(settings) && strcmp(settings[i].name, name) != 0) {
        i++;
    }
    if (i == G_N_ELEMENTS(settings)) {
        return qmp_error_set(errp,
                             "'%s' is unexpected, expected mode=, group=, access=, max-clients=, "
                             "oob=, allow-uid= or allow-gid=",
                             text);
    }
    if (!(settings[i].kinds & KIND(monitor->kind))) {
        return qmp_error_set(errp, "%s= is for unix sockets, not for '%s'", name, monitor->address);
    }
    if (*seen & (1u << i)) {
        return qmp_error_set(errp, "%s= is given twice", name);
    }
    *seen |= 1u << i;
    return settings[i].parse(monitor, equals + 1, errp);
}

/* ---- the whole ---- */

MonitorOption *monitor_option_parse(const char *text, GError **errp)
{
    g_autoptr(MonitorOption) monitor = g_new0(MonitorOption, 1);
    g_auto(GStrv) parts = option_split(text);
    unsigned seen = 0;

    if (!parse_address(monitor, parts[0])) {
        qmp_error_set(errp,
                      "'%s' is no address, expected unix:PATH, fd:NUMBER (from 3) or "
                      "vsock:CID:PORT",
                      text);
        return NULL;
    }
    monitor->address = g_strdup(parts[0]);
    monitor->mode = default_mode;
    monitor->group = (gid_t)-1;
    monitor->access.name = monitor->address;
    monitor->access.max_sessions = MONITOR_MAX_CLIENTS_DEFAULT;
    for (char **part = parts + 1; *part; part++) {
        if (!parse_setting(monitor, *part, &seen, errp)) {
            return NULL;
        }
    }
    return g_steal_pointer(&monitor);
}

void monitor_option_free(MonitorOption *monitor)
{
    g_clear_pointer(&monitor->access.uids, g_array_unref);
    g_clear_pointer(&monitor->access.gids, g_array_unref);
    g_free(monitor->address);
    g_free(monitor->path);
    g_free(monitor);
}
