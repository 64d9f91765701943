/*
 * What the parameters of a context may be, for who wants to know it without a context.
 */
#ifndef LOOP_AIO_PARAMS_H
#define LOOP_AIO_PARAMS_H

#include <stdbool.h>
#include <stdint.h>
#include <glib.h>

/* Whether aio_context_set_thread_pool_params() takes these. False and @errp. Any thread. */
bool aio_check_thread_pool_params(int64_t min, int64_t max, GError **errp);

#endif
