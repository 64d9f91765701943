/*
 * Lists of CPUs: their syntax.
 */
#include "config.h"
#include "iothreads/cpu-list.h"

#include "loop/aio.h"

/* More CPUs than any Linux kernel is built for. */
#define MAX_CPUS 8192

size_t cpu_list_set_size(void)
{
    return CPU_ALLOC_SIZE(MAX_CPUS);
}

/* Parse one number at *@text and move on behind it; -1 when there is none below MAX_CPUS. */
static int parse_cpu(const char **text)
{
    guint64 cpu;
    char *end;

    if (!g_ascii_isdigit(**text)) {
        return -1;
    }
    cpu = g_ascii_strtoull(*text, &end, 10);
    *text = end;
    return cpu < MAX_CPUS ? (int)cpu : -1;
}

static bool parse(const char *text, cpu_set_t *set)
{
    for (;;) {
        int first = parse_cpu(&text);
        int last = first;

        if (first >= 0 && *text == '-') {
            text++;
            last = parse_cpu(&text);
        }
        if (first < 0 || last < first) {
            return false;
        }
        for (int cpu = first; set && cpu <= last; cpu++) {
            CPU_SET_S(cpu, cpu_list_set_size(), set);
        }
        if (*text == '\0') {
            return true;
        }
        if (*text++ != ',') {
            return false;
        }
    }
}

bool cpu_list_parse(const char *text, cpu_set_t *set, GError **errp)
{
    if (!parse(text, set)) {
        g_set_error(errp, AIO_ERROR, AIO_ERROR_INVALID,
                    "cpu-affinity is '%s', expected a list of CPUs such as '0-3,8'", text);
        return false;
    }
    return true;
}
