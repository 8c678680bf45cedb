/* Connections that the server ended although nobody had said that it would, one by one: when, and what was
 * lost.  Who kills workers holds them against what the dead had open. */
#ifndef LOSS_ENDINGS_H
#define LOSS_ENDINGS_H

#include "loss/account.h"

/* Zeroed: there are none. */
struct endings {
	struct ending *list;
	size_t count, room;
	uint64_t more;          /* that are not in the list, which has a bound */
};

struct ending {
	uint64_t at_ns;         /* CLOCK_MONOTONIC: noticed; filled in by endings_add */
	const char *kind;
	enum outcome outcome;   /* of the first request, or of the connection */
	unsigned requests;      /* that were under way */
	bool fresh;             /* nothing had been answered on it */
};

/* Ends the program when memory is out. */
void endings_add(struct endings *endings, const struct ending *ending);

/* [[seconds, kind, outcome, requests, fresh], ...]; a new reference. */
json_t *endings_json(const struct endings *endings);

#endif
