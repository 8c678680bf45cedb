/* status_sample.c - lines of metrics.  Called by status_metrics.c and
 * status_show.c; cannot fail but by a text that has no more room. */
#include "status_sample.h"

#include "base/clock.h"

#include <stdio.h>

enum { LE_STEP = VIEW_STEPS }; /* a histogram has a bound for each doubling */

static void begin(struct status_text *out, const struct sample *sample)
{
	status_text_add(out, sample->name);
	status_text_add(out, sample->suffix);
	if (sample->which != NULL || sample->more != NULL)
		status_text_add(out, "{");
	if (sample->which != NULL) {
		status_text_add(out, sample->which);
		status_text_add(out, "=");
		status_text_label(out, sample->value);
		status_text_add(out, sample->more != NULL ? "," : "");
	}
	if (sample->more != NULL)
		status_text_add(out, sample->more);
	status_text_add(out, sample->which != NULL || sample->more != NULL ? "} " : " ");
}

void sample_number(struct status_text *out, struct sample sample, uint64_t number)
{
	begin(out, &sample);
	status_text_number(out, number);
	status_text_add(out, "\n");
}

void sample_seconds(struct status_text *out, struct sample sample, uint64_t ns)
{
	begin(out, &sample);
	status_text_seconds(out, ns);
	status_text_add(out, "\n");
}

/* Of milliseconds since the epoch. */
void sample_time(struct status_text *out, struct sample sample, uint64_t at_ms)
{
	sample_seconds(out, sample, at_ms < UINT64_MAX / CLOCK_MS ? at_ms * CLOCK_MS : 0);
}

/* The shortest text that is the bound, as a reader of "le" wants it. */
static void write_bound(char text[static 32], unsigned bucket)
{
	if (bucket >= VIEW_BUCKETS - 1)
		snprintf(text, 32, "le=\"+Inf\"");
	else
		snprintf(text, 32, "le=\"%.12g\"", (double)view_bound_ns(bucket) / 1e9);
}

void sample_histogram(struct status_text *out, struct sample sample, const uint64_t counts[VIEW_BUCKETS],
		      uint64_t sum_ns)
{
	uint64_t sum = 0;
	char le[32];

	sample.suffix = "_bucket";
	sample.more = le;
	for (unsigned i = 0; i < VIEW_BUCKETS; i++) {
		sum = sum + counts[i] < sum ? UINT64_MAX : sum + counts[i];     /* whatever is on the board */
		if (i % LE_STEP != 0 && i != VIEW_BUCKETS - 1)
			continue;
		write_bound(le, i);
		sample_number(out, sample, sum);
	}
	sample.more = NULL;
	sample.suffix = "_count";
	sample_number(out, sample, sum);
	sample.suffix = "_sum";
	sample_seconds(out, sample, sum_ns);
}
