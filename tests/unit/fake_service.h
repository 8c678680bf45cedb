/* Services that take their time: one answers by timer, one trickles its body. */
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

extern const struct service service_later, service_trickle;

extern unsigned fake_cancels;           /* calls of cancel */

#endif
