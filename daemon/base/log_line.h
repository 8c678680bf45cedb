/* An event as bytes: a line of text, of JSON, or a record for the journal.  Pure. */
#ifndef BASE_LOG_LINE_H
#define BASE_LOG_LINE_H

#include "log.h"

#include <time.h>

enum {
	LOG_LINE_BYTES = 4096,          /* PIPE_BUF: a write of no more is never mixed with others */
	LOG_LINE_RECORD_BYTES = 24 * 1024,
};

struct log_line {
	enum log_level level;
	const char *role, *event;
	const struct log_field *fields; /* to the one without a key */
	struct timespec now;
};

/* "role event key=value ..." without a line end, with time and level in front if `head`.  Writes at most
 * `room` bytes and cuts what is longer; returns how many. */
size_t log_line_text(const struct log_line *line, bool head, char *text, size_t room);

/* A JSON object without a line end; a value that is too long is cut, a field that does not fit is left out,
 * so that it is always whole.  `room` is at least 512. */
size_t log_line_json(const struct log_line *line, char *text, size_t room);

/* MESSAGE, PRIORITY, MESSAGE_ID, DROVER_EVENT, DROVER_ROLE and DROVER_KEY for each field; at most
 * LOG_LINE_RECORD_BYTES. */
size_t log_line_journal(const struct log_line *line, char *text);

/* The priority of syslog(3) and the journal. */
int log_line_priority(enum log_level level);

#endif
