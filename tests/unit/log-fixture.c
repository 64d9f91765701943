/*
 * The fixture of tests that look into the log.
 */
#include "config.h"
#include "tests/unit/log-fixture.h"

#include <pthread.h>
#include <string.h>

typedef struct Expected {
    QmpLogMessage message;
    char *pattern;
} Expected;

/* Guards all below: lines come from any thread. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static GQueue expected = G_QUEUE_INIT; /* of Expected */
static GPtrArray *last;                /* of char *: key, value, key, ... */

static const char *field_of(const GLogField *fields, gsize n_fields, const char *key)
{
    for (gsize i = 0; i < n_fields; i++) {
        if (strcmp(fields[i].key, key) == 0) {
            return fields[i].value;
        }
    }
    return NULL;
}

static void remember(const GLogField *fields, gsize n_fields)
{
    g_ptr_array_set_size(last, 0);
    for (gsize i = 0; i < n_fields; i++) {
        g_ptr_array_add(last, g_strdup(fields[i].key));
        g_ptr_array_add(last, g_strdup(fields[i].value));
    }
}

/* Whether it is the next one that is expected; which it then is no more. */
static bool take_expected(const GLogField *fields, gsize n_fields)
{
    Expected *next = g_queue_peek_head(&expected);
    const char *id = field_of(fields, n_fields, "MESSAGE_ID");

    if (!next || !id || strcmp(id, qmp_log_kind(next->message)->id) != 0 ||
        !g_pattern_match_simple(next->pattern, field_of(fields, n_fields, "MESSAGE"))) {
        return false;
    }
    g_queue_pop_head(&expected);
    g_free(next->pattern);
    g_free(next);
    remember(fields, n_fields);
    return true;
}

static GLogWriterOutput write_log(GLogLevelFlags level, const GLogField *fields, gsize n_fields,
                                  gpointer opaque)
{
    bool taken;

    pthread_mutex_lock(&lock);
    taken = take_expected(fields, n_fields);
    pthread_mutex_unlock(&lock);
    return taken ? G_LOG_WRITER_HANDLED : g_log_writer_default(level, fields, n_fields, opaque);
}

void log_test_init(void)
{
    last = g_ptr_array_new_with_free_func(g_free);
    g_log_set_writer_func(write_log, NULL, NULL);
}

void log_test_expect(QmpLogMessage message, const char *pattern)
{
    Expected *next = g_new0(Expected, 1);

    next->message = message;
    next->pattern = g_strdup(pattern);
    pthread_mutex_lock(&lock);
    g_queue_push_tail(&expected, next);
    pthread_mutex_unlock(&lock);
}

void log_test_assert_all(void)
{
    const Expected *next;

    pthread_mutex_lock(&lock);
    next = g_queue_peek_head(&expected);
    g_assert_cmpstr(next ? next->pattern : NULL, ==, NULL);
    pthread_mutex_unlock(&lock);
}

const char *log_test_field(const char *key)
{
    for (guint i = 0; i < last->len; i += 2) {
        if (g_str_equal(g_ptr_array_index(last, i), key)) {
            return g_ptr_array_index(last, i + 1);
        }
    }
    return NULL;
}

char *log_test_fields(void)
{
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < last->len; i += 2) {
        const char *key = g_ptr_array_index(last, i);

        if (g_str_has_prefix(key, "EVLOOPD_")) {
            g_string_append_printf(text, "%s%s=%s", text->len > 0 ? " " : "",
                                   key + strlen("EVLOOPD_"),
                                   (const char *)g_ptr_array_index(last, i + 1));
        }
    }
    return g_string_free(text, FALSE);
}
