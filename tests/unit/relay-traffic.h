/*
 * Checksummed traffic through a relay, from a thread of its own: clients that send a known stream
 * and check what comes back, and the target that echoes it. A connection that has carried its share
 * is closed in order, and followed by a new one.
 */
#ifndef TESTS_UNIT_RELAY_TRAFFIC_H
#define TESTS_UNIT_RELAY_TRAFFIC_H

#include <stdint.h>

typedef struct RelayTraffic RelayTraffic;

/* Begin with @n connections to the relay at @address, whose target is @listener. */
RelayTraffic *relay_traffic_start(const char *address, int listener, unsigned n);

/* How many bytes have come back, and how many connections have ended, so far. Any thread. */
uint64_t relay_traffic_bytes(RelayTraffic *traffic);
uint64_t relay_traffic_ended(RelayTraffic *traffic);

/* Begin the end: each connection gets back what it has sent, and no new one follows. Returns
 * whether that is done. */
int relay_traffic_is_over(RelayTraffic *traffic);

/* Free it, which is over. Every byte has come back, once and in its order. */
void relay_traffic_free(RelayTraffic *traffic);

#endif
