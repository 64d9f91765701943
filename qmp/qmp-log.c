/*
 * Lines of the log with fields: making GLib's list of fields of them.
 */
#include "config.h"
#include "qmp/qmp-log.h"

#include <stdatomic.h>
#include <stdio.h>

/* As many as a line can have, and of these, numbers. */
#define FIELDS_MAX  24
#define NUMBERS_MAX 8

typedef struct Record {
    GLogField fields[FIELDS_MAX];
    gsize n_fields;
    char numbers[NUMBERS_MAX][24];
    size_t n_numbers;
} Record;

/* The levels that are shown, as a mask. Relaxed: which ones are is no one's signal for anything
 * else. */
static atomic_uint shown_levels = ~0U;

void qmp_log_set_level(GLogLevelFlags least)
{
    /* The more important, the lower the bit. */
    atomic_store_explicit(&shown_levels, (unsigned)least | ((unsigned)least - 1),
                          memory_order_relaxed);
}

bool qmp_log_shows(QmpLogMessage message)
{
    unsigned level = (unsigned)qmp_log_kind(message)->level;

    return (atomic_load_explicit(&shown_levels, memory_order_relaxed) & level) != 0;
}

static void add_text(Record *record, const char *key, const char *value)
{
    if (value) {
        record->fields[record->n_fields++] = (GLogField){ key, value, -1 };
    }
}

static void add_number(Record *record, const char *key, uint64_t value)
{
    char *text = record->numbers[record->n_numbers++];

    snprintf(text, sizeof(record->numbers[0]), "%" G_GUINT64_FORMAT, value);
    add_text(record, key, text);
}

/* Zero is not known. */
static void add_known_number(Record *record, const char *key, uint64_t value)
{
    if (value > 0) {
        add_number(record, key, value);
    }
}

static void add_peer(Record *record, const QmpPeer *peer)
{
    switch (peer->kind) {
    case QMP_PEER_UNIX:
        add_number(record, "EVLOOPD_PEER_UID", peer->uid);
        add_number(record, "EVLOOPD_PEER_GID", peer->gid);
        add_known_number(record, "EVLOOPD_PEER_PID", (uint64_t)peer->pid);
        break;
    case QMP_PEER_VSOCK:
        add_number(record, "EVLOOPD_PEER_CID", peer->cid);
        break;
    case QMP_PEER_UNKNOWN:
        break;
    }
}

static void add_fields(Record *record, const QmpLogFields *fields)
{
    add_text(record, "EVLOOPD_OBJECT", fields->object);
    add_text(record, "EVLOOPD_TYPE", fields->type);
    add_text(record, "EVLOOPD_PROPERTY", fields->property);
    add_text(record, "EVLOOPD_TARGET", fields->target);
    add_text(record, "EVLOOPD_LOOP", fields->loop);
    add_text(record, "EVLOOPD_SOURCE", fields->source);
    add_text(record, "EVLOOPD_SOCKET", fields->socket);
    add_known_number(record, "EVLOOPD_SESSION", fields->session);
    if (fields->peer) {
        add_peer(record, fields->peer);
    }
    add_text(record, "EVLOOPD_COMMAND", fields->command);
    add_text(record, "EVLOOPD_REASON", fields->reason);
    add_known_number(record, "EVLOOPD_DURATION_NSEC", (uint64_t)fields->duration_ns);
    add_known_number(record, "EVLOOPD_COUNT", fields->count);
}

/* As syslog(3) has it; what GLib's own writers look for. */
static const char *priority_of(GLogLevelFlags level)
{
    switch (level) {
    case G_LOG_LEVEL_CRITICAL:
        return "3";
    case G_LOG_LEVEL_WARNING:
        return "4";
    case G_LOG_LEVEL_MESSAGE:
        return "5";
    case G_LOG_LEVEL_INFO:
        return "6";
    default:
        return "7";
    }
}

void qmp_log_va(QmpLogMessage message, const QmpLogFields *fields, const char *format, va_list args)
{
    const QmpLogKind *kind = qmp_log_kind(message);
    g_autofree char *text = NULL;
    Record record = { .n_fields = 0 };

    if (!qmp_log_shows(message)) {
        return;
    }
    text = g_strdup_vprintf(format, args);
    add_text(&record, "MESSAGE", text);
    add_text(&record, "PRIORITY", priority_of(kind->level));
    add_text(&record, "GLIB_DOMAIN", G_LOG_DOMAIN);
    add_text(&record, "MESSAGE_ID", kind->id);
    add_text(&record, "EVLOOPD_MESSAGE", kind->name);
    if (fields) {
        add_fields(&record, fields);
    }
    g_log_structured_array(kind->level, record.fields, record.n_fields);
}

void qmp_log(QmpLogMessage message, const QmpLogFields *fields, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    qmp_log_va(message, fields, format, args);
    va_end(args);
}
