/*
 * Names of sources that tell whose they are: "timer_expired(t0)" is the callback of the object t0.
 *
 * A loop publishes the names of its sources to other threads without a lock, and traces keep them
 * beyond the objects' and the loops' lives. So a name must stay for good, and is never freed. Ids
 * come back, and so do the names made of them, of which there is one each. What clients could do to
 * the daemon's memory by ever new ids is bounded: by SOURCE_NAMES_MAX names of SOURCE_NAME_LENGTH,
 * about 1 MiB. Beyond that a source is called by its callback alone, as it is without an id.
 */
#ifndef OBJECTS_SOURCE_NAME_H
#define OBJECTS_SOURCE_NAME_H

/* How many names there may be, and how long one. */
#define SOURCE_NAMES_MAX   8192
#define SOURCE_NAME_LENGTH 80

/* The name of the source that calls @callback, which is a literal, for the object @id, or for none
 * when that is NULL. It stays valid for good. Any thread. */
const char *source_name(const char *callback, const char *id);

/* The id in the name @source of any source, to be freed; NULL when it has none. Any thread. */
char *source_name_get_id(const char *source);

#endif
