/* Requests that took long are noted for droverctl slow: ipc/slow.h. */
#ifndef HTTP_SLOW_NOTE_H
#define HTTP_SLOW_NOTE_H

#include "exchange.h"

/* What became of it. */
struct slow_outcome {
	uint64_t duration_ns;
	uint64_t answered_ns;           /* when the answer was there; 0: that is not known */
	uint64_t bytes;                 /* that were sent */
};

/* To be called when it took engine->slow_ns or longer. */
void slow_note(const struct exchange *exchange, const struct slow_outcome *outcome);

#endif
