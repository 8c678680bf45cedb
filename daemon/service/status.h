/* What the daemon is doing: as JSON, as metrics, as events, as a page. */
#ifndef SERVICE_STATUS_H
#define SERVICE_STATUS_H

#include "status_text.h"

#include "http/service.h"

extern const struct service service_status;
extern const struct schema status_schema;

struct status_settings {
	uint64_t interval_ns;           /* between two events of a stream */
	unsigned streams;               /* at once, of a worker */
};

/* Header lines of all answers. */
#define STATUS_FIELDS "Cache-Control: no-store\r\n"

/* Answers with the text, which is pinned as long as it is sent. For what can be had below the route: a row of
 * `leaves` in status.c. */
void status_answer(struct exchange *exchange, const char *content_type, struct status_text *text);

#endif
