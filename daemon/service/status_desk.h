/* Where the documents of the status service are made: one of each kind at a time, in steps of the loop,
 * for all who asked meanwhile. What was asked for in the turn in which it was made is not made again. */
#ifndef SERVICE_STATUS_DESK_H
#define SERVICE_STATUS_DESK_H

#include "status_text.h"
#include "status_view.h"

#include "base/list.h"

enum status_format { STATUS_JSON, STATUS_STREAM, STATUS_OPENMETRICS, STATUS_PROMETHEUS, STATUS_PAGE,
		     STATUS_FORMATS };

/* How a document is written: part by part, each of which takes far less than a millisecond. */
struct status_writer {
	unsigned (*parts)(const struct view *view);
	void (*part)(const struct view *view, unsigned index, struct status_text *out);
};

/* By format; defined in status.c. */
extern const struct status_writer *const status_writers[STATUS_FORMATS];

/* Who waits for a document. */
struct status_wait {
	struct list link;
	/* It is there: who wants to keep it pins it. NULL: out of memory. */
	void (*told)(struct status_wait *wait, struct status_text *text);
};

/* The text, when it was made in this turn. NULL: `told` will be called in another one, unless `wait` is taken
 * out of its list before; where not even that is possible *failed is true. */
struct status_text *status_desk_ask(struct engine *engine, enum status_format format,
				    struct status_wait *wait, bool *failed);

/* Clients that ask and do not read keep so many documents that there is room for no more of them. */
bool status_desk_is_full(const struct engine *engine);

/* How many streams there are in this worker: status_events.c counts them. NULL: out of memory. */
unsigned *status_desk_streams(struct engine *engine);

#endif
