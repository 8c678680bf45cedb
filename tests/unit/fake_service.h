/* Services that take their time: one answers by timer, one trickles its body, one has a file that is not in
 * memory. */
#ifndef FAKE_SERVICE_H
#define FAKE_SERVICE_H

#include "http/service.h"

struct later_settings {
	uint64_t after_ns;
	const char *text;               /* static */
};

struct trickle_settings {
	const char *text;               /* static; a byte at a time, AGAIN before each */
	bool length_known;
	uint64_t after_ns;              /* how long it waits before each byte; 0: for the next turn */
	size_t breaks_after;            /* bytes, then ERROR; 0: never */
};

enum { FAKE_COLD_BYTES = 100000, FAKE_COLD_PIECE = 30000 };     /* a file of zeroes, in pieces */

struct cold_settings {
	bool warm;                      /* it is all there */
};

extern const struct service service_later, service_trickle, service_cold;

extern unsigned fake_cancels;           /* calls of cancel */

#endif
