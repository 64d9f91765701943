/*
 * Lists of CPUs, such as "0-3,8".
 */
#ifndef IOTHREADS_CPU_LIST_H
#define IOTHREADS_CPU_LIST_H

#include <sched.h>
#include <stdbool.h>
#include <glib.h>

/* The size of a set for all CPUs that can be in a list. */
size_t cpu_list_set_size(void);

/* Parse @text into @set, of cpu_list_set_size() bytes; NULL: see whether it is a list. False and
 * @errp when it is none, or names a number that no CPU has. Any thread. */
bool cpu_list_parse(const char *text, cpu_set_t *set, GError **errp);

#endif
