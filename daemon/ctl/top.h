/* What droverctl top shows: a look at the daemon, and the difference between two (top_view.c); as a table
 * (top_table.c). */
#ifndef CTL_TOP_H
#define CTL_TOP_H

#include "ctl.h"

#include "ipc/metrics.h"

#include <stdio.h>

enum { TOP_ROWS = 1024 + METRICS_SITES, TOP_NAME_BYTES = 256, TOP_STATES = 5 };

/* The connections of a slot, by what they do. */
extern const char *const top_state_names[TOP_STATES];

/* A slot or a site; counts are sums since the start in a look, and of the time between two in a view. */
struct top_row {
	long long slot;                 /* -1: it is a site */
	char name[TOP_NAME_BYTES];      /* of a site; of a slot the state. ASCII */
	bool bad;                       /* its worker hangs, or there is none */
	unsigned workers;               /* that have connections there */
	uint64_t requests, errors;      /* errors: 5xx */
	uint64_t bytes;
	uint64_t turns, busy_ns;
	uint64_t latency[METRICS_BUCKETS], durations[METRICS_BUCKETS];
	uint64_t open, states[TOP_STATES], ready;       /* as they are now */
};

struct top_look {
	uint64_t at_ns;
	size_t slot_count, row_count;
	struct top_row *rows;           /* malloc'ed: the slots, then the sites */
	uint64_t requests, bytes, lost, died, accepted;
	uint64_t open, waiting;         /* waiting: in listening sockets */
	json_t *status;                 /* for what is said in words */
};

/* Takes a look: `status` is the daemon's answer (its reference is taken), anything may be in it. False: out
 * of memory. */
bool top_look(struct top_look *look, json_t *status);
void top_forget(struct top_look *look);

/* What happened between two looks, `before` and `*now`, in place of now's sums: rows that were not there
 * before, or that have begun anew, have what they have now. */
void top_between(struct top_look *now, const struct top_look *before);

/* How it is shown. */
struct top_screen {
	unsigned columns, rows;         /* rows 0: as many as it takes */
	bool color;
	unsigned sort;                  /* enum top_sort, of sites */
	bool reverse;
	const char *trouble;            /* why there is nothing new; NULL: there is */
};

enum top_sort { TOP_BY_REQUESTS, TOP_BY_BYTES, TOP_BY_LATENCY, TOP_BY_NAME, TOP_SORTS };

/* Shows the difference, which lasted `ns`. */
void top_table(FILE *out, struct top_look *view, uint64_t ns, const struct top_screen *screen);

/* The same as one JSON object. */
json_t *top_json(const struct top_look *view, uint64_t ns);

#endif
