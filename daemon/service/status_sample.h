/* Samples of metrics, a line each. */
#ifndef SERVICE_STATUS_SAMPLE_H
#define SERVICE_STATUS_SAMPLE_H

#include "status_view.h"
#include "status_text.h"

/* `name` + `suffix`, and labels in their braces: `which`="..." and `more`, both may be NULL. */
struct sample {
	const char *name, *suffix;
	const char *which, *value;
	const char *more;
};

void sample_number(struct status_text *out, struct sample sample, uint64_t number);
void sample_seconds(struct status_text *out, struct sample sample, uint64_t ns);

/* Milliseconds since the epoch, as seconds. */
void sample_time(struct status_text *out, struct sample sample, uint64_t at_ms);

/* A bucket for each doubling, their count and their sum. `more` and `suffix` are not looked at. */
void sample_histogram(struct status_text *out, struct sample sample, const uint64_t counts[VIEW_BUCKETS],
		      uint64_t sum_ns);

#endif
